"""A file server on 127.0.0.1 that fails on demand, for tests of downloads."""

import contextlib
import http.server
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Reply:
    """How one request is answered."""

    status: int = 200  # another: no content
    cut: int | None = None  # so many bytes of the content are sent, then the connection ends; None: all
    silent: bool = False  # the content never comes
    ranges: bool = True  # a part can be asked for
    told: bool = True  # the length is


@dataclass
class FileServer:
    """What is served, and what was asked."""

    url: str = ""  # of the folder
    files: dict[str, bytes] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)  # to the next requests, in order; then `always`
    always: Reply = field(default_factory=Reply)
    asked: list[tuple[str, str]] = field(default_factory=list)  # (name, the header Range or "") of every request


@contextlib.contextmanager
def file_server() -> Iterator[FileServer]:
    """Serve for the length of a `with` block."""
    state = FileServer()
    closing = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            wanted = self.headers.get("Range", "")
            state.asked.append((name, wanted))
            reply = state.replies.pop(0) if state.replies else state.always
            content = state.files.get(name)
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and reply.ranges else 0
            status = reply.status
            if content is None:
                status = 404
            elif status == 200 and start >= len(content):
                status = 416
            if status != 200:
                self.send_error(status)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if reply.told:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.flush()
            if reply.silent:
                closing.wait()
            with contextlib.suppress(OSError):  # a client that has had enough
                self.wfile.write(content[start:][: reply.cut])

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
