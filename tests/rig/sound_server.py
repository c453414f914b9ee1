"""A private sound server for a test: PulseAudio with a virtual microphone and speaker, in a directory of its own.

    with SoundServer() as server, server.in_this_process():   # or a child with env={**os.environ, **server.env}
        server.play(wav)                    # the person speaks: into the microphone
        with server.record() as recording:  # what the speaker sounds
            ...
        samples = recording.samples()

Several may run side by side. The server and its players end with this process, even when it is killed.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pytest

MICROPHONE = "microphone"
SPEAKER = "speaker"
START_SECONDS = 10.0
_PLAYER_LATENCY_MS = 100
"""A player that is late by less leaves no gap in what it plays."""
_AIR = "auto_null"
"""Sounds put in here reach the microphone. The name is that of a server's dummy: nobody takes it for a loudspeaker."""


class Recording:
    """What the speaker sounds, as a growing file of s16le mono at `rate`."""

    def __init__(self, path: Path, rate: int, process: subprocess.Popen[bytes]) -> None:
        self.path = path
        self.rate = rate
        self._process = process

    def stop(self) -> None:
        _end(self._process)

    def samples(self) -> npt.NDArray[np.int16]:
        """All that was recorded so far."""
        pcm = self.path.read_bytes()
        return np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype=np.int16)


