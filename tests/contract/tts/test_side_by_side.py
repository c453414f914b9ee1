"""What every text-to-speech stage makes of several pieces, and of those that are cancelled."""

import asyncio
import contextlib
import random
import time

import pytest

from appliance.errors import ProviderUnavailable
from appliance.stages import Piece
from tests.contract.tts.services import GREETING
from tests.contract.tts.speaking import Heard, say, say_at_last, until
from tests.fakes.speech_cloud import sound_of


async def test_pieces_spoken_side_by_side_do_not_mix(service, build, cloud):
    cloud.speed = 20.0
    texts = [f"This is piece number {number}, and no other." for number in range(6)]
    stage = build()
    heard = await asyncio.gather(*(say(stage, text) for text in texts))
    for text, one in zip(texts, heard, strict=True):
        assert one.pcm == sound_of(cloud.find(text).text, 24_000)
    if service.socket:
        assert cloud.dials == 1


async def test_never_more_are_asked_for_than_the_account_allows(build, cloud):
    stage = build(parallel=2)
    cloud.contexts = 2
    assert stage.parallel == 2
    await asyncio.gather(*(say(stage, f"Number {number}.") for number in range(8)))


async def test_many_pieces_are_cancelled_and_the_next_is_whole(build, cloud):
    cloud.speed = 2.0
    stage = build()
    for number in range(8):
        sounds = stage.speak(Piece(f"Number {number} will not be heard to its end."))
        await anext(sounds)
        await sounds.aclose()
    cloud.speed = 0.0
    heard = await say(stage, GREETING)
    assert heard.pcm == sound_of(cloud.find(GREETING).text, 24_000)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_in_whatever_order_a_piece_is_whole_or_has_failed(service, build, cloud, seed):
    """Pieces side by side, some cancelled at any moment, while links break and close; then all is well."""
    chance = random.Random(seed)
    stage = build()
    await stage.warm()
    cloud.speed = 20.0
    cloud.contexts = 99

    async def speak(number: int) -> None:
        text = f"Piece number {number}" + " and so on" * chance.randrange(6) + "."
        await asyncio.sleep(chance.random() * 0.4)
        cut = chance.choice([None, None, 0, 1, 3])
        heard = Heard()
        async with contextlib.aclosing(stage.speak(Piece(text))) as sounds:
            with contextlib.suppress(ProviderUnavailable):
                async for sound in sounds:
                    heard.sounds.append(sound)
                    if cut is not None and len(heard.sounds) > cut:
                        return
                assert heard.pcm == sound_of(cloud.find(text).text, 24_000)

    async def trouble() -> None:
        for _ in range(5):
            await asyncio.sleep(chance.random() * 0.15)
            chance.choice([cloud.drop, lambda: cloud.drop_at(chance.choice(service.steps))])()

    tasks = [asyncio.create_task(speak(number)) for number in range(16)]
    for task in chance.sample(tasks, 4):
        asyncio.get_running_loop().call_later(chance.random() * 0.5, task.cancel)
    await trouble()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
    cloud.speed = 0.0
    heard = await say_at_last(stage, GREETING)
    assert heard.pcm == sound_of(cloud.find(GREETING).text, 24_000)


async def test_closing_cancels_at_the_service(build, cloud):
    cloud.speed = 1.0
    stage = build()
    sounds = stage.speak(Piece(GREETING))
    await anext(sounds)
    await sounds.aclose()
    await until(lambda: cloud.spoken[0].cancelled)


async def test_cancelling_twice_after_the_end_and_before_the_beginning_is_harmless(build):
    stage = build()
    sounds = stage.speak(Piece(GREETING))
    await sounds.aclose()
    sounds = stage.speak(Piece(GREETING))
    await anext(sounds)
    await sounds.aclose()
    await sounds.aclose()
    sounds = stage.speak(Piece("Yes."))
    async for _ in sounds:
        pass
    await sounds.aclose()
    assert (await say(stage, GREETING)).pcm


async def test_a_piece_that_waits_for_the_dial_is_cancelled_at_once(build, cloud):
    cloud.hang_in_dial()
    stage = build()
    await stage.warm()
    task = asyncio.create_task(say(stage, GREETING))
    await until(lambda: cloud.dials)
    task.cancel()
    began = time.monotonic()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 2
    assert (await say(stage, GREETING)).pcm


async def test_of_two_pieces_that_wait_for_the_dial_one_may_go(build, cloud):
    stage = build()
    await stage.warm()
    going, staying = asyncio.create_task(say(stage, "Go.")), asyncio.create_task(say(stage, "Stay."))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    going.cancel()
    assert (await staying).pcm == sound_of(cloud.find("Stay.").text, 24_000)


async def test_a_piece_can_be_cancelled_at_any_moment(build, cloud):
    cloud.speed = 20.0
    stage = build()
    await stage.warm()
    for delay in range(0, 60, 5):
        task = asyncio.create_task(say(stage, GREETING))
        await asyncio.sleep(delay / 1000)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert (await say(stage, "Still here.")).pcm == sound_of(cloud.find("Still here.").text, 24_000)
