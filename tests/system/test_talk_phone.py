"""Real phones dial the daemon through a real registrar, ask aloud, and hear the answers over RTP."""

import asyncio
import time

import pytest
import pytest_asyncio

from tests.rig.answers import assert_tells_the_time, recognised
from tests.rig.appliance import Handset
from tests.rig.peer import until
from tests.rig.raw_caller import RawCaller
from tests.rig.resumption import assert_nothing_lost
from tests.rig.sip_peers import Registrar, programs_missing
from tests.rig.spoken import cough, sounding
from tests.rig.talking_phone import RATE, TalkingPhone, breathe, heard_to_the_end, sounds, talk

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

LONG_QUESTION = "what can you do"
"""Its answer takes more than five seconds."""
TALKED_OVER_SECONDS = 1.5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registrar():
    async with Registrar() as registrar:
        yield registrar


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def handset(registrar):
    sip = {"server": registrar.server, "user": "handset", "max_calls": 4}
    async with Handset(sip=sip, conversation={"max_sessions": 6}) as handset:
        await handset.client.event("registration", state="registered")
        yield handset


@pytest_asyncio.fixture(loop_scope="module")
async def alice(registrar):
    async with TalkingPhone("alice", registrar) as phone:
        yield phone


def closings(phone: TalkingPhone) -> int:
    return len([event for event in phone.events if event.get("type") == "CALL_CLOSED"])


async def test_a_phone_asks_the_time_through_the_registrar_and_hears_it(registrar, handset, alice):
    async with talk(alice, handset, registrar) as (_, session):
        since, ear = handset.client.mark, alice.ear()
        await alice.say("what time is it")
        asked = time.time()

        heard = await heard_to_the_end(ear)
        user = handset.client.of("transcript", since, session=session, role="user", final=True)[0]
        assert "what time is it" in user["text"].lower()
        assert_tells_the_time(heard, RATE, asked)
        answer = await handset.client.answer(session, since=since)
        assert answer["heard"] == answer["text"]
    await handset.client.no_session_left()


async def test_two_phones_at_once_get_answers_of_their_own(registrar, handset, alice):
    async with (
        TalkingPhone("bob", registrar) as bob,
        talk(alice, handset, registrar),
        talk(bob, handset, registrar),
    ):
        ears = (alice.ear(), bob.ear())
        await alice.say("what is twelve times seven")
        await bob.say("what time is it")
        asked = time.time()

        to_alice, to_bob = await asyncio.gather(*(heard_to_the_end(ear) for ear in ears))
        assert_tells_the_time(to_bob, RATE, asked)
        numbers = ("eighty four", "nineteen", "seventy two", "five", "ninety one")
        said = recognised(to_alice, RATE, [f"that is {number}" for number in numbers])
        assert "eighty four" in said


async def test_talking_over_a_long_answer_silences_it(registrar, handset, alice):
    async with talk(alice, handset, registrar) as (_, session):
        since, ear = handset.client.mark, alice.ear()
        await alice.say(LONG_QUESTION)
        await sounds(ear, for_seconds=1.5)
        begun = sounding(ear(), RATE)[0][0]

        onset = len(ear()) / RATE
        lasts = await alice.say(
            "no listen to me now i would like to say something else instead of hearing all of that"
        )
        assert lasts > TALKED_OVER_SECONDS + 1
        interrupted = await handset.client.event("interrupted", since=since, session=session)
        await breathe(lasts)
        heard = ear()

        talked_over = heard[round((onset + TALKED_OVER_SECONDS) * RATE) : round((onset + lasts) * RATE)]
        assert not sounding(talked_over, RATE), "the answer goes on while somebody talks"
        spoken = max(end for _, end in sounding(heard[: round((onset + lasts) * RATE)], RATE)) - begun
        assert interrupted["heard_ms"] / 1000 == pytest.approx(spoken, abs=0.6)
        cut = [
            event
            for event in handset.client.of("transcript", since, session=session, role="assistant", final=True)
            if event["heard"] != event["text"]
        ]
        assert len(cut) == 1
        assert cut[0]["heard"], "nothing of it was heard"
        assert cut[0]["text"].startswith(cut[0]["heard"].rstrip(" .…"))


async def test_a_cough_does_not_take_a_word_from_the_answer(registrar, handset, alice):
    async with talk(alice, handset, registrar) as (_, session):
        since, ear = handset.client.mark, alice.ear()
        await alice.say(LONG_QUESTION)
        undisturbed = await heard_to_the_end(ear, seconds=60)
        await handset.client.idle(session, since=since)

        since, ear = handset.client.mark, alice.ear()
        await alice.say(LONG_QUESTION)
        await sounds(ear, for_seconds=2.0)
        await alice.say(cough(rate=RATE))
        disturbed = await heard_to_the_end(ear, seconds=60)

        assert_nothing_lost(undisturbed, disturbed, RATE)
        answer = await handset.client.answer(session, since=since)
        assert answer["heard"] == answer["text"]
        assert not handset.client.of("interrupted", since)


async def test_a_keypad_digit_is_reported_and_a_hang_up_by_api_reaches_the_phone(registrar, handset, alice):
    async with talk(alice, handset, registrar) as (call_id, _):
        await alice.press("5")
        assert (await handset.client.event("dtmf", call=call_id))["digit"] == "5"
        closed = closings(alice)
        await handset.client.ask("call.hangup", call=call_id)
        await alice.event("CALL_CLOSED", count=closed + 1)
        await handset.client.event("call", call=call_id, state="ended")


async def test_saying_goodbye_hangs_up(registrar, handset, alice):
    async with talk(alice, handset, registrar) as (call_id, _):
        closed = closings(alice)
        await alice.say("goodbye")
        await alice.event("CALL_CLOSED", 30, count=closed + 1)
        await handset.client.event("call", call=call_id, state="ended")


async def test_calls_leave_no_thread_and_no_file_behind(handset):
    def one_call() -> None:
        with RawCaller(handset.sip_port):
            time.sleep(0.6)

    async def calls(count: int) -> None:
        for _ in range(count):
            await asyncio.to_thread(one_call)
        await handset.client.no_session_left(10)
        await breathe(1.0)

    await calls(3)
    before = handset.footprint()
    await calls(10)
    await until(
        lambda: handset.footprint().threads <= before.threads and handset.footprint().files <= before.files,
        15,
        f"threads and files return to {before}",
    )
    assert handset.footprint().children == before.children
    assert not (await handset.client.state())["calls"]
