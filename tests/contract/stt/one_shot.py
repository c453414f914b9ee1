"""What a speech-to-text stage owes the chain that asks for each turn over HTTP. Inherit OneShotContract."""

import asyncio
from collections.abc import Callable
from typing import Any

from appliance.errors import ProviderUnavailable
from appliance.stages import SpeechToText
from tests.contract.stt.service_contract import SttServiceContract


class OneShotContract(SttServiceContract):
    """Its `cloud` is an HttpService with `files`, the PCM of the turns that it was asked for."""

    notices_silence = False

    async def test_a_connection_that_is_reset_ends_and_the_next_one_works(
        self, stage: SpeechToText, cloud: Any
    ) -> None:
        """Of those that nothing is asked on nobody hears."""
        async with self.listening(stage) as listener:
            await self.asks(listener, 1, self.texts[0])
            cloud.drop()
            assert await self.asks(listener, 2, self.texts[1]) == self.texts[1]
            cloud.stall()
            await listener.says(3, self.spoken(self.texts[2], stage.rate))
            await listener.transcription.commit(3)
            await _until(lambda: cloud.links > 0)
            cloud.drop()
            assert isinstance(await listener.lost(), ProviderUnavailable)
        cloud.go_on()
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 3, self.texts[2]) == self.texts[2]

    async def test_an_answer_that_does_not_come_ends_the_connection(
        self, stage: SpeechToText, cloud: Any
    ) -> None:
        stage = type(stage)({**self.section(cloud), "deadline": 1.0})  # type: ignore[call-arg]
        async with self.listening(stage) as listener:
            await self.asks(listener, 1, self.texts[0])
            cloud.stall()
            await listener.says(2, self.spoken(self.texts[1], stage.rate))
            await listener.transcription.commit(2)
            assert isinstance(await listener.lost(), ProviderUnavailable)
        cloud.go_on()
        await stage.close()

    async def test_silence_is_not_sent(self, stage: SpeechToText, cloud: Any) -> None:
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, "") == ""
            await listener.transcription.commit(2)
            assert await listener.final(2) == ""
        assert cloud.files == []

    async def test_a_turn_is_sent_once_and_whole(self, stage: SpeechToText, cloud: Any) -> None:
        spoken = self.spoken(self.texts[0], stage.rate)
        async with self.listening(stage) as listener:
            await self.asks(listener, 1, self.texts[0])
        assert cloud.files == [spoken]

    async def test_of_a_turn_without_end_the_last_minute_is_sent(
        self, stage: SpeechToText, cloud: Any
    ) -> None:
        spoken = bytes(stage.rate * 2 * 61) + self.spoken(self.texts[0], stage.rate)
        async with self.listening(stage) as listener:
            await listener.says(1, spoken, milliseconds=100)
            await listener.transcription.commit(1)
            assert await listener.final(1) == self.texts[0]
        assert cloud.files == [spoken[-60 * stage.rate * 2 :]]

    async def test_a_turn_that_is_discarded_while_it_is_asked_for_is_asked_no_more(
        self, stage: SpeechToText, cloud: Any
    ) -> None:
        async with self.listening(stage) as listener:
            cloud.stall()
            await listener.says(1, self.spoken(self.texts[0], stage.rate))
            await listener.transcription.commit(1)
            await _until(lambda: cloud.links > 0)
            await listener.transcription.discard(1)
            await _until(lambda: cloud.links == 0)
            cloud.go_on()
            assert await self.asks(listener, 2, self.texts[1]) == self.texts[1]
            assert listener.transcripts(1) == []

    async def test_a_service_that_fails_at_a_turn_ends_the_connection(
        self, stage: SpeechToText, cloud: Any
    ) -> None:
        async with self.listening(stage) as listener:
            cloud.fail(503)
            await listener.says(1, self.spoken(self.texts[0], stage.rate))
            await listener.transcription.commit(1)
            assert isinstance(await listener.lost(), ProviderUnavailable)


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to that")
