"""Calls that ring, are answered, held, transferred and hung up by both sides in any order, up to three at
once and beside the room line: each ends, the room's conversation goes on, and nothing is left of them.

HANDSET_STORIES sets how many, HANDSET_SEED which.
"""

import asyncio
import contextlib
import os
import random

import pytest

from tests.rig.appliance import Footprint, Handset
from tests.rig.control_client import Refused
from tests.rig.peer import until
from tests.rig.sip_peers import programs_missing
from tests.rig.soft_caller import Nobody, SoftCaller
from tests.rig.sound_server import SoundServer
from tests.rig.stories import stories as told

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

STORIES = told(50)
SEED = int(os.environ.get("HANDSET_SEED", "1"))
AT_ONCE = 3
"""A library as it comes from the package index has places for four calls, and an attended transfer takes two."""
WARM = 20
RING_SECONDS = 0.3
GROWTH_MB = 12.0
"""Over all stories; the daemon's memory after the first ones is that of an appliance that has done everything once."""
STATES_OF_A_CALL = ("not_possible", "unknown_name", "request_invalid", "telephone_unavailable", "line_busy")


class Story:
    """One call. `chance` decides all of it, but for how the steps of several calls fall."""

    def __init__(self, handset: Handset, nowhere: str, number: int) -> None:
        self._handset = handset
        self._nowhere = nowhere
        self._chance = random.Random(SEED * 100_000 + number)
        self.name = f"s{number}"
        self.course: list[str] = []
        self.busy = False

    async def run(self) -> None:
        begin = self._chance.choice([self._dialled, self._given_up, *[self._calls] * 4])
        await begin()

    async def _ask(self, command: str, **fields: object) -> None:
        """A command that the call's state may forbid by now."""
        self.course.append(command)
        try:
            await self._handset.client.ask(command, **fields)
        except Refused as refused:
            if refused.code not in STATES_OF_A_CALL:
                raise

    async def _wait(self, longest: float) -> None:
        await asyncio.sleep(self._chance.random() * longest)

    async def _dialled(self) -> None:
        mark = self._handset.client.mark
        try:
            answer = await self._handset.client.ask("call.dial", to=self._nowhere)
        except Refused as refused:
            if refused.code != "line_busy":
                raise
            return
        await self._wait(0.4)
        await self._ask("call.hangup", call=answer["call"])
        await self._handset.client.event("call", 15, since=mark, call=answer["call"], state="ended")

    async def _given_up(self) -> None:
        async with SoftCaller(self._handset.sip_port, user=self.name) as caller:
            if await caller.call(give_up_after=self._chance.random() * 2 * RING_SECONDS) == 200:
                caller.hang_up()
            await caller.over()

    async def _calls(self) -> None:
        client, mark = self._handset.client, self._handset.client.mark
        async with SoftCaller(self._handset.sip_port, user=self.name) as caller:
            calling = asyncio.create_task(caller.call())
            call = await self._number(mark, caller)
            if not call:
                self.busy = True
                return
            await self._wait(RING_SECONDS)
            act = self._chance.choice(["", "", "call.answer", "call.reject"])
            if act:
                await self._ask(act, call=call)
            if await calling == 200:
                for _ in range(self._chance.randrange(6)):
                    await self._step(caller, call)
                    await self._wait(0.3)
                await self._end(caller, call)
            await caller.over()
            await client.event("call", 15, since=mark, call=call, state="ended")

    async def _number(self, mark: int, caller: SoftCaller) -> str:
        client = self._handset.client

        def mine() -> list[str]:
            return [
                str(event["call"]) for event in client.of("call", mark) if f"{self.name}@" in event["peer"]
            ]

        await until(lambda: bool(mine() or caller.answers), 10, f"the call of {self.name} is told")
        if mine():
            return mine()[0]
        assert caller.answers == [486], "a library that has no place for one more call says so by itself"
        return ""

    async def _step(self, caller: SoftCaller, call: str) -> None:
        digit = self._chance.choice("0123456789*#")
        match self._chance.randrange(9):
            case 0:
                await self._ask("call.hold", call=call)
            case 1:
                await self._ask("call.resume", call=call)
            case 2:
                await self._ask("call.transfer", call=call, to=self._nowhere)
            case 3:
                await self._ask("call.transfer", call=call, to=self._nowhere, mode="attended")
            case 4:
                await self._ask("call.dtmf", call=call, digits=digit)
            case 5:
                await self._ask("call.record", call=call, on=self._chance.random() < 0.5)
            case 6:
                caller.hold(True)
            case 7:
                caller.hold(False)
            case _:
                caller.inform(digit)

    async def _end(self, caller: SoftCaller, call: str) -> None:
        who = self._chance.choice(["they", "we", "both"])
        if who != "we":
            caller.hang_up()
        if who != "they":
            await self._ask("call.hangup", call=call)


