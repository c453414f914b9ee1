"""OpenAI's speech: what is asked of it, and servers that answer otherwise."""

from collections.abc import AsyncIterator

import pytest

from appliance.errors import ProviderUnavailable, SetupRejected
from appliance.providers.tts.openai import OpenAiTts
from appliance.stages import Piece
from tests.fakes.openai_speech import FakeOpenAiSpeech
from tests.fakes.speech_cloud import sound_of


@pytest.fixture
async def cloud() -> AsyncIterator[FakeOpenAiSpeech]:
    async with FakeOpenAiSpeech() as running:
        yield running
        assert running.violations == []


async def spoken(cloud, text="Hello.", **settings):
    stage = OpenAiTts({"base_url": cloud.base_url, "api_key": cloud.key, **settings})
    try:
        return [sound async for sound in stage.speak(Piece(text))]
    finally:
        await stage.close()


async def test_how_to_speak_is_sent_where_it_is_set(cloud):
    await spoken(cloud, voice="voice_1234")
    assert cloud.spoken[-1].asked[0]["voice"] == {"id": "voice_1234"}
    await spoken(cloud, instructions="Speak calmly.", speed=1.5, voice="cedar")
    (asked,) = cloud.spoken[-1].asked
    assert (asked["instructions"], asked["speed"], asked["voice"]) == ("Speak calmly.", 1.5, "cedar")
    await spoken(cloud)
    assert set(cloud.spoken[-1].asked[0]) == {"input", "model", "voice", "response_format"}


async def test_a_server_with_another_rate_is_taken_at_its_word(cloud):
    sounds = await spoken(cloud, rate=16_000)
    assert {sound.rate for sound in sounds} == {16_000}
    assert b"".join(sound.pcm for sound in sounds) == sound_of("Hello.", 24_000)


@pytest.mark.parametrize("kind", ["audio/mpeg", "audio/wav; rate=24000", "AUDIO/OPUS"])
async def test_a_server_that_sends_no_pcm_is_refused(cloud, kind):
    cloud.kind = kind
    with pytest.raises(SetupRejected):
        await spoken(cloud)


@pytest.mark.parametrize("begins", [b"RIFF$\x00\x00\x00WAVE", b"ID3\x04", b"OggS"])
async def test_so_is_one_that_does_not_say_it(cloud, begins):
    cloud.kind = "application/octet-stream"
    cloud.begins = begins
    with pytest.raises(SetupRejected):
        await spoken(cloud)


@pytest.mark.parametrize("kind", ["text/html", "application/json", "application/problem+json"])
async def test_a_page_is_no_sound(cloud, kind):
    cloud.kind = kind
    with pytest.raises(ProviderUnavailable):
        await spoken(cloud)


async def test_a_piece_without_a_kind_is_taken_for_pcm(cloud):
    cloud.kind = "application/octet-stream"
    assert b"".join(sound.pcm for sound in await spoken(cloud)) == sound_of("Hello.", 24_000)
