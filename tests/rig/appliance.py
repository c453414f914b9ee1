"""The appliance as people run it: `handset run` as a process, with a configuration and ports of its own.

    async with Handset(sound=server, sip={"server": registrar.server, "user": "handset"}) as handset:
        client = handset.client
        await client.event("registration", state="registered")

When the `with` ends without a fault, the end is part of the test: exit 0 within 5 s of SIGTERM, no process left, and
a log without tracebacks, without a library's chatter and without a word of what was said.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from tests.rig.control_client import ControlClient
from tests.rig.peer import Peer, end_process, start_process, until
from tests.rig.ports import free_port, free_range
from tests.rig.sip_peers import password_of
from tests.rig.sound_server import SoundServer

READY_SECONDS = 30.0
STOP_SECONDS = 50.0
"""Ten times what is promised: the daemon keeps that promise by a timer of its own, with another exit code."""
CHATTER = (
    "ALSA lib",
    "Expression '",
    "jack server",
    "Cannot connect to server",
    "snd_",
    "Fatal Python",
    "pj_",
    "Segmentation",
)
SHORTEST_SECRET = 10
"""Shorter texts ("It's noon.") could stand in a log by chance."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process and its SIP process hold."""

    threads: int
    files: int
    children: int
    rss_mb: float
    sip_rss_mb: float


