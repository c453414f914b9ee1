"""The daemon under a service manager: it says how it is, and feeds the watchdog while all its parts live."""

import contextlib
import importlib.util
import signal
import socket
import time
import wave
from pathlib import Path

import psutil
import pytest

from tests.rig.appliance import Handset
from tests.rig.peer import until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        importlib.util.find_spec("systemd.daemon") is None,
        reason="systemd's Python module is not installed (python3-systemd)",
    ),
]
WATCHDOG = 2.4
FREEZING = """
import pathlib, time

class Detector:
    rate, frame_samples = 16000, 320

    def __init__(self, aggressiveness=2):
        self.frozen = pathlib.Path(__file__).with_name("frozen")

    def likelihood(self, pcm):
        while self.frozen.exists():
            time.sleep(0.05)
        return 0.0

    def reset(self):
        pass
"""


class Notices:
    """What comes over a notification socket; `fed` is when the watchdog was fed last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self.meals = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def read(self) -> list[str]:
        with contextlib.suppress(BlockingIOError):
            while True:
                told = self._socket.recv(4096).decode().splitlines()
                self.meals += told.count("WATCHDOG=1")
                self.lines += told
        return self.lines

    def close(self) -> None:
        self._socket.close()


def detector_that_freezes(directory: Path) -> Path:
    """A plug-in detector: the thread that it runs on stands still while the returned file is there."""
    about = directory / "freezing-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: freezing\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[appliance.voice_detectors]\nwebrtc = freezing:Detector\n")
    (directory / "freezing.py").write_text(FREEZING)
    return directory / "frozen"


async def test_frozen_parts_are_told_from_those_that_are_started_again(tmp_path):
    notices, frozen = Notices(tmp_path / "notify"), detector_that_freezes(tmp_path / "plugin")
    with wave.open(str(tmp_path / "in.wav"), "wb") as silence:
        silence.setparams((1, 2, 16_000, 0, "NONE", ""))
        silence.writeframes(bytes(3200))
    room = {
        "enabled": True,
        "sound_card": "wav",
        "input": f"{tmp_path}/in.wav",
        "output": f"{tmp_path}/out.wav",
    }
    environ = {
        "NOTIFY_SOCKET": str(notices.path),
        "WATCHDOG_USEC": str(int(WATCHDOG * 1e6)),
        "PYTHONPATH": str(tmp_path / "plugin"),
    }
    with contextlib.closing(notices):
        async with Handset(sip={}, environ=environ, room=room) as handset:
            await until(lambda: "READY=1" in notices.read(), 30, "READY")
            await until(lambda: "STATUS=ready" in notices.read(), 30, "STATUS")
            await until(lambda: notices.read() and notices.meals >= 2, 30, "the watchdog is fed")

            # The SIP process: the daemon's own to start again.
            stopped = handset.sip_process()
            assert stopped is not None
            stopped.send_signal(signal.SIGSTOP)
            await until(lambda: _other(handset.sip_process(), stopped.pid), 30, "another SIP process")
            meals = notices.meals
            await until(lambda: notices.read() and notices.meals > meals, 30, "the watchdog is still fed")

            # A thread of the daemon: nobody's to start again but systemd's.
            frozen.touch()
            await until(lambda: "STATUS=no sign of life from capture" in notices.read(), 30, "it is noticed")
            meals, since = notices.meals, time.monotonic()
            await until(lambda: time.monotonic() - since > WATCHDOG, 30, "the watchdog's limit is over")
            notices.read()
            assert notices.meals == meals
            assert "no sign of life from capture: the watchdog is not fed" in handset.text()
            frozen.unlink()
            await until(lambda: notices.read() and notices.meals > meals, 30, "the watchdog is fed again")


def _other(process: psutil.Process | None, pid: int) -> bool:
    return process is not None and process.pid != pid
