"""A server that telephones fetch their settings from, and the daemon that is to take them."""

import http.server
import ssl
import threading
from pathlib import Path

from appliance.config.load import load
from appliance.config.schema import Configuration, Provisioning
from provisioning import fetch
from provisioning.effects import Effects
from provisioning.release.gate import Reading

MAC = "b827eb123f2a"


class Server:
    """Serves `files` over TLS, or plain, and remembers what it was asked for; a value may be a status instead."""

    def __init__(self, certificate: tuple[Path, Path] | None) -> None:
        self.files: dict[str, bytes | int | str] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                found = outer.files.get(self.path, 404)
                self.send_response(
                    found if isinstance(found, int) else 302 if isinstance(found, str) else 200
                )
                if isinstance(found, str):
                    self.send_header("Location", found)
                self.end_headers()
                if isinstance(found, bytes):
                    self.wfile.write(found)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://localhost:{self._server.server_address[1]}/phones/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Daemon:
    """As systemd and its control port show it, in virtual time: somebody calls until `calls_until`."""

    def __init__(self, calls_until: float = 0.0) -> None:
        self.calls_until = calls_until
        self.time = 1_800_000_000.0

    def reading(self) -> Reading:
        return Reading(active=True, answers=True, ready=True, busy=self.time < self.calls_until)

    def now(self) -> float:
        return self.time

    def steady(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def take(
    chosen: Provisioning, offered: str, box: Effects, daemon: Daemon | None = None, *, dry: bool = False
) -> str:
    return fetch.take(chosen, offered, box, daemon or Daemon(), dry=dry)


def sip(box: Effects) -> tuple[str, str]:
    sound = load(environ={}, root=box.root).sound
    assert isinstance(sound, Configuration)
    return sound.sip.server, sound.sip.user
