"""Who leaves an answer leaves nothing behind, and nothing is waited for that does not come."""

import asyncio
import contextlib
import time

import pytest

from appliance.errors import ProviderUnavailable
from appliance.stages import Prompt, Said
from tests.contract.llm.services import ASKED, Service, answer, said
from tests.fakes.streamed_answers import StreamedAnswers, Where, all_of, until


@pytest.mark.parametrize("where", ["accept", "request", "head", "start", "text", "end"])
async def test_who_leaves_at_any_moment_leaves_nothing_behind(cloud, model, where: Where):
    cloud.stall_at(where)
    stream = model.answer(ASKED)
    reading = asyncio.create_task(all_of(stream))
    await until(lambda: cloud.connections == 1 and (where == "accept" or bool(cloud.asked)))
    await asyncio.sleep(0.05)
    reading.cancel()
    began = time.monotonic()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    await stream.aclose()
    assert time.monotonic() - began < 1.0
    if where != "accept":
        await until(lambda: cloud.last.left)
    assert _tasks_of_the_model() == []
    assert said(await answer(model)) == "Yes."


async def test_who_closes_an_answer_between_two_pieces_ends_the_request(cloud, model):
    cloud.stall_at("text")
    stream = model.answer(ASKED)
    async with asyncio.timeout(10):
        await anext(stream)
    await stream.aclose()
    await until(lambda: cloud.last.left)
    await stream.aclose()


async def test_an_answer_that_nobody_begins_to_read_asks_nothing(cloud, model):
    await model.answer(ASKED).aclose()
    assert cloud.asked == []


async def test_many_answers_are_asked_for_and_left_at_once(cloud, model):
    async def some(number: int) -> str:
        stream = model.answer(Prompt([Said("user", str(number))]))
        if number % 3 == 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001 * number):
                    await all_of(stream)
            await stream.aclose()
            return "Yes."
        return said(await all_of(stream))

    async with asyncio.timeout(20):
        assert set(await asyncio.gather(*(some(number) for number in range(24)))) == {"Yes."}
    assert _tasks_of_the_model() == []


async def test_the_next_turn_needs_no_new_connection(cloud, model):
    for _ in range(3):
        assert said(await answer(model)) == "Yes."
    assert cloud.connections == 1


def _tasks_of_the_model() -> list[str]:
    return [
        task.get_name()
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task() and "_link" not in str(task.get_coro())
    ]


async def is_given_up(service: Service, cloud: StreamedAnswers, where: Where, **timeouts: float) -> None:
    """An answer that stalls at `where`; the next one comes."""
    model = service.build(cloud, **timeouts)
    await model.warm()
    cloud.stall_at(where)
    with pytest.raises(ProviderUnavailable, match="did not answer in time"):
        await answer(model)
    assert said(await answer(model)) == "Yes."
    await model.close()


@pytest.mark.parametrize("where", ["accept", "request", "head", "start"])
async def test_a_first_word_that_does_not_come_is_not_waited_for(service, cloud, where: Where):
    await is_given_up(service, cloud, where, first_timeout=0.3, next_timeout=30)


@pytest.mark.parametrize("where", ["text", "end"])
async def test_a_next_word_that_does_not_come_is_not_waited_for(service, cloud, where: Where):
    await is_given_up(service, cloud, where, first_timeout=30, next_timeout=0.3)


async def test_thinking_for_ever_is_not_waited_for(service, cloud):
    model = service.build(cloud, first_timeout=0.4, next_timeout=30)
    await model.warm()
    cloud.pace = 0.02
    cloud.will_say("Noon.", thoughts="hm " * 2_000)
    with pytest.raises(ProviderUnavailable, match="did not answer in time"):
        await answer(model)
    await model.close()


async def test_a_reader_who_takes_long_is_not_hurried(service, cloud):
    model = service.build(cloud, first_timeout=10, next_timeout=0.4)
    await model.warm()
    cloud.will_say("It is noon.", pieces=2)
    stream = model.answer(ASKED)
    first = await anext(stream)
    await asyncio.sleep(0.6)
    assert said([first, *await all_of(stream)]) == "It is noon."
    await model.close()
