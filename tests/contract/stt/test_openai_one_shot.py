"""OpenAI's transcription of whole turns: what all stages owe, and what is its own."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from appliance.errors import SetupRejected
from appliance.providers.stt.openai import OpenAiTranscription
from appliance.stages import SpeechToText
from tests.contract.stt.one_shot import OneShotContract
from tests.fakes.openai_audio import STEPS, FakeOpenAiAudio
from tests.rig.coded_speech import coded


def section(cloud: Any, **more: Any) -> Mapping[str, Any]:
    return {"mode": "one_shot", "base_url": cloud.base_url, "api_key": cloud.key, **more}


class TestOpenAiOneShot(OneShotContract):
    name = "openai"
    steps = STEPS

    @pytest.fixture
    async def cloud(self) -> AsyncIterator[FakeOpenAiAudio]:
        async with FakeOpenAiAudio() as cloud:
            yield cloud

    def section(self, cloud: Any) -> Mapping[str, Any]:
        return section(cloud)

    async def test_the_service_is_told_language_and_names(
        self, stage: SpeechToText, cloud: FakeOpenAiAudio
    ) -> None:
        async with self.listening(stage, language="de-AT", keywords=("Gugelhupf", "Zwetschke")) as listener:
            await self.asks(listener, 1, "one")
        assert cloud.asked == [
            {
                "model": ["gpt-transcribe"],
                "language": ["de"],
                "keywords[]": ["Gugelhupf", "Zwetschke"],
                "response_format": ["json"],
                "stream": ["true"],
            }
        ]

    async def test_a_model_that_knows_no_keywords_is_prompted_with_them(self, cloud: FakeOpenAiAudio) -> None:
        stage = OpenAiTranscription(section(cloud, model="whisper-1"))
        async with self.listening(stage, keywords=("Gugelhupf", "Zwetschke")) as listener:
            await self.asks(listener, 1, "one")
        assert cloud.asked[0]["prompt"] == ["Gugelhupf, Zwetschke"]
        await stage.close()
        assert cloud.violations == []

    @pytest.mark.parametrize("form", ["whole", "chat"])
    async def test_servers_of_other_makers_are_understood(
        self, stage: SpeechToText, cloud: FakeOpenAiAudio, form: str
    ) -> None:
        cloud.form = form
        cloud.knows_models = 404
        async with self.listening(stage) as listener:
            for turn, text in enumerate(self.texts, start=1):
                assert await self.asks(listener, turn, text) == text

    async def test_an_unknown_model_is_a_matter_of_the_configuration(self, cloud: FakeOpenAiAudio) -> None:
        stage = OpenAiTranscription(section(cloud, model="gpt-nonsense"))
        async with self.listening(stage) as listener:
            await listener.says(1, coded("one"))
            await listener.transcription.commit(1)
            assert isinstance(await listener.lost(), SetupRejected)
        await stage.close()
        assert cloud.violations == ["model_not_found"]
