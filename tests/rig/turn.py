"""coturn: a STUN and TURN server for a test, at an address of this machine."""

import shutil

from tests.rig.peer import Peer, start_process, until
from tests.rig.ports import free_port, free_range

_RELAYS = 40


def turn_missing() -> bool:
    return shutil.which("turnserver") is None


class TurnServer(Peer):
    """Takes `user` with `password`; STUN for everybody."""

    user = "handset"
    password = "pw-relay"

    def __init__(self, host: str) -> None:
        super().__init__("turn")
        self._host = host
        self._port = free_port()
        self._relays = free_range(_RELAYS)

    @property
    def server(self) -> str:
        return f"{self._host}:{self._port}"

    async def start(self) -> None:
        arguments = [
            *(
                "turnserver",
                "-c",
                "/dev/null",
                "-n",
                "-L",
                self._host,
                "-p",
                str(self._port),
                "-E",
                self._host,
            ),
            *("-a", "-u", f"{self.user}:{self.password}", "-r", "test", "--no-tls", "--no-dtls", "--no-cli"),
            *("--min-port", str(self._relays), "--max-port", str(self._relays + _RELAYS - 1)),
            *("--allow-loopback-peers", "--log-file", "stdout", "--pidfile", str(self.directory / "pid")),
            *("--userdb", str(self.directory / "users")),
        ]
        process = self.process = start_process(arguments, self.directory, "turn.log")
        await until(lambda: process.poll() is not None or "auth thread" in self.log(), 10, "coturn listens")
        assert process.poll() is None, self.log()
