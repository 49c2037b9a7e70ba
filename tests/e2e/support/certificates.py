"""A certificate authority of a test's own."""
import subprocess


class Authority:
    def __init__(self, folder, name="ca"):
        self.folder, self.name = folder, name
        folder.mkdir(exist_ok=True)
        self.certificate = folder / f"{name}.crt"
        self._key = folder / f"{name}.key"
        self._openssl("req", "-x509", *self._new_key(self._key), "-out", self.certificate, "-subj", f"/CN={name}",
                      "-days", "2")

    def issue(self, name, common_name, days=2):
        """Writes <name>.crt and <name>.key and returns their paths; 0 days: has expired a second later."""
        certificate, key, request = (self.folder / f"{name}.{kind}" for kind in ("crt", "key", "csr"))
        extensions = self.folder / "extensions"
        extensions.write_text("subjectAltName = IP:127.0.0.1,DNS:localhost\n")
        self._openssl("req", *self._new_key(key), "-out", request, "-subj", f"/CN={common_name}")
        self._openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
                      "-days", str(days), "-extfile", extensions, "-out", certificate)
        return certificate, key

    @staticmethod
    def _new_key(path):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]

    @staticmethod
    def _openssl(*command):
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)