async def stories(handset: Handset, nowhere: str, numbers: range) -> int:
    """Run them, a few at once; how many found all lines busy. A fault tells its story."""
    free, busy = asyncio.Semaphore(AT_ONCE), 0

    async def one(number: int) -> None:
        nonlocal busy
        async with free:
            story = Story(handset, nowhere, number)
            try:
                async with asyncio.timeout(60):
                    await story.run()
            except BaseException as fault:
                fault.add_note(f"story {number} of seed {SEED}: {story.course}")
                raise
            busy += story.busy

    async with asyncio.TaskGroup() as group:
        for number in numbers:
            group.create_task(one(number))
    return busy


async def at_rest(handset: Handset) -> Footprint:
    """Nothing is up any more."""
    idle, metrics, state = False, "", await handset.client.state()
    for _ in range(150):
        state = await handset.client.state()
        metrics = (await handset.page("/metrics"))[1]
        idle = "handset_sip_legs 0.0" in metrics and "handset_sip_calls_now 0.0" in metrics
        if not state["calls"] and [line["id"] for line in state["lines"]] == ["room"] and idle:
            break
        await asyncio.sleep(0.2)
    assert not state["calls"]
    assert [line["id"] for line in state["lines"]] == ["room"]
    assert idle, metrics
    assert len(state["sessions"]) <= 1
    return handset.footprint()


async def test_calls_in_any_order_beside_the_room_leave_nothing_behind(tmp_path):
    with SoundServer() as sound:
        async with (
            Handset(
                sound=sound,
                sip={"max_calls": AT_ONCE + 2, "ring_time": RING_SECONDS},
                conversation={"max_sessions": AT_ONCE + 4},
                recording={"directory": str(tmp_path)},
            ) as handset,
            Nobody() as nobody,
        ):
            room = str((await handset.client.ask("say", line="room", text="Good morning."))["session"])
            await stories(handset, nobody.uri, range(WARM))
            before = await at_rest(handset)

            async def talk() -> None:
                while True:
                    await handset.client.ask("say", line="room", text="The room's conversation goes on.")
                    await asyncio.sleep(4.0)

            talking = asyncio.create_task(talk())
            busy = await stories(handset, nobody.uri, range(WARM, WARM + STORIES))
            talking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await talking

            said = await handset.client.ask("say", line="room", text="Good evening.")
            assert said["session"] == room, "the room's conversation is the one that was begun"
            await handset.client.event("transcript", 60, session=room, heard="Good evening.")
            after = await at_rest(handset)
            print(f"busy {busy}, before {before}, after {after}")
            assert busy <= STORIES // 4
            await until(
                lambda: handset.footprint().threads <= before.threads, 15, f"threads return to {before}"
            )
            await until(lambda: handset.footprint().files <= before.files, 15, f"files return to {before}")
            assert after.children == before.children
            assert after.rss_mb - before.rss_mb < GROWTH_MB
            assert after.sip_rss_mb - before.sip_rss_mb < GROWTH_MB
            metrics = (await handset.page("/metrics"))[1]
            assert "handset_sip_faults 0.0" in metrics
            assert "handset_sip_restarts 0.0" in metrics
