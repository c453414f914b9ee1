"""A person in the room: speaks into the private sound server's microphone and listens to its speaker."""

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from tests.rig.sound_server import SPEAKER, SoundServer
from tests.rig.sounds import Samples, write_wav
from tests.rig.spoken import speech

RATE = 16_000
_SPEAKING_RATE = 48_000


class RoomPerson:
    """`with RoomPerson(server) as person, person.listening() as ear:` then `ear()` is all that was heard since."""

    def __init__(self, server: SoundServer) -> None:
        self._server = server
        self._files = tempfile.TemporaryDirectory(prefix="handset-room-")
        self._numbers = itertools.count()

    def say(self, what: str | Samples) -> float:
        """Begin to say it; samples at 48 kHz. Returns how many seconds it lasts."""
        samples = speech(what, _SPEAKING_RATE) if isinstance(what, str) else what
        wav = write_wav(Path(self._files.name) / f"{next(self._numbers)}.wav", samples, _SPEAKING_RATE)
        self._server.play(wav, wait=False)
        return len(samples) / _SPEAKING_RATE

    @contextlib.contextmanager
    def listening(self, speaker: str = SPEAKER) -> Iterator[Callable[[], Samples]]:
        with self._server.record(rate=RATE, speaker=speaker) as recording:
            yield recording.samples

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.cleanup()
