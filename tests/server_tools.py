"""A file server on 127.0.0.1 that fails on demand, for tests of downloads."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Reply:
    """How one request is answered.

    Attributes:
        status: other than 200: no content.
        cut: so many bytes of the content asked for are sent, then the connection ends; None: all.
        silent: the content never comes.
        drip: seconds between single bytes; None: as fast as can be.
        ranges: whether a part can be asked for.
        told: whether the length is.
        etag: of the content.
    """

    status: int = 200
    cut: int | None = None
    silent: bool = False
    drip: float | None = None
    ranges: bool = True
    told: bool = True
    etag: str = ""


@dataclass
class FileServer:
    """What is served, and what was asked.

    Attributes:
        url: of the folder.
        files: name -> content.
        replies: to the next requests, in order; then `always`.
        always: to all later ones.
        asked: (name, the header Range or "", the header If-Range or "") of every request.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    always: Reply = field(default_factory=Reply)
    asked: list[tuple[str, str, str]] = field(default_factory=list)


@contextlib.contextmanager
def file_server() -> Iterator[FileServer]:
    """Serve for the length of a `with` block."""
    state, closing = FileServer(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            wanted, only_if = self.headers.get("Range", ""), self.headers.get("If-Range", "")
            state.asked.append((name, wanted, only_if))
            reply = state.replies.pop(0) if state.replies else state.always
            if reply.status != 200 or name not in state.files:
                self.send_error(404 if name not in state.files else reply.status)
                return
            content, start = state.files[name], 0
            if wanted and reply.ranges and (not only_if or only_if == reply.etag):
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
                if start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            if reply.told:
                self.send_header("Content-Length", str(len(content) - start))
            if reply.etag:
                self.send_header("ETag", reply.etag)
            self.end_headers()
            self.wfile.flush()
            if reply.silent:
                closing.wait()
            body = content[start:] if reply.cut is None else content[start : start + reply.cut]
            with contextlib.suppress(OSError):  # a client that has had enough
                for piece in [body] if reply.drip is None else [body[i : i + 1] for i in range(len(body))]:
                    self.wfile.write(piece)
                    self.wfile.flush()
                    time.sleep(reply.drip or 0)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/data"
        try:
            yield state
        finally:
            closing.set()
            server.shutdown()
            thread.join()
