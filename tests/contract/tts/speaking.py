"""Stages of a service that are built, asked to speak, listened to, and closed."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from appliance.errors import ProviderUnavailable
from appliance.providers.tts.terms import Terms
from appliance.stages import Piece, Sound, TextToSpeech, Word
from tests.contract.tts.services import PATIENT, Service


class Speaker:
    """Builds stages for a cloud, and closes them."""

    def __init__(self, service: Service, cloud: Any) -> None:
        self._service = service
        self._cloud = cloud
        self._built: list[TextToSpeech] = []

    def __call__(self, terms: Terms = PATIENT, **settings: Any) -> TextToSpeech:
        given = {"base_url": self._cloud.base_url, "api_key": self._cloud.key, **settings}
        stage = self._service.stage(given, terms=terms)
        self._built.append(stage)
        return stage

    async def close(self) -> None:
        for stage in self._built:
            await stage.close()


@dataclass
class Heard:
    """All that came of a piece."""

    sounds: list[Sound] = field(default_factory=list)

    @property
    def pcm(self) -> bytes:
        return b"".join(sound.pcm for sound in self.sounds)

    @property
    def rates(self) -> set[int]:
        return {sound.rate for sound in self.sounds}

    @property
    def words(self) -> list[Word]:
        return [word for sound in self.sounds for word in sound.words]


async def until(holds: Callable[[], Any]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in the fake
            await asyncio.sleep(0.01)


async def say(stage: TextToSpeech, text: str, **how: Any) -> Heard:
    heard = Heard()
    async for sound in stage.speak(Piece(text, **how)):
        assert len(sound.pcm) % 2 == 0
        heard.sounds.append(sound)
    return heard


async def say_at_last(stage: TextToSpeech, text: str) -> Heard:
    """A busy machine may take longer than a hasty stage waits."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(ProviderUnavailable):
                return await say(stage, text)
            await asyncio.sleep(0.02)
