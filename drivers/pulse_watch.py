"""Watches a PulseAudio server, or PipeWire in its place, through `pactl`: its devices, and where our streams go.

The server moves a stream whose device went away to any other device, often the monitor of the speaker, and tells the
program nothing. Who must not hear itself has to look from outside: `pactl subscribe` tells within milliseconds.
"""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

Kind = Literal["input", "output"]

QUERY_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.5
_EVENT: Final = re.compile(r"Event '(\w+)' on ([\w-]+) #(\d+)")
_DEVICES: Final[Mapping[Kind, str]] = {"input": "sources", "output": "sinks"}
_STREAMS: Final[Mapping[Kind, str]] = {"input": "source-outputs", "output": "sink-inputs"}
_DEVICE_OF_STREAM: Final[Mapping[Kind, str]] = {"input": "source", "output": "sink"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A source or sink of the server. `index` is good until the device goes, `name` also after it came back."""

    index: int
    name: str
    channels: int
    rate: int
    default: bool
    usable: bool
    """False for the monitor of a sink, and for the dummy that the server makes when it has no device at all."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """`change` is new, change or remove; `facility` is source, sink, source-output, sink-input, server and so on."""

    change: str
    facility: str
    index: int


class PulseWatch:
    """Follows the server that this process's audio would go to, through its deaths and returns.

    `heard` is called on the watch's thread for each event, and with None when the server came or went.
    """

    def __init__(self, heard: Callable[[ServerEvent | None], None]) -> None:
        self._heard = heard
        self._stopping = threading.Event()
        self._subscription: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._follow, name="pulse-watch", daemon=True)
        self._up = False
        self.settled = threading.Event()
        """Set once it is known for the first time whether there is a server."""

    def start(self) -> None:
        if shutil.which("pactl"):
            self._thread.start()
        else:
            self.settled.set()

    def stop(self) -> None:
        """Ends the subscription and joins the thread; at most 0.5 s."""
        self._stopping.set()
        subscription = self._subscription
        if subscription is not None:
            subscription.terminate()
        if self._thread.is_alive():
            self._thread.join(0.5)

    @property
    def up(self) -> bool:
        """Whether a server answers, as far as the subscription knows."""
        return self._up

    def endpoints(self, kind: Kind) -> list[Endpoint]:
        """The server's sources or sinks; empty when no server answers."""
        return list_endpoints(kind)

    def streams(self, kind: Kind) -> dict[int, int] | None:
        """This process's streams: stream index to device index. None when the server did not say."""
        listed = _query("list", _STREAMS[kind])
        if listed is None:
            return None
        ours = str(os.getpid())
        return {
            entry["index"]: entry[_DEVICE_OF_STREAM[kind]]
            for entry in listed
            if entry.get("properties", {}).get("application.process.id") == ours
        }

    def _follow(self) -> None:
        while not self._stopping.is_set():
            if _server_may_run():
                self._subscribe()
            self.settled.set()
            self._stopping.wait(RETRY_SECONDS)

    def _subscribe(self) -> None:
        """Runs `pactl subscribe` until it ends, which it does with the server."""
        command = [*_die_with_this_thread(), "pactl", "subscribe"]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_environment(),
        ) as process:
            self._subscription = process
            if not self._stopping.is_set() and _query("info") is not None:
                self._up = True
                self.settled.set()
                self._heard(None)
            else:
                process.terminate()
            for line in process.stdout or ():
                if event := _EVENT.match(line):
                    self._heard(ServerEvent(event[1], event[2], int(event[3])))
        self._subscription = None
        if self._up:
            self._up = False
            self._heard(None)


def list_endpoints(kind: Kind) -> list[Endpoint]:
    """Sources or sinks of the server, the default one marked; empty when no server answers or `pactl` is missing."""
    info = _query("info")
    if info is None:
        return []
    default = info.get("default_source_name" if kind == "input" else "default_sink_name", "")
    return [_endpoint(entry, default) for entry in _query("list", _DEVICES[kind]) or []]


def _endpoint(entry: Mapping[str, Any], default: str) -> Endpoint:
    words = str(entry.get("sample_specification", "")).split()
    channels, rate = (
        (int(words[1].removesuffix("ch")), int(words[2].removesuffix("Hz"))) if len(words) == 3 else (0, 0)
    )
    name = entry["name"]
    monitor = entry.get("properties", {}).get("device.class") == "monitor" or name.endswith(".monitor")
    return Endpoint(
        entry["index"], name, channels, rate, name == default, usable=not monitor and name != "auto_null"
    )


def _query(*words: str) -> Any:
    """The answer of one `pactl` command as JSON, or None when there is no server, no pactl, or no answer in time."""
    pactl = shutil.which("pactl")
    if pactl is None or not _server_may_run():
        return None
    try:
        done = subprocess.run(
            [pactl, "--format=json", *words],
            capture_output=True,
            timeout=QUERY_SECONDS,
            env=_environment(),
            check=False,
        )
        return json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def _server_may_run() -> bool:
    """Whether a socket is there to connect to. `pactl` would else start a server, and cost a process each time."""
    server = os.environ.get("PULSE_SERVER", "")
    if server:
        path = server.split("}")[-1].removeprefix("unix:")
        return not path.startswith("/") or Path(path).exists()
    folders = [
        os.environ.get("PULSE_RUNTIME_PATH"),
        f"{os.environ.get('XDG_RUNTIME_DIR', f'/run/user/{os.getuid()}')}/pulse",
    ]
    found = [Path(folder) / "native" for folder in folders if folder]
    found += [
        Path("/run/pulse/native"),
        Path("/var/run/pulse/native"),
        *Path.home().glob(".config/pulse/*-runtime/native"),
    ]
    return any(path.exists() for path in found)


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}


def _die_with_this_thread() -> list[str]:
    """A prefix that ends the subscription when this process is killed; util-linux has it on every Debian."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []
