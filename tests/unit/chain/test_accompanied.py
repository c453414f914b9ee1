"""OpenAI Realtime with the ear or the voice of another service: real socket, the unmodified SDK, its strict fake."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from appliance.errors import ConfigurationInvalid, CredentialsRejected, ProviderUnavailable
from appliance.frames import Frame
from appliance.interfaces import (
    CancelResponse,
    CommitTurn,
    Connection,
    ProviderEvent,
    ProviderTrouble,
    ResponseAudio,
    ResponseFinished,
    ResponseText,
    SendAudio,
    Setup,
    UserHeard,
)
from appliance.providers.chain.accompanied import Accompanied, accompany
from appliance.providers.realtime.openai import OpenAiRealtime
from appliance.stages import Hearing
from tests.fakes.openai_realtime import FakeOpenAi
from tests.fakes.stages import FakeSpeechToText, FakeTextToSpeech, FakeTranscription, level_of
from tests.rig.spoken import speech


class Talk:
    def __init__(self, cloud: FakeOpenAi, connection: Connection) -> None:
        self.cloud = cloud
        self.connection = connection
        self.events: list[ProviderEvent] = []
        self._came = asyncio.Event()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self.connection:
            self.events.append(event)
            self._came.set()

    async def says(self, turn: int) -> None:
        voice = speech("what time is it", 24_000)
        for at in range(0, len(voice) - 480, 480):
            pcm = np.asarray(voice[at : at + 480]).astype("<i2").tobytes()
            await self.connection.send(SendAudio(turn, Frame(pcm, 24_000, 0.0)))
        await self.connection.send(CommitTurn(turn))

    async def until(self, kind: type[ProviderEvent], count: int = 1) -> None:
        async with asyncio.timeout(20):
            while sum(isinstance(event, kind) for event in self.events) < count:
                self._came.clear()
                await self._came.wait()

    def understood(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, UserHeard) and event.final]


@asynccontextmanager
async def talking(
    stt: tuple[FakeSpeechToText, ...] = (), tts: tuple[FakeTextToSpeech, ...] = ()
) -> AsyncIterator[Talk]:
    async with FakeOpenAi() as cloud:
        settings = {"api_key": cloud.key, "base_url": cloud.base_url, "output": "text" if tts else "audio"}
        provider = Accompanied(OpenAiRealtime(settings), stt, tts)
        connection = await asyncio.wait_for(provider.connect(Setup("s1", rate=16_000)), 20)
        talk = Talk(cloud, connection)
        yield talk
        await connection.close()
        await talk.task
        await provider.close()
        assert cloud.violations == []
        assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("chain")] == []


@pytest.mark.slow
async def test_what_the_model_writes_is_spoken_by_the_voice():
    voice = FakeTextToSpeech()
    async with talking(tts=(voice,)) as talk:
        talk.cloud.will_say("It is noon. Have a good day.")
        await talk.says(1)
        await talk.until(ResponseFinished)
        spoken = "".join(event.text for event in talk.events if isinstance(event, ResponseText))
        assert spoken.split() == ["It", "is", "noon.", "Have", "a", "good", "day."]
        sound = np.frombuffer(
            b"".join(event.pcm for event in talk.events if isinstance(event, ResponseAudio)), "<i2"
        )
        assert level_of(voice.pieces[0].text) in sound


@pytest.mark.slow
async def test_what_was_heard_of_a_written_answer_is_all_that_the_model_remembers():
    async with talking(tts=(FakeTextToSpeech(),)) as talk:
        talk.cloud.will_say("It is noon in London, and one in Paris, and two in Athens.")
        await talk.says(1)
        await talk.until(ResponseFinished)
        response = next(event.response for event in talk.events if isinstance(event, ResponseFinished))
        await talk.connection.send(CancelResponse(response, "It is noon", 600))
        await asyncio.sleep(0.2)
        items = talk.cloud.sessions[-1].items
        assert [item.said for item in items if item.body.get("role") == "assistant"] == ["It is noon"]


@pytest.mark.slow
async def test_the_ear_writes_down_what_was_said():
    ear = FakeSpeechToText()
    ear.will_hear("words of the ear")
    async with talking(stt=(ear,)) as talk:
        talk.cloud.will_hear("words of the model")
        talk.cloud.will_say("Yes.")
        await talk.says(1)
        await talk.until(ResponseFinished)
        await talk.until(UserHeard)
        assert talk.understood() == ["words of the ear"]
        assert ear.violations == []


@pytest.mark.slow
async def test_without_its_ear_the_models_own_transcripts_are_told():
    ear = FakeSpeechToText()
    ear.refuse_with(ProviderUnavailable("away"))
    async with talking(stt=(ear,)) as talk:
        talk.cloud.will_hear("words of the model")
        talk.cloud.will_say("Yes.")
        await talk.says(1)
        await talk.until(ResponseFinished)
        await talk.until(ProviderTrouble)
        assert talk.understood() == ["words of the model"]


@pytest.mark.slow
async def test_when_its_ear_is_lost_in_mid_conversation_the_models_own_transcripts_are_told():
    ear = FakeSpeechToText()
    async with talking(stt=(ear,)) as talk:
        ear.go_down(CredentialsRejected("the key was taken back"))
        talk.cloud.will_hear("words of the model")
        talk.cloud.will_say("Yes.")
        await talk.says(1)
        await talk.until(UserHeard)
        assert talk.understood() == ["words of the model"]


class Late(FakeSpeechToText):
    """Its dials take until they are let come to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.given_up = asyncio.Event()

    async def connect(self, hearing: Hearing) -> FakeTranscription:
        await self.given_up.wait()
        raise ProviderUnavailable("away")


@pytest.mark.slow
async def test_an_ear_whose_dial_hangs_keeps_nobody_from_the_model_and_no_transcript_is_lost():
    ear = Late()
    async with talking(stt=(ear,)) as talk:
        talk.cloud.will_hear("words of the model")
        talk.cloud.will_say("Yes.")
        await talk.says(1)
        await talk.until(ResponseFinished)
        assert talk.understood() == []
        ear.given_up.set()
        await talk.until(UserHeard)
        assert talk.understood() == ["words of the model"]


@pytest.mark.parametrize(("output", "tts"), [("audio", "espeak"), ("text", "")])
def test_a_voice_too_many_or_none_is_refused(output: str, tts: str):
    with pytest.raises(ConfigurationInvalid):
        accompany(OpenAiRealtime({}), {"output": output, "tts": tts}, {})
