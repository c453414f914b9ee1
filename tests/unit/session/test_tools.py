"""Tools in a conversation: each call answered once, and what a tool may do to its session."""

import asyncio
from typing import Any

import pytest

from appliance.errors import ApplianceError, NotPossible, TelephoneUnavailable
from appliance.interfaces import LineKind
from appliance.session.turn import Phase
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time


@virtual_time
async def test_a_turn_with_a_tool_is_answered_once():
    async with Booth() as booth:
        booth.provider.will_call("time_now", {})
        await booth.answered(0.6)
        assert booth.clock.ended == 1
        assert [result.result for result in booth.provider.tool_results] == [{"time": "noon"}]
        assert booth.heard(booth.provider.answers[0].level) == 1000


@virtual_time
async def test_a_barge_in_while_a_tool_runs_cancels_it_with_one_result():
    async with Booth() as booth:
        booth.clock.seconds = 10.0
        booth.provider.will_call("time_now", {})
        await booth.speak(0.6)
        await booth.until(lambda: booth.clock.begun == 1)
        await booth.speak(0.6)
        await booth.idle()
        await booth.wait(20)
        assert [result.error for result in booth.provider.tool_results] == ["The call was cancelled."]
        assert booth.clock.ended == 0
        assert [booth.heard(answer.level) for answer in booth.provider.answers] == [1000]


@virtual_time
async def test_a_cough_while_a_tool_runs_changes_nothing():
    async with Booth() as booth:
        booth.clock.seconds = 2.0
        booth.provider.will_call("time_now", {})
        await booth.speak(0.6)
        await booth.until(lambda: booth.clock.begun == 1)
        await booth.speak(0.14)
        await booth.idle()
        assert booth.clock.ended == 1
        assert booth.heard(booth.provider.answers[0].level) == 1000


@virtual_time
async def test_a_tool_may_take_longer_than_an_answer_may():
    async with Booth() as booth:
        booth.clock.seconds = 25.0
        booth.provider.will_call("time_now", {})
        await booth.speak(0.6)
        await booth.until(lambda: booth.provider.answers != [], seconds=60)
        await booth.idle()
        assert booth.voice.spoken == []


@virtual_time
async def test_a_drop_while_a_tool_runs_does_not_run_it_twice():
    async with Booth() as booth:
        booth.clock.seconds = 2.0
        booth.provider.will_call("time_now", {})
        await booth.speak(0.6)
        await booth.until(lambda: booth.clock.begun == 1)
        booth.provider.drop()
        await booth.until(lambda: booth.voice.spoken != [])
        await booth.idle()
        assert booth.clock.begun == 1
        assert booth.voice.spoken == ["Sorry, the connection broke. Please say that again."]


class Phone:
    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.broken = False

    async def dial(self, line_id: str, to: str) -> str:
        if self.broken:
            raise TelephoneUnavailable("The telephone is down.")
        self.asked.append(("dial", to))
        return "call-9"

    async def transfer(self, line_id: str, to: str, summary: str) -> None:
        if self.broken:
            raise TelephoneUnavailable("The telephone is down.")
        self.asked.append(("transfer", line_id, to))

    def record_for_agent(self, line_id: str, on: bool) -> None:
        self.asked.append(("record", line_id, str(on)))

    def hang_up(self, line_id: str) -> None:
        self.asked.append(("hang_up", line_id))


@virtual_time
async def test_a_tool_hangs_up_once_the_goodbye_was_heard():
    phone = Phone()
    async with Booth(phone=phone) as booth:
        booth.provider.will_call("leave", {})
        await booth.speak(0.6)
        await booth.state("speaking")
        assert phone.asked == []
        await booth.until(lambda: phone.asked != [])
        assert phone.asked == [("hang_up", "phone-1")]
        assert booth.heard(booth.provider.answers[0].level) == 1000


@virtual_time
async def test_in_the_room_hanging_up_ends_the_session():
    async with Booth(kind=LineKind.ROOM) as booth:
        booth.provider.will_call("leave", {})
        await booth.speak(0.6)
        await booth.state("speaking")
        await booth.until(lambda: booth.closed != [])
        assert booth.closed[0][2] == "hang_up"


async def context_of(booth: Booth) -> Any:
    booth.provider.will_call("time_now", {})
    await booth.answered(0.6)
    return booth.clock.contexts[0]


@virtual_time
async def test_a_tool_sets_volume_and_mute_of_its_own_line():
    async with Booth() as booth:
        context = await context_of(booth)
        assert context.set_volume(130) == 100
        assert context.set_volume(30) == context.volume() == booth.line.volume == 30
        context.set_muted(True)
        assert booth.line.muted


@virtual_time
async def test_a_transfer_waits_for_what_is_said_and_its_failure_is_for_who_asked():
    phone = Phone()
    async with Booth(phone=phone) as booth:
        context = await context_of(booth)
        booth.session.say("I put you through.")
        going = asyncio.create_task(context.transfer("200"))
        await asyncio.sleep(0.2)
        assert phone.asked == []
        await going
        assert phone.asked == [("transfer", "phone-1", "200")]
        assert booth.heard(booth.voice.level("I put you through.")) == 50 * 18
        phone.broken = True
        with pytest.raises(ApplianceError, match="down"):
            await context.transfer("201")


@virtual_time
async def test_what_needs_a_telephone_is_refused_without_one():
    async with Booth(kind=LineKind.ROOM) as booth:
        context = await context_of(booth)
        with pytest.raises(NotPossible):
            await context.dial("100")
        with pytest.raises(NotPossible):
            await context.transfer("100")


@virtual_time
async def test_a_tool_dials():
    phone = Phone()
    async with Booth(kind=LineKind.ROOM, phone=phone) as booth:
        context = await context_of(booth)
        assert await context.dial("100") == "call-9"
        phone.broken = True
        with pytest.raises(ApplianceError, match="down"):
            await context.dial("100")


@virtual_time
async def test_a_timer_set_in_a_call_rings_in_the_room_when_the_call_is_over():
    async with Booth() as booth:
        context = await context_of(booth)
        await booth.lines.close_line(booth.line.id, "hung up")
        with pytest.raises(NotPossible):
            context.notify("The tea is ready.")
        room = booth.lines.open_line(LineKind.ROOM, capture_rate=16_000, playout_rate=16_000)
        context.notify("The tea is ready.", urgent=True)
        assert room.session is not None
        for _ in range(100):
            room.playout.pull(320)
            await booth.wait(0.02)
        assert booth.voice.spoken == ["The tea is ready."]
        assert room.session.phase is Phase.IDLE
