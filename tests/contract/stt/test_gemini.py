"""Gemini's transcripts of whole turns as a stage of the chain: what all stages owe, and what is its own."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from appliance.errors import ProviderUnavailable, SetupRejected
from appliance.providers.stt.gemini import GeminiTranscription
from appliance.stages import SpeechToText
from tests.contract.stt.one_shot import OneShotContract
from tests.fakes.gemini_transcribe import STEPS, FakeGeminiEar
from tests.rig.coded_speech import coded


def section(cloud: Any, **more: Any) -> Mapping[str, Any]:
    return {"base_url": cloud.base_url, "api_key": cloud.key, **more}


class TestGemini(OneShotContract):
    name = "gemini"
    steps = STEPS

    @pytest.fixture
    async def cloud(self) -> AsyncIterator[FakeGeminiEar]:
        async with FakeGeminiEar() as cloud:
            yield cloud

    def section(self, cloud: Any) -> Mapping[str, Any]:
        return section(cloud)

    async def test_the_service_is_told_language_and_names(
        self, stage: SpeechToText, cloud: FakeGeminiEar
    ) -> None:
        async with self.listening(stage, language="de-AT", keywords=("Gugelhupf",)) as listener:
            await self.asks(listener, 1, "one")
        told = str(cloud.asked[0]["systemInstruction"])
        assert "de-AT" in told
        assert "Gugelhupf" in told
        assert cloud.asked[0]["generationConfig"] == {
            "temperature": 0.0,
            "thinkingConfig": {"thinkingLevel": "LOW"},
        }

    @pytest.mark.parametrize(
        "answer",
        ["[SILENCE]", " [silence].\n", "(Silence)", "SILENCE", "**[SILENCE]**", "", "[SILENCE] [SILENCE]"],
    )
    async def test_sound_that_nobody_speaks_in_is_understood_as_nothing(
        self, stage: SpeechToText, cloud: FakeGeminiEar, answer: str
    ) -> None:
        async with self.listening(stage) as listener:
            cloud.will_answer({"candidates": [{"content": {"parts": [{"text": answer}]}}]})
            assert await self.asks(listener, 1, "one") == ""
            assert listener.finals(1)[0].strip(" .*") == ""
            assert await self.asks(listener, 2, "red") == "red"

    async def test_silence_may_be_spoken_of(self, stage: SpeechToText, cloud: FakeGeminiEar) -> None:
        async with self.listening(stage) as listener:
            cloud.will_answer(
                {"candidates": [{"content": {"parts": [{"text": "Silence, please. [SILENCE]"}]}}]}
            )
            assert await self.asks(listener, 1, "one") == "silence please"

    async def test_what_the_service_will_not_write_down_is_nothing(
        self, stage: SpeechToText, cloud: FakeGeminiEar
    ) -> None:
        async with self.listening(stage) as listener:
            cloud.will_answer({"promptFeedback": {"blockReason": "OTHER"}})
            assert await self.asks(listener, 1, "one") == ""
            cloud.will_answer({"candidates": [{"finishReason": "SAFETY"}]})
            assert await self.asks(listener, 2, "one") == ""

    @pytest.mark.parametrize("answer", [b"{", b"", b"[]", {}])
    async def test_an_answer_that_is_none_ends_the_connection(
        self, stage: SpeechToText, cloud: FakeGeminiEar, answer: Any
    ) -> None:
        async with self.listening(stage) as listener:
            cloud.will_answer(answer)
            await listener.says(1, coded("one"))
            await listener.transcription.commit(1)
            assert isinstance(await listener.lost(), ProviderUnavailable)

    async def test_a_gateway_that_knows_no_list_of_models_will_do(
        self, stage: SpeechToText, cloud: FakeGeminiEar
    ) -> None:
        cloud.knows_models = False
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, "one") == "one"

    async def test_a_model_that_cannot_think_little_is_not_asked_to(self, cloud: FakeGeminiEar) -> None:
        stage = GeminiTranscription(section(cloud, model="gemini-3.1-pro-preview"))
        async with self.listening(stage) as listener:
            assert await self.asks(listener, 1, "one") == "one"
        await stage.close()
        assert cloud.violations == []

    async def test_an_unknown_model_is_a_matter_of_the_configuration(self, cloud: FakeGeminiEar) -> None:
        stage = GeminiTranscription(section(cloud, model="gemini-nonsense"))
        async with self.listening(stage) as listener:
            await listener.says(1, coded("one"))
            await listener.transcription.commit(1)
            assert isinstance(await listener.lost(), SetupRejected)
        await stage.close()
