"""A TCP proxy in front of a PostgreSQL on a unix socket, that can be told to misbehave."""
import contextlib
import os
import selectors
import socket
import threading
import urllib.parse


class Proxy:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        query = urllib.parse.parse_qs(parts.query)
        self._directory = query["host"][0]
        self._port = query.get("port", [str(parts.port or 5432)])[0]
        self._listener = socket.create_server(("127.0.0.1", 0))
        query.pop("host")
        query.pop("port", None)
        port = self._listener.getsockname()[1]
        user = (parts.username + "@") if parts.username else ""
        self.url = f"postgresql://{user}127.0.0.1:{port}{parts.path}"
        self._lock = threading.Lock()
        self._pairs = []
        self._forgotten = set()
        self._mode = "pass"
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping = True
        os.write(self._wake_write, b"x")
        self._thread.join()
        for a, b in self._pairs:
            a.close()
            b.close()
        self._listener.close()

    def black_hole(self):
        """Bytes are read and vanish; new connections are accepted and never answered."""
        self._mode = "hole"

    def forget(self):
        """Connections from before stay half open, for ever; new ones work."""
        with self._lock:
            self._forgotten.update(end for pair in self._pairs for end in pair)

    def restore(self):
        """New connections work again; those from before stay half open."""
        self._mode = "pass"

    def cut(self):
        """Ends every connection."""
        with self._lock:
            for pair in self._pairs:
                for end in pair:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        if self._mode == "pass":
            server.connect(f"{self._directory}/.s.PGSQL.{self._port}")
        with self._lock:
            self._pairs.append((client, server))
        self._selector.register(client, selectors.EVENT_READ, (client, server))
        if self._mode == "pass":
            self._selector.register(server, selectors.EVENT_READ, (server, client))

    def _pass_on(self, source, target):
        try:
            data = source.recv(65536)
            if data and (self._mode == "hole" or source in self._forgotten):
                return
            if data:
                target.sendall(data)
                return
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            end.close()

    def _run(self):
        while not self._stopping:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.data is not None and key.fileobj.fileno() >= 0:
                    self._pass_on(*key.data)
