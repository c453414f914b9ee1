"""Cartesia: the fake against the unmodified SDK, what it refuses, and what contexts do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cartesia import AsyncCartesia

from appliance.providers.tts.cartesia import CartesiaTts
from appliance.stages import Piece
from tests.fakes.cartesia import FakeCartesia
from tests.fakes.speech_cloud import sound_of

VOICE = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
TEXT = "Hello there, this is your handset."


@pytest.fixture
async def cloud() -> AsyncIterator[FakeCartesia]:
    async with FakeCartesia() as running:
        yield running


@asynccontextmanager
async def connected(cloud) -> AsyncIterator[Any]:
    client = AsyncCartesia(
        api_key=cloud.key, base_url=cloud.base_url, websocket_base_url=cloud.base_url.replace("http", "ws")
    )
    async with client.tts.websocket_connect() as connection:
        yield connection
    await client.close()


def asking(context="c", transcript="Hello.", **fields):
    form = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 8_000}
    return {
        "context_id": context,
        "transcript": transcript,
        "model_id": "sonic-3.5",
        "voice": {"id": VOICE},
        "output_format": form,
        **fields,
    }


async def answer(connection, kind):
    async for event in connection:
        if event.type == kind:
            return event
    return None


async def test_the_sdks_own_contexts_speak_to_the_fake(cloud):
    async with connected(cloud) as connection:
        form = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16_000}
        context = connection.context(
            "turn", model_id="sonic-3.5", voice={"id": VOICE}, output_format=form, add_timestamps=True
        )
        await context.push("Hello ")
        await context.push("there.")
        await context.no_more_inputs()
        pcm, words = b"", []
        async for event in context.receive():
            if event.type == "chunk":
                pcm += event.audio
            elif event.type == "timestamps":
                words += event.word_timestamps.words
            elif event.type == "done":
                break
    assert pcm == sound_of("Hello there.", 16_000)
    assert words == ["Hello", "there."]
    assert cloud.violations == []


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ([], asking(volume=2)),
        ([], {"context_id": "c", "transcript": "Hello."}),
        ([], asking(output_format={"container": "wav", "encoding": "pcm_s16le", "sample_rate": 8_000})),
        ([], asking(output_format={"container": "raw", "encoding": "pcm_s16le", "sample_rate": 11_025})),
        ([], asking(transcript=" ")),
        ([], asking(transcript="<break time='1s'/> Hello.")),
        ([asking(**{"continue": True})], asking(language="de")),
        ([asking(**{"continue": True})], asking(add_timestamps=True)),
    ],
)
async def test_the_fake_refuses_what_the_service_refuses(cloud, first, then):
    async with connected(cloud) as connection:
        for message in [*first, then]:
            await connection.send(message)
        event = await answer(connection, "error")
        assert event.status_code == 400
    assert len(cloud.violations) == 1


async def test_the_fake_refuses_a_context_that_is_over_and_more_than_the_plan_has(cloud):
    async with connected(cloud) as connection:
        await connection.send(asking())
        await answer(connection, "done")
        await connection.send(asking())
        assert (await answer(connection, "error")).error_code == "context_expired"
        for number in range(3):
            await connection.send(asking(f"c-{number}", **{"continue": True}))
        assert (await answer(connection, "error")).error_code == "concurrency_limited"


async def test_what_still_comes_of_a_cancelled_piece_is_dropped_and_counted(cloud):
    stage = CartesiaTts({"base_url": cloud.base_url, "api_key": cloud.key})
    cloud.speed = 2.0
    sounds = stage.speak(Piece(TEXT))
    await anext(sounds)
    await sounds.aclose()
    cloud.speed = 0.0
    pcm = b"".join([sound.pcm async for sound in stage.speak(Piece("Yes."))])
    assert pcm == sound_of("Yes.", 24_000)
    assert stage.counters()["late"] >= cloud.late_chunks
    assert cloud.spoken[0].cancelled
    assert cloud.dials == 1
    await stage.close()
    assert cloud.violations == []


async def test_a_piece_that_nobody_waited_to_hear_is_not_generated_to_its_end(cloud):
    stage = CartesiaTts({"base_url": cloud.base_url, "api_key": cloud.key})
    cloud.speed = 1.0
    sounds = stage.speak(Piece(TEXT))
    await anext(sounds)
    await sounds.aclose()
    assert [sound async for sound in stage.speak(Piece("Yes."))]
    assert len(cloud.spoken[0].pcm) < len(sound_of(TEXT, 24_000))
    await stage.close()