class SoundServer:
    """One server. `microphone` and `speaker` are its default source and sink, to be unplugged and plugged again."""

    def __init__(self, *, microphone: bool = True, speaker: bool = True, running: bool = True) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="handset-sound-"))
        self.socket = self.directory / "native"
        self._begin_with = (microphone, speaker, running)
        self._process: subprocess.Popen[bytes] | None = None
        self._players: list[subprocess.Popen[bytes]] = []
        self._modules: dict[str, str] = {}
        (self.directory / "cookie").write_bytes(os.urandom(256))

    @property
    def env(self) -> dict[str, str]:
        """What a child process needs in its environment to use this server."""
        return {"PULSE_SERVER": f"unix:{self.socket}", "PULSE_COOKIE": str(self.directory / "cookie")}

    @contextlib.contextmanager
    def in_this_process(self) -> Iterator[None]:
        """This process, and its children, use this server."""
        before = {key: os.environ.get(key) for key in self.env}
        os.environ.update(self.env)
        try:
            yield
        finally:
            for key, value in before.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value

    def __enter__(self) -> Self:
        microphone, speaker, running = self._begin_with
        try:
            if running:
                self.start(microphone=microphone, speaker=speaker)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for player in self._players:
            _end(player)
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- the server -------------------------------------------------------------------------------------------------

    def start(self, *, microphone: bool = True, speaker: bool = True) -> None:
        """Starts the server and waits until it answers."""
        lines = [
            f"load-module module-native-protocol-unix auth-anonymous=1 socket={self.socket}",
            f"load-module module-null-sink sink_name={_AIR} rate=48000 channels=1 norewinds=1",
        ]
        configuration = self.directory / "pulse.pa"
        configuration.write_text("\n".join(lines) + "\n")
        self.socket.unlink(missing_ok=True)
        own = {"HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH"}
        env = {
            **os.environ,
            **dict.fromkeys(own, str(self.directory)),
            "PULSE_COOKIE": self.env["PULSE_COOKIE"],
        }
        env = {
            key: value
            for key, value in env.items()
            if key not in ("PULSE_SERVER", "PULSE_SOURCE", "PULSE_SINK")
        }
        command = [
            "pulseaudio",
            "-n",
            "-F",
            str(configuration),
            "--exit-idle-time=-1",
            "--daemonize=no",
            "--use-pid-file=no",
        ]
        with (self.directory / "log").open("ab") as log:
            self._process = _run(command, env, log.fileno())
        self._modules.clear()
        self._wait_until_it_answers()
        if speaker:
            self.plug_speaker()
        if microphone:
            self.plug_microphone()

    def kill(self) -> None:
        """The server is gone from one moment to the next."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            _end(self._process, signal.SIGKILL)
            self._process = None

    def freeze(self) -> None:
        """The server stops answering, but stays."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def pactl(self, *words: str) -> str:
        """Runs one `pactl` command; returns what it prints."""
        done = subprocess.run(
            ["pactl", *words],
            env={**os.environ, **self.env, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"pactl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self._process is not None
            try:
                if self.socket.exists():
                    self.pactl("info")
                    return
            except (RuntimeError, subprocess.TimeoutExpired):
                pass  # the socket is there before the server answers
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"pulseaudio did not start: {(self.directory / 'log').read_text()}")
            time.sleep(0.02)

    # --- its devices ------------------------------------------------------------------------------------------------

    def plug_microphone(self, name: str = MICROPHONE) -> None:
        self._modules[name] = self.pactl(
            "load-module", "module-remap-source", f"source_name={name}", f"master={_AIR}.monitor"
        ).strip()
        self.pactl("set-default-source", name)

    def plug_speaker(self, name: str = SPEAKER) -> None:
        self._modules[name] = self.pactl(
            "load-module", "module-null-sink", f"sink_name={name}", "rate=48000", "channels=2", "norewinds=1"
        ).strip()
        self.pactl("set-default-sink", name)

    def unplug(self, name: str) -> None:
        """Pulls the microphone or the speaker; the server moves its streams elsewhere, as it does with real ones."""
        self.pactl("unload-module", self._modules.pop(name))

    # --- what is said and heard -------------------------------------------------------------------------------------

    def play(self, wav: Path, *, wait: bool = True) -> subprocess.Popen[bytes]:
        """Somebody speaks `wav` into the microphone."""
        command = ["paplay", f"--device={_AIR}", f"--latency-msec={_PLAYER_LATENCY_MS}", str(wav)]
        return self._player(command, wait=wait)

    def play_echo(self, *, latency_ms: int = 20, level_db: float = 0.0) -> None:
        """From now on the microphone hears the speaker, as in a room; `level_db` against what the speaker plays."""
        module = self.pactl(
            "load-module",
            "module-loopback",
            f"source={SPEAKER}.monitor",
            f"sink={_AIR}",
            f"latency_msec={latency_ms}",
        ).strip()
        for stream in json.loads(self.pactl("--format=json", "list", "sink-inputs")):
            if stream["owner_module"] == module:
                self.pactl("set-sink-input-volume", str(stream["index"]), f"{level_db}dB")

    @contextlib.contextmanager
    def record(self, *, rate: int = 16_000, speaker: str = SPEAKER) -> Iterator[Recording]:
        """Records what the speaker sounds until the end of the block; the recording can be read after it as well."""
        handle, name = tempfile.mkstemp(suffix=".s16", dir=self.directory)
        command = [
            "parec",
            f"--device={speaker}.monitor",
            "--raw",
            "--format=s16le",
            f"--rate={rate}",
            "--channels=1",
            "--latency-msec=20",
        ]
        process = _run(command, {**os.environ, **self.env}, subprocess.DEVNULL, stdout=handle)
        os.close(handle)
        self._players.append(process)
        recording = Recording(Path(name), rate, process)
        try:
            self._wait_for_first_sample(recording)
            yield recording
        finally:
            recording.stop()

    def _wait_for_first_sample(self, recording: Recording) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not len(recording.samples()):
            if time.monotonic() > deadline:
                raise RuntimeError("parec records nothing")
            time.sleep(0.01)

    def _player(self, command: list[str], *, wait: bool) -> subprocess.Popen[bytes]:
        process = _run(command, {**os.environ, **self.env}, subprocess.DEVNULL)
        self._players.append(process)
        if wait and process.wait(60) != 0:
            raise RuntimeError(f"{command[0]} failed with {process.returncode}")
        return process


@pytest.fixture
def sound_server() -> Iterator[SoundServer]:
    """A private sound server that this process uses."""
    with SoundServer() as server, server.in_this_process():
        yield server


def _run(
    command: list[str], env: dict[str, str], stderr: int, *, stdout: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Starts a child that ends with this process; with the thread that starts it, to be exact."""
    prefix = ["setpriv", "--pdeathsig", "KILL"]
    return subprocess.Popen(
        [*prefix, *command], env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
    )


def _end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(3)
