"""A hawkBit server as a device sees it (DDI), with one update for one device. It takes nothing that hawkBit would not.

    python3 hawkbit.py FOLDER       until it is ended

In FOLDER lie `update.raucb`, `token`, `certificate.pem` and `key.pem`. `port` is written there, `told.jsonl`, what the
device said, in order, and `wrong.jsonl`, what it should not have. It needs no package, and so runs everywhere.
"""

import hashlib
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

TENANT, TARGET, ACTION = "DEFAULT", "handset-0a1b2c", "7"
_DEVICE: Final = f"/{TENANT}/controller/v1/{TARGET}"
_DEPLOYMENT: Final = f"{_DEVICE}/deploymentBase/{ACTION}"
_ARTIFACT: Final = f"{_DEVICE}/softwaremodules/3/artifacts/update.raucb"
_EXECUTIONS: Final = {
    *("closed", "proceeding", "canceled", "scheduled", "rejected", "resumed", "downloaded", "download")
}
_FINISHED: Final = {"success", "failure", "none"}


class Wrong(Exception):
    """What hawkBit answers with an error."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Server(ThreadingHTTPServer):
    """`base` is its address; `closed` once the device said that it is done, one way or the other."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Device)
        self.folder = folder
        self.bundle = (folder / "update.raucb").read_bytes()
        self.token = (folder / "token").read_text().strip()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.base = f"https://127.0.0.1:{self.server_port}"
        self.identified = self.closed = False

    def write(self, name: str, what: Any) -> None:
        with (self.folder / name).open("a") as file:
            file.write(json.dumps(what) + "\n")


class Device(BaseHTTPRequestHandler):
    """One request of the device."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answered({_DEVICE: self._poll, _DEPLOYMENT: self._deployment, _ARTIFACT: self._artifact})

    def do_PUT(self) -> None:
        self._answered({f"{_DEVICE}/configData": self._identify})

    def do_POST(self) -> None:
        self._answered({f"{_DEPLOYMENT}/feedback": self._feedback})

    def log_message(self, *_: object) -> None: ...

    def _answered(self, known: dict[str, Any]) -> None:
        try:
            if self.headers.get("Authorization") != f"TargetToken {self.server.token}":
                raise Wrong(401, "not its token")
            path = self.path.partition("?")[0]
            if path not in known:
                raise Wrong(404, "no such resource")
            body, kind = known[path]()
            self._send(200, body, kind)
        except Wrong as wrong:
            told = {"request": f"{self.command} {self.path}", "status": wrong.status, "why": str(wrong)}
            self.server.write("wrong.jsonl", told)
            self._send(wrong.status, b"", "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _json(self, what: Any) -> tuple[bytes, str]:
        if "application/json" not in self.headers.get("Accept", ""):
            raise Wrong(406, "JSON is what there is")
        return json.dumps(what).encode(), "application/json"

    def _given(self) -> Any:
        if self.headers.get("Content-Type", "").partition(";")[0] != "application/json":
            raise Wrong(415, "JSON is what is taken")
        try:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        except (ValueError, TypeError) as error:
            raise Wrong(400, "no JSON") from error

    def _poll(self) -> tuple[bytes, str]:
        links = {}
        if not self.server.identified:
            links["configData"] = {"href": f"{self.server.base}{_DEVICE}/configData"}
        if not self.server.closed:
            links["deploymentBase"] = {"href": f"{self.server.base}{_DEPLOYMENT}?c=1"}
        return self._json({"config": {"polling": {"sleep": "00:00:02"}}, "_links": links})

    def _identify(self) -> tuple[bytes, str]:
        data = self._given().get("data")
        if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
            raise Wrong(400, "attributes are texts, under `data`")
        self.server.identified = True
        self.server.write("told.jsonl", {"attributes": data})
        return b"", "application/json"

    def _deployment(self) -> tuple[bytes, str]:
        bundle = self.server.bundle
        artifact = {
            "filename": "update.raucb",
            "hashes": {name: hashlib.new(name, bundle).hexdigest() for name in ("sha1", "md5", "sha256")},
            "size": len(bundle),
            "_links": {"download": {"href": self.server.base + _ARTIFACT}},
        }
        chunk = {"part": "os", "version": "2", "name": "handset", "artifacts": [artifact]}
        deployment = {"download": "forced", "update": "forced", "chunks": [chunk]}
        return self._json({"id": ACTION, "deployment": deployment})

    def _artifact(self) -> tuple[bytes, str]:
        if "Range" in self.headers:
            raise Wrong(416, "nothing of it was fetched yet")
        self.server.write("told.jsonl", {"fetches": "update.raucb"})
        return self.server.bundle, "application/octet-stream"

    def _feedback(self) -> tuple[bytes, str]:
        given = self._given()
        if self.server.closed:
            raise Wrong(410, "that update is over")
        try:
            execution, result = given["status"]["execution"], given["status"]["result"]["finished"]
            details = given["status"].get("details", [])
        except (KeyError, TypeError) as error:
            raise Wrong(400, "no status") from error
        if execution not in _EXECUTIONS or result not in _FINISHED or given.get("id", ACTION) != ACTION:
            raise Wrong(400, f"no such status: {execution}, {result}")
        self.server.closed = execution == "closed"
        self.server.write("told.jsonl", {"execution": execution, "result": result, "details": details})
        return b"", "application/json"


def main() -> None:
    server = Server(Path(sys.argv[1]))
    (server.folder / "port").write_text(str(server.server_port))
    server.serve_forever()


if __name__ == "__main__":
    main()
