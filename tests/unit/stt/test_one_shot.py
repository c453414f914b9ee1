"""What is sent of a turn that is asked for at its end, and what is not."""

import asyncio
import io
import wave
from collections.abc import AsyncGenerator

import numpy as np
import pytest

from appliance.errors import ProviderUnavailable
from appliance.providers.stt.one_shot import RATE, OneShotTranscription, Understood, silent, wav
from appliance.providers.stt.openai_stream import StreamReading, whole
from appliance.stages import Spent, Transcript, TranscriptEvent

LOUD = b"\x00\x10" * (RATE // 2)


def noise(rms: float, seconds: float = 1.0) -> bytes:
    samples = np.random.default_rng(1).normal(0, rms, round(RATE * seconds))
    return bytes(samples.astype("<i2").tobytes())


def test_a_wav_file_holds_the_turn() -> None:
    with wave.open(io.BytesIO(wav(LOUD, RATE))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        assert file.readframes(file.getnframes()) == LOUD


@pytest.mark.parametrize(
    ("pcm", "nothing"),
    [
        (b"", True),
        (bytes(32_000), True),
        (noise(20), True),
        (noise(200), False),
        (noise(3_000, 0.05), True),
        (noise(3_000, 0.11), False),
        (bytes(32_000) + noise(500, 0.1) + bytes(32_000), False),
    ],
)
def test_what_counts_as_silence(pcm: bytes, nothing: bool) -> None:
    assert silent(pcm) is nothing


async def told(transcription: OneShotTranscription, turns: int) -> list[TranscriptEvent]:
    found: list[TranscriptEvent] = []
    async with asyncio.timeout(10):
        async for event in transcription:
            found.append(event)
            if sum(isinstance(one, Transcript) and one.final for one in found) == turns:
                break
    return found


async def test_turns_are_asked_for_one_after_another() -> None:
    under_way = 0

    async def ask(pcm: bytes) -> AsyncGenerator[Understood, None]:
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        await asyncio.sleep(0.01)
        yield Understood(f"{len(pcm)}", 3.5)
        under_way -= 1

    transcription = OneShotTranscription("test", ask, 5.0)
    for turn in (1, 2, 3):
        for _ in range(turn):
            await transcription.hear(turn, LOUD)
        await transcription.commit(turn)
    finals = [event for event in await told(transcription, 3) if isinstance(event, Transcript | Spent)]
    assert [event for event in finals if not isinstance(event, Transcript) or event.final] == [
        one for turn in (1, 2, 3) for one in (Spent(3.5), Transcript(turn, str(len(LOUD) * turn), final=True))
    ]
    await transcription.close()


async def test_too_many_turns_that_wait_end_the_connection() -> None:
    async def ask(_: bytes) -> AsyncGenerator[Understood, None]:
        await asyncio.sleep(60)
        yield Understood("")

    async def go_on() -> None:
        for turn in range(20):
            await transcription.hear(turn, LOUD)
            await transcription.commit(turn)
            await asyncio.sleep(0)

    transcription = OneShotTranscription("test", ask, 100.0)
    with pytest.raises(ProviderUnavailable):
        await go_on()
    await transcription.close()


async def test_a_bug_of_an_engine_is_a_fault_and_no_silence() -> None:
    async def ask(_: bytes) -> AsyncGenerator[Understood, None]:
        yield Understood("begun")
        raise ZeroDivisionError

    transcription = OneShotTranscription("test", ask, 5.0)
    await transcription.hear(1, LOUD)
    await transcription.commit(1)
    with pytest.raises(ProviderUnavailable, match="ZeroDivisionError"):
        await told(transcription, 1)
    await transcription.close()


async def test_closing_cancels_what_is_asked() -> None:
    ended = asyncio.Event()

    async def ask(_: bytes) -> AsyncGenerator[Understood, None]:
        try:
            await asyncio.sleep(60)
            yield Understood("")
        finally:
            ended.set()

    transcription = OneShotTranscription("test", ask, 100.0)
    await transcription.hear(1, LOUD)
    await transcription.commit(1)
    await asyncio.sleep(0.01)
    await transcription.close()
    assert ended.is_set()


def test_a_stream_that_ends_without_its_end_broke_off() -> None:
    reading = StreamReading()
    assert reading.read('data: {"type": "transcript.text.delta", "delta": "it"}')
    assert not reading.read(": a comment")
    assert not reading.read("data: {")
    assert reading.passed_over == 1
    with pytest.raises(ProviderUnavailable):
        reading.end()


def test_an_error_in_a_stream_is_raised() -> None:
    with pytest.raises(ProviderUnavailable):
        StreamReading().read('data: {"error": {"type": "server_error", "message": "x"}}')


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"text": 7}', b"[" * 5_000])
def test_an_answer_that_is_no_transcript_is_a_fault(body: bytes) -> None:
    with pytest.raises(ProviderUnavailable):
        whole(body)
