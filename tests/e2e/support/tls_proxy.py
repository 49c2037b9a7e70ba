"""Ends TLS in front of a PostgreSQL on a unix socket, as providers do: its records are as large as TLS allows
(16 KiB), while those of a server of version 15 are at most half of that."""
import contextlib
import select
import socket
import ssl
import struct
import threading
import urllib.parse

_SSL_REQUEST = struct.pack(">ii", 8, 80877103)
_GATHER = 0.004  # so long after a piece of an answer the next may follow


class TlsProxy:
    def __init__(self, url, certificate, key):
        parts = urllib.parse.urlsplit(url)
        query = urllib.parse.parse_qs(parts.query)
        self._server = f"{query['host'][0]}/.s.PGSQL.{query.get('port', [str(parts.port or 5432)])[0]}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        user = (parts.username + "@") if parts.username else ""
        self.url = f"postgresql://{user}127.0.0.1:{self._listener.getsockname()[1]}{parts.path}?sslmode=require"
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate, key)

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)  # close() alone would leave accept() waiting
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain):
        with contextlib.suppress(OSError), plain, socket.socket(socket.AF_UNIX) as server:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if plain.recv(8) != _SSL_REQUEST:
                return
            plain.sendall(b"S")
            server.connect(self._server)
            with self._tls.wrap_socket(plain, server_side=True) as client:
                self._pass_on(client, server)

    @staticmethod
    def _pass_on(client, server):
        while True:
            ready = [client] if client.pending() else select.select([client, server], [], [])[0]
            if client in ready:
                data = client.recv(65536)
                server.sendall(data)
            else:
                data = bytearray()
                while select.select([server], [], [], _GATHER)[0] and (more := server.recv(1 << 20)):
                    data += more
                client.sendall(data)
            if not data:
                return