class Handset(Peer):
    """`sections` are those of the configuration file; `sip` and `sound` complete them. `ready=False` does not wait."""

    def __init__(
        self,
        *,
        sound: SoundServer | None = None,
        sip: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        directory: Path | None = None,
        ready: bool = True,
        prefix: tuple[str, ...] = (),
        **sections: Mapping[str, Any],
    ) -> None:
        super().__init__("appliance")
        self.port = free_port()
        self.sip_port = free_port()
        self.state = directory or self.directory / "state"
        self.config = self.directory / "handset.toml"
        self.secrets: set[str] = set()
        self.sections: dict[str, dict[str, Any]] = {
            "control": {"port": self.port},
            "storage": {"directory": str(self.state)},
            "room": {"enabled": sound is not None},
            "log": {"level": "info"},
        }
        if sip is not None:
            first = free_range(40)
            password = str(sip.get("password", password_of(str(sip.get("user", "nobody")))))
            self.secrets.add(password)
            self.sections["sip"] = {
                "enabled": True,
                "bind": "127.0.0.1",
                "port": self.sip_port,
                "rtp_ports": f"{first}-{first + 39}",
                "codecs": ["PCMU", "PCMA", "G722"],
                **sip,
                "password": password,
            }
        for name, values in sections.items():
            self.sections[name] = {**self.sections.get(name, {}), **values}
            self.secrets |= {str(values[key]) for key in ("api_key",) if values.get(key)}
        self._sound = sound
        self._environ = dict(environ or {})
        self._prefix = prefix
        self._wait = ready
        self._watching: ControlClient | None = None

    # --- start and end ----------------------------------------------------------------------------------------------

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the process, and of the verbs that talk to it."""
        known = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("HANDSET_", "PULSE_")) and key != "NOTIFY_SOCKET"
        }
        sound = self._sound.env if self._sound else {"PULSE_SERVER": f"unix:{self.directory}/nothing"}
        return {**known, **sound, "HOME": str(self.directory), **self._environ}

    async def start(self) -> None:
        self.config.write_text(toml(self.sections))
        self.process = self.spawn("run", "--config", str(self.config), log="handset.log")
        self.began = time.monotonic()
        await until(self._answers_or_ended, READY_SECONDS, "the control API listens")
        assert self.process.poll() is None, self.text()
        self._watching = await ControlClient(self.port).__aenter__()
        if self._wait:
            await self.ready()

    def spawn(self, *words: str, log: str) -> subprocess.Popen[bytes]:
        """One verb as a process of its own."""
        command = [*self._prefix, "env", "-i", *(f"{key}={value}" for key, value in self.environ.items())]
        return start_process(
            [*command, sys.executable, "-m", "appliance.cli", *words], _ROOT, str(self.directory / log)
        )

    async def run(self, *words: str, seconds: float = 60.0, config: bool = True) -> tuple[int, str, str]:
        """One verb to its end; exit code, stdout and stderr. It knows where the daemon is."""
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "appliance.cli",
                *words,
                *(("--config", str(self.config)) if config else ()),
            ),
            env=self.environ,
            cwd=_ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
            raise AssertionError(f"handset {words} did not end within {seconds} s: {out!r} {err!r}") from None
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        watching, self._watching = self._watching, None
        if watching is not None:
            self.secrets |= _said(watching)
            await watching.__aexit__(None, None, None)
        await super().stop(sign)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.process is not None:
                await self.end()
            elif error is not None:
                error.add_note(f"--- the appliance's log:\n{self.text()[-6000:]}")
        finally:
            await self._leave()

    async def discard(self) -> None:
        """Gone, whatever became of it; nothing is checked."""
        await self._leave()

    async def reload(self, **sections: Mapping[str, Any]) -> None:
        """These keys get other values, in the running daemon: all of them must be such that a reload can set."""
        for name, values in sections.items():
            self.sections[name] = {**self.sections.get(name, {}), **values}
        await self.restore(self.sections)

    async def restore(self, sections: dict[str, dict[str, Any]]) -> None:
        """A whole configuration, put in force in the running daemon."""
        self.sections = sections
        self.config.write_text(toml(sections))
        told = await self.client.ask("config.reload")
        assert not told["restart"], told

    async def end(self) -> float:
        """SIGTERM; check how it ends. Returns how many seconds that took."""
        process = self.process
        assert process is not None
        assert process.poll() is None, f"it ended by itself with {process.poll()}:\n{self.text()}"
        family = self.family()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(_wait, process)
        took = time.monotonic() - began
        await self.stop()
        left = [child.cmdline() for child in family if child.is_running() and child.status() != "zombie"]
        text = self.text()
        assert process.returncode == 0, f"exit {process.returncode} after {took:.1f} s:\n{text}"
        assert took <= STOP_SECONDS, f"it took {took:.1f} s to end:\n{text}"
        assert not left, f"processes are left: {left}"
        self.check_log()
        return took

    def check_log(self) -> None:
        """No traceback, no library's chatter, nothing that was said."""
        text = self.text()
        assert "Traceback" not in text, text
        assert not [
            line for line in text.splitlines() if line.lower().startswith(('  file "', "exception"))
        ], text
        for word in CHATTER:
            assert word not in text, f"{word!r} in the log:\n{text}"
        for secret in self.secrets:
            assert secret.lower() not in text.lower(), f"{secret!r} in the log:\n{text}"

    # --- what is seen -----------------------------------------------------------------------------------------------

    @property
    def client(self) -> ControlClient:
        """A client that has seen every event since the control API listened."""
        assert self._watching is not None
        return self._watching

    def forget(self) -> None:
        """From here on the client has seen nothing; what was said until now is in no log still."""
        self.secrets |= _said(self.client)
        self.client.events.clear()

    def client_of_own(self) -> ControlClient:
        return ControlClient(self.port)

    def text(self) -> str:
        """The whole log."""
        path = self.directory / "handset.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def page(self, path: str) -> tuple[int, str]:
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{self.port}{path}")

    async def ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until /ready says 200."""
        deadline = time.monotonic() + seconds
        while True:
            status, text = await self.page("/ready")
            if status == 200:
                return
            assert self.process is not None
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, f"not ready within {seconds} s: {text}\n{self.text()}"
            await asyncio.sleep(0.02)

    @property
    def uri(self) -> str:
        return f"sip:handset@127.0.0.1:{self.sip_port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def family(self) -> list[psutil.Process]:
        """The daemon and all that it started."""
        daemon = psutil.Process(self.pid)
        return [daemon, *daemon.children(recursive=True)]

    def sip_process(self) -> psutil.Process | None:
        for child in self.family()[1:]:
            if "sip_pjsua2" in " ".join(child.cmdline()):
                return child
        return None

    def footprint(self) -> Footprint:
        daemon = psutil.Process(self.pid)
        sip = self.sip_process()
        return Footprint(
            daemon.num_threads() + (sip.num_threads() if sip else 0),
            daemon.num_fds() + (sip.num_fds() if sip else 0),
            len(self.family()) - 1,
            daemon.memory_info().rss / 1e6,
            sip.memory_info().rss / 1e6 if sip else 0.0,
        )

    def cpu_seconds(self) -> float:
        """Of the daemon, its children, and those that have ended."""
        total = 0.0
        for process in self.family():
            times = process.cpu_times()
            total += times.user + times.system
            if process.pid == self.pid:
                total += times.children_user + times.children_system
        return total

    def _answers_or_ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None or _get(f"http://127.0.0.1:{self.port}/live")[0] == 200


_ROOT = Path(__file__).resolve().parents[2]


def toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """A configuration file; JSON's texts, numbers, booleans and lists are TOML's too."""
    lines: list[str] = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines.extend(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in values.items())
    return "\n".join(lines) + "\n"


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http to ourselves
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        end_process(process, signal.SIGKILL)


def _said(client: ControlClient) -> set[str]:
    """What was said by anybody, and what tools were given, as far as it is long enough to be known again."""
    texts = {str(event.get("text", "")) for event in client.of("transcript") if event.get("final")}
    texts |= {str(value) for event in client.of("tool.call") for value in event["arguments"].values()}
    return {text for text in texts if len(text) >= SHORTEST_SECRET}
