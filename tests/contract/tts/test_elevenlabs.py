"""ElevenLabs: the fake against the unmodified SDK, what we say against its models, and what contexts do."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect

from appliance.providers.tts.elevenlabs import ElevenLabsTts
from appliance.providers.tts.elevenlabs_messages import ElevenLabsDialect, ElevenLabsSettings
from appliance.stages import Piece
from tests.fakes.elevenlabs import FakeElevenLabs
from tests.fakes.speech_cloud import sound_of

VOICE = "JBFqnCBsd6RMkjVDRZzb"
TEXT = "Hello there, this is your handset."


@pytest.fixture(scope="module")
def sdk() -> Any:
    """Imported by who asks for it: each worker collects this file, and an SDK is half a second of its processor."""
    import elevenlabs.url_utils

    return elevenlabs


@pytest.fixture
async def cloud() -> AsyncIterator[FakeElevenLabs]:
    async with FakeElevenLabs() as running:
        yield running
        assert running.violations == []


@pytest.fixture
async def stage(cloud) -> AsyncIterator[ElevenLabsTts]:
    built = ElevenLabsTts({"base_url": cloud.base_url, "api_key": cloud.key})
    yield built
    await built.close()


async def spoken(stage, text, **how):
    return b"".join([sound.pcm async for sound in stage.speak(Piece(text, **how))])


@pytest.mark.filterwarnings(
    "ignore:ConnectionClosed.code is deprecated:DeprecationWarning"
)  # of the SDK's own use
async def test_the_sdks_own_socket_speaks_to_the_fake(sdk, cloud):
    def converse() -> bytes:
        client = sdk.ElevenLabs(api_key=cloud.key, base_url=cloud.base_url)
        client.text_to_speech._ws_base_url = cloud.base_url.replace("http", "ws")  # noqa: SLF001
        pieces = client.text_to_speech.convert_realtime(
            VOICE, text=iter(["Hello ", "there."]), model_id="eleven_flash_v2_5", output_format="pcm_16000"
        )
        return b"".join(pieces)

    assert await asyncio.to_thread(converse) == sound_of(cloud.find("Hello there.").text, 16_000)


async def test_what_the_fake_says_on_the_multi_context_socket_are_the_sdks_messages(sdk, cloud):
    client = sdk.ElevenLabs(api_key=cloud.key, base_url=cloud.base_url)
    wrapper = client._client_wrapper  # noqa: SLF001
    url = sdk.url_utils.build_ws_url(
        wrapper.get_base_url(),
        ["v1", "text-to-speech", VOICE, "multi-stream-input"],
        {"model_id": "eleven_flash_v2_5", "output_format": "pcm_8000"},
    )
    async with connect(url, additional_headers=wrapper.get_headers()) as socket:
        for message in (
            sdk.InitializeConnectionMulti(context_id="c"),
            sdk.SendTextMulti(text="Hello. ", context_id="c", flush=True),
        ):
            await socket.send(json.dumps(message.dict(exclude_none=True)))
        pcm = b""
        while True:
            message = json.loads(await socket.recv())
            if message.get("isFinal"):
                assert set(message) <= {
                    field.alias or name for name, field in sdk.FinalOutputMulti.model_fields.items()
                }
                break
            known = sdk.AudioOutputMulti(**message)
            assert known.model_extra == {}
            assert known.context_id == "c"
            assert known.alignment is not None
            assert known.alignment.model_extra == {}
            if not pcm:
                await socket.send(json.dumps(sdk.CloseContext(context_id="c", close_context=True).dict()))
            pcm += base64.b64decode(known.audio)
    assert pcm == sound_of("Hello. ", 8_000)


def test_what_we_say_are_the_sdks_messages(sdk):
    chosen: dict[str, Any] = {"stability": 0.5, "similarity_boost": 0.75, "style": 0.1, "speed": 1.1}
    dialect = ElevenLabsDialect(ElevenLabsSettings(**chosen))
    utterance = dialect.utterance(Piece(TEXT * 100))
    first, *texts = dialect.ask("c", utterance)
    assert set(first) <= set(sdk.InitializeConnectionMulti.model_fields)
    assert set(first["voice_settings"]) <= set(sdk.RealtimeVoiceSettings.model_fields)
    assert first["voice_settings"] == chosen
    assert len(texts) > 1
    for message in texts:
        assert set(message) <= set(sdk.SendTextMulti.model_fields)
    assert set(dialect.cancel("c")[0]) == set(sdk.CloseContext.model_fields)
    assert "".join(message["text"] for message in texts).strip() == TEXT * 100


async def test_snake_case_is_understood_as_well(cloud, stage):
    cloud.snake = True
    assert await spoken(stage, TEXT) == sound_of(f"{TEXT} ", 24_000)


async def test_contexts_that_close_slowly_never_get_more_than_the_service_allows(cloud, stage):
    """Barge-ins in a row: what was begun is spoken to its end by the service, and counts meanwhile."""
    cloud.speed = 2.0
    for number in range(12):
        sounds = stage.speak(Piece(f"Number {number} is long enough to go on for quite a while after that."))
        await anext(sounds)
        await sounds.aclose()
    assert len(cloud.sessions) > 1
    cloud.speed = 0.0
    assert await spoken(stage, TEXT) == sound_of(f"{TEXT} ", 24_000)


async def test_what_still_comes_of_a_cancelled_piece_is_dropped(cloud, stage):
    cloud.speed = 20.0
    sounds = stage.speak(Piece(TEXT * 3))
    await anext(sounds)
    await sounds.aclose()
    assert await spoken(stage, TEXT) == sound_of(f"{TEXT} ", 24_000)
    assert stage.counters()["late"] > 0


async def test_each_voice_and_rate_has_a_socket_and_keeps_it(cloud, stage):
    for _ in range(2):
        await spoken(stage, "One.", rate=8_000)
        await spoken(stage, "Two.", rate=16_000)
        await spoken(stage, "Three.", rate=16_000, voice="21m00Tcm4TlvDq8ikWAM")
    assert cloud.dials == 3


async def test_a_line_of_48_khz_may_have_the_highest_rate_where_the_plan_has_it(cloud):
    stage = ElevenLabsTts({"base_url": cloud.base_url, "api_key": cloud.key, "highest_rate": 44_100})
    assert await spoken(stage, TEXT, rate=48_000) == sound_of(f"{TEXT} ", 44_100)
    await stage.close()


async def test_a_model_that_refuses_a_language_is_not_told_one(cloud):
    settings = {"base_url": cloud.base_url, "api_key": cloud.key, "model": "eleven_multilingual_v2"}
    stage = ElevenLabsTts(settings)
    assert await spoken(stage, TEXT, language="de")
    await stage.close()


async def test_the_key_stands_in_no_representation(cloud, stage):
    await stage.warm()
    assert cloud.key not in repr(vars(stage)) + repr(await stage._ready.ready())  # noqa: SLF001
