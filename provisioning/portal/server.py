"""The set-up page's server: a thread, plain HTTP in the appliance's own network, for a handful of browsers."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from provisioning.draft import Draft
from provisioning.portal.requests import LONGEST_BODY, Portal, Request, Response

AT_ONCE: Final = 16
"""Requests; more wait, and a browser that says nothing is let go after SILENT_SECONDS."""
SILENT_SECONDS: Final = 10.0


class PageServer:
    """Serves until it is closed. `used` and `taken` are called on its threads, `taken` once its answer went."""

    def __init__(
        self,
        address: tuple[str, int],
        portal: Portal,
        used: Callable[[], None],
        taken: Callable[[Draft], None],
    ) -> None:
        self._room = room = threading.BoundedSemaphore(AT_ONCE)

        class Handler(_Handler):
            def respond(self) -> None:
                with room:
                    used()
                    response = portal.answer(self.request_of())
                    self.send(response)
                    if response.taken is not None:
                        taken(response.taken)

        self._server = _Server(address, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="set-up page", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        """No more requests; what is answered is answered to its end, and taken, within SILENT_SECONDS."""
        self._server.shutdown()
        self._server.server_close()
        until = time.monotonic() + SILENT_SECONDS
        for _ in range(AT_ONCE):
            self._room.acquire(timeout=max(0.0, until - time.monotonic()))
        self._thread.join(SILENT_SECONDS)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no news; a fault of ours costs its request alone."""


class _Handler(BaseHTTPRequestHandler):
    timeout = SILENT_SECONDS
    protocol_version = "HTTP/1.0"
    server_version = "handset"
    sys_version = ""

    def respond(self) -> None:
        raise NotImplementedError

    def request_of(self) -> Request:
        length = self.headers.get("Content-Length", "0")
        size = min(int(length), LONGEST_BODY + 1) if length.isdecimal() else 0
        body = self.rfile.read(size) if self.command == "POST" else b""
        return Request(self.command, self.path, self.headers.get("Host", ""), body)

    def send(self, response: Response) -> None:
        data = response.body.encode()
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", response.kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """What is asked for here is nobody's business."""

    def do_GET(self) -> None:
        self.respond()

    def do_HEAD(self) -> None:
        self.respond()

    def do_POST(self) -> None:
        self.respond()
