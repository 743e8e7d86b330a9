"""A package index of one wheel on this machine, which can misbehave as real ones do.

Used by test_models.py: pip fetches from it over HTTP, so the faults are real ones.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import os
import threading
import zipfile
from dataclasses import dataclass, field

PROJECT, VERSION = "stand-in-weights", "1.0"
PACKAGE = "stand_in_weights"
WHEEL = f"{PACKAGE}-{VERSION}-py3-none-any.whl"
SDIST = f"{PACKAGE}-{VERSION}.tar.gz"


def make_wheel(files: dict[str, bytes]) -> bytes:
    """A valid wheel that holds `files` (path below the package -> content)."""
    info = f"{PACKAGE}-{VERSION}.dist-info"
    members = {f"{PACKAGE}/{name}": content for name, content in files.items()}
    members[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {VERSION}\n"
        "Requires-Dist: no-such-project-anywhere\n"
    ).encode()
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(
        f"{name},{_digest(content)},{len(content)}\n" for name, content in members.items()
    )
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return wheel.getvalue()


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


@dataclass
class Index:
    """A running index (PEP 503). Use it as a context manager.

    ``files`` maps file names to what is served; ``sent`` says how many bytes of a file go out
    before the connection is cut (None: all); ``go`` holds every file back until it is set;
    ``fetched`` counts the requests of each file and ``asked`` is set at the first.
    """

    files: dict[str, bytes]
    sent: int | None = None
    go: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    fetched: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> Index:
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.go.set()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/simple/"

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """Serve the project's page or one of its files."""
        name = request.path.rsplit("/", 1)[-1]
        if request.path == f"/simple/{PROJECT}/":
            links = "".join(f'<a href="/files/{name}">{name}</a>\n' for name in self.files)
            self._send(request, f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), None)
        elif name in self.files:
            self.fetched[name] = self.fetched.get(name, 0) + 1
            self.asked.set()
            self.go.wait(60)
            self._send(request, self.files[name], self.sent)
        else:
            request.send_error(404)

    @staticmethod
    def _send(
        request: http.server.BaseHTTPRequestHandler, content: bytes, sent: int | None
    ) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/html")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        with contextlib.suppress(OSError):  # the client was killed, which is what some tests do
            request.wfile.write(content[:sent])


def environment(index_url: str, cache: os.PathLike) -> dict[str, str]:
    """This process's environment, but pip knows one index only and the cache is `cache`."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.upper().startswith(("PIP_", "HF_", "INSIDE_OUTSIDE_"))
        and not key.lower().endswith("_proxy")
    }
    return {
        **kept,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index_url,
        "PIP_RETRIES": "0",
        "INSIDE_OUTSIDE_CACHE": os.fspath(cache),
    }
