"""A real HTTP server of this machine whose faults are chosen by the path: what mirrors and hubs do to a download."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DATA = bytes(range(256)) * 2000
"""512 kB: several blocks."""


@dataclass
class Files:
    """What the server has, and what it was asked."""

    data: dict[str, bytes] = field(default_factory=lambda: {"model.bin": DATA})
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and ``Range`` of each request."""
    ranges: bool = True
    announce: bool = True
    """Send ``Content-Length``."""
    cut_after: list[int] = field(default_factory=list)
    """The next answers end after so many bytes, one each."""
    status: list[int] = field(default_factory=list)
    """The next answers are these errors, one each."""
    extra: bytes = b""
    """Sent behind every file."""
    lie: int = 0
    """Added to ``Content-Length``."""
    redirect: str = ""
    """Where everything is sent to."""
    moved: dict[str, str] = field(default_factory=dict)
    """Paths that are somewhere else."""
    tokens: list[str] = field(default_factory=list)
    """``Authorization`` of each request."""
    stall_after: int = -1
    """Bytes after which the next answer stops coming."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # the end of the connection ends an answer without a length

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        files: Files = self.server.files  # type: ignore[attr-defined]
        wanted = self.headers.get("Range", "")
        files.asked.append((self.path, wanted))
        files.tokens.append(self.headers.get("Authorization", ""))
        target = files.redirect or files.moved.get(self.path, "")
        if target:
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()
            return
        if files.status:
            self.send_error(files.status.pop(0))
            return
        data = files.data.get(self.path, files.data.get(self.path.rsplit("/", 1)[-1]))
        if data is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and files.ranges else 0
        if start >= len(data) > 0:
            self.send_error(416)
            return
        self._answer(files, data, start)

    def _answer(self, files: Files, data: bytes, start: int) -> None:
        body = data[start:] + files.extra
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if files.announce:
            self.send_header("Content-Length", str(len(body) + files.lie))
        self.end_headers()
        if files.stall_after >= 0:
            most, files.stall_after = files.stall_after, -1
            self.wfile.write(body[:most])
            self.wfile.flush()
            self.server.go_on.wait(10)  # type: ignore[attr-defined]
            return
        most = files.cut_after.pop(0) if files.cut_after else len(body)
        self.wfile.write(body[:most])


@contextmanager
def serving(files: Files, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Base URL of a server of ``files``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.files, server.go_on = files, threading.Event()  # type: ignore[attr-defined]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        scheme, host = ("https", "localhost") if context else ("http", "127.0.0.1")
        yield f"{scheme}://{host}:{server.server_address[1]}"
    finally:
        server.go_on.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS for ``localhost``: the server's side and a client that trusts it."""
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem, secret)
    return server, ssl.create_default_context(cafile=str(pem))
