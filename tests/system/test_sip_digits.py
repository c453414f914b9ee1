"""Digits in three ways, in both directions, over real RTP and SIP; and what they do in a conversation."""

import asyncio
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from appliance.audio import dtmf
from tests.rig.appliance import Handset
from tests.rig.raw_caller import RawCaller
from tests.rig.services import OpenAiService
from tests.rig.shared import Shared
from tests.rig.sip_peers import programs_missing
from tests.rig.spoken import speech
from tests.rig.telephone_sound import RATE, Talker, from_mu_law

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

DIGITS = "159#*0"
TAKES_INFO = "Allow: INVITE, ACK, BYE, CANCEL, INFO\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service():
    async with OpenAiService(in_daemon=True) as service:
        yield service
        assert service.violations == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(service):
    async with Shared(lambda: Handset(sip={"dtmf": "auto"}, **service.daemon)) as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def handset(shared):
    async with shared.lent() as handset:
        yield handset


class Call:
    """A raw call into the daemon, and its id."""

    def __init__(self, handset: Handset, **offer: Any) -> None:
        self.handset = handset
        self.caller = RawCaller(handset.sip_port, **offer)
        self.id = ""

    async def __aenter__(self) -> "Call":
        mark = self.handset.client.mark
        await asyncio.to_thread(self.caller.__enter__)
        self.id = (await self.handset.client.event("call", since=mark, state="connected"))["call"]
        await asyncio.sleep(0.5)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.caller.__exit__, None, None, None)
        await self.handset.client.event("call", call=self.id, state="ended")

    async def digits(self, count: int) -> list[tuple[str, str]]:
        """Digit and method of those that came, `count` of them and 0.6 s of time for more."""
        for _ in range(100):
            if len(self.seen()) >= count:
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.6)
        return self.seen()

    def seen(self) -> list[tuple[str, str]]:
        return [(event["digit"], event["method"]) for event in self.handset.client.of("dtmf", call=self.id)]

    def say(self, samples: Any) -> None:
        Talker(self.caller).say(samples)


def keys(digits: str) -> Any:
    return np.frombuffer(dtmf.tones(digits, RATE), dtype="<i2")


async def test_digits_of_the_far_end_are_told_once_each_whichever_way_they_come(handset):
    async with Call(handset, events=True) as call:
        for digit in DIGITS:
            call.caller.press(digit)
            await asyncio.sleep(0.3)
        assert await call.digits(len(DIGITS)) == [(digit, "rfc4733") for digit in DIGITS]
        assert all(80 <= event["duration_ms"] <= 300 for event in handset.client.of("dtmf", call=call.id))

    async with Call(handset, headers=TAKES_INFO) as call:
        for digit in DIGITS:
            assert "200" in await asyncio.to_thread(call.caller.inform, digit)
        assert await call.digits(len(DIGITS)) == [(digit, "info") for digit in DIGITS]

    async with Call(handset) as call:
        call.say(keys(DIGITS))
        assert await call.digits(len(DIGITS)) == [(digit, "inband") for digit in DIGITS]
        call.say(speech("Seven hundred and thirty three sheep look on.", RATE))
        await asyncio.sleep(4.0)
        assert len(call.seen()) == len(DIGITS)


async def test_the_sound_of_keys_is_no_digit_where_the_far_end_offers_events(handset):
    async with Call(handset, events=True) as call:
        call.say(keys(DIGITS))
        await asyncio.sleep(2.0)
        assert call.seen() == []


async def test_who_sends_info_and_the_sound_is_heard_once(handset):
    async with Call(handset) as call:
        assert "200" in await asyncio.to_thread(call.caller.inform, "5")
        call.say(keys("5"))
        assert await call.digits(1) == [("5", "info")]


async def test_our_digits_go_as_events_as_info_or_as_sound_as_the_far_end_offers(handset):
    async with Call(handset, events=True) as call:
        await handset.client.ask("call.dtmf", call=call.id, digits="42")
        await asyncio.sleep(1.5)
        assert list(dict.fromkeys(event[0] for event in call.caller.keyed_in)) == [4, 2]

    async with Call(handset, headers=TAKES_INFO) as call:
        await handset.client.ask("call.dtmf", call=call.id, digits="4")
        told = await asyncio.to_thread(call.caller.told, "INFO")
        assert "Signal= 4" in told.replace("Signal=4", "Signal= 4")

    async with Call(handset) as call:
        await handset.client.ask("call.dtmf", call=call.id, digits=DIGITS)
        await asyncio.sleep(0.2 * len(DIGITS) + 1.0)
        samples = np.concatenate([from_mu_law(payload) for _, payload in call.caller.arrived])
        detector = dtmf.DtmfDetector(RATE)
        heard = detector.hear(samples.astype("<i2").tobytes())
        assert "".join(digit.digit for digit in heard) == DIGITS


async def test_a_digit_silences_the_answer_and_the_model_is_told_what_was_pressed(handset, service):
    async with Call(handset, events=True) as call:
        client = handset.client
        session = (await client.event("session.state", to="active"))["session"]
        service.will_say("For the office press one, for the workshop press two, or stay on the line.", 8.0)
        await client.ask("text", session=session, text="what can I choose")
        talker = Talker(call.caller)
        await talker.sounds(for_seconds=1.0)
        service.will_say("The workshop, then.", 1.5)
        since = client.mark
        call.caller.press("1")
        assert (await client.event("interrupted", since=since, session=session))["reason"] == "dtmf"
        call.caller.press("2")
        call.caller.press("#")
        said = await client.event("transcript", 10, since=since, session=session, role="user", final=True)
        assert said["text"] == "pressed 1 2"
        await client.event("transcript", 20, since=since, session=session, heard="The workshop, then.")
