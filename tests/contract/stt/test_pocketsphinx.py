"""pocketsphinx as a stage of the chain, with real voices: what all stages owe, and what is its own."""

import sys

import pytest

from appliance.errors import DriverMissing, SetupRejected
from appliance.providers.stt.pocketsphinx import PocketsphinxTranscription
from appliance.stages import Hearing, SpeechToText
from tests.contract.stt.contract import SttContract
from tests.rig.spoken import cough, speech


@pytest.fixture(scope="module")
def loaded() -> PocketsphinxTranscription:
    """One for all, since its model takes long to load."""
    return PocketsphinxTranscription({})


class TestPocketsphinx(SttContract):
    name = "pocketsphinx"
    texts = ("one two three", "red green", "what time is it")

    @pytest.fixture
    def stage(self, loaded: PocketsphinxTranscription) -> SpeechToText:
        return loaded

    def spoken(self, text: str, rate: int) -> bytes:
        return speech(text, rate, lead=0.3, tail=0.3).tobytes() if text else bytes(rate * 2)

    async def test_a_sentence_is_written_down(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            for turn, text in enumerate(("turn the volume up", "please call my mother"), start=1):
                assert await self.asks(listener, turn, text) == text

    async def test_a_turn_that_was_none_leaves_nothing_in_the_decoder(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as listener:
            await listener.says(1, cough(0.4).tobytes())
            await listener.transcription.discard(1)
            assert await self.asks(listener, 2, self.texts[0]) == self.texts[0]

    async def test_a_turn_that_is_left_open_does_not_hold_up_the_next(self, stage: SpeechToText) -> None:
        async with self.listening(stage) as one, self.listening(stage) as other:
            await one.says(1, self.spoken(self.texts[0], stage.rate))
            assert await self.asks(other, 1, self.texts[1]) == self.texts[1]
            await one.transcription.commit(1)
            assert await one.final(1) == self.texts[0]

    async def test_other_languages_are_a_matter_of_the_configuration(self, stage: SpeechToText) -> None:
        with pytest.raises(SetupRejected, match="English"):
            await stage.connect(Hearing(language="de"))
        await (await stage.connect(Hearing(language="en-GB"))).close()

    async def test_without_the_library_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pocketsphinx", None)
        stage = PocketsphinxTranscription({})
        with pytest.raises(DriverMissing) as caught:
            await stage.warm()
        assert caught.value.hint == "pip install pocketsphinx"
        await stage.close()
