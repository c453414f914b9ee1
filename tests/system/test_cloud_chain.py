"""A chain of Deepgram, OpenAI and Cartesia in the whole appliance: it hears, thinks and speaks, and survives."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from tests.rig.appliance import Handset, toml
from tests.rig.chain_service import ChainService
from tests.rig.cloud import assert_arrived, latency
from tests.rig.control_client import ControlClient, Event
from tests.rig.peer import until
from tests.rig.services import at_rate, found_ms
from tests.rig.sip_peers import programs_missing
from tests.rig.sounds import Samples
from tests.rig.spoken import sounding, speech
from tests.rig.talking_phone import RATE, TalkingPhone, breathe, heard_to_the_end, sounds

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(programs_missing()), reason=f"not installed: {programs_missing()}"),
]

CLIENT_RATE = 16_000
MS_PER_CHARACTER = 20
COUNTING = ", ".join(
    " ".join(str(number) for number in range(tens, tens + 10)) for tens in range(100, 200, 10)
)
GRAIN_MS = 250
SILENT_AFTER = 1.5
AWAY = 1_000.0
NO_KEYS = dict.fromkeys(("OPENAI_API_KEY", "DEEPGRAM_API_KEY", "CARTESIA_API_KEY"), "")


@contextlib.asynccontextmanager
async def chain(**sections: Any) -> AsyncIterator[tuple[ChainService, Handset]]:
    """The daemon's log is at its most talkative, and is searched for keys and words in the end."""
    async with ChainService(in_daemon=True) as service:
        service.mouth.speed = 4.0
        # One sentence is written down as one.
        service.ear.final_words = 0
        own = {**service.daemon, "conversation": {"providers": ["chain", "offline"]}}
        async with Handset(**{**own, "log": {"level": "debug"}, **sections}) as handset:
            yield service, handset
        assert service.violations == []


def asked(service: ChainService) -> list[tuple[str, str]]:
    """What the model was shown last, without the instructions: who said what."""
    messages = service.mind.last.body["messages"]
    return [
        (one["role"], one.get("content") or "") for one in messages if one["role"] in ("user", "assistant")
    ]


async def spoken_ms(service: ChainService, since: int, heard: Samples) -> float:
    """How much of what the voice has spoken from piece `since` on was heard on the telephone."""
    pieces = [at_rate(np.frombuffer(one.pcm, "<i2"), one.rate, RATE) for one in service.mouth.spoken[since:]]
    return await asyncio.to_thread(lambda: sum(found_ms(heard, piece, RATE) for piece in pieces))


# --- a telephone call ---


async def asks(service: ChainService, client: ControlClient, phone: TalkingPhone, session: str) -> None:
    since, piece, ear = client.mark, len(service.mouth.spoken), phone.ear()
    service.will_hear("where is the nearest bakery")
    service.mind.will_say("The nearest bakery is around the corner.")
    await phone.say("where is the nearest bakery")
    heard = await heard_to_the_end(ear)
    user = await client.event("transcript", since=since, session=session, role="user", final=True)
    assert user["text"] == "Where is the nearest bakery."
    answer = await client.answer(session, since=since)
    assert answer["text"] == answer["heard"] == "The nearest bakery is around the corner."
    assert await spoken_ms(service, piece, heard) >= len(answer["text"]) * MS_PER_CHARACTER - 100
    await latency(client, session, since=since)
    assert client.of("usage", since, session=session)


async def has_a_tool_called(
    service: ChainService, client: ControlClient, phone: TalkingPhone, session: str
) -> None:
    since, ear = client.mark, phone.ear()
    service.will_hear("set a timer for the potatoes")
    service.mind.will_call("set_timer", {"seconds": 600, "label": "potatoes in the oven"})
    service.mind.will_say("The timer for the potatoes runs.")
    await phone.say("set a timer for the potatoes")
    call = await client.event("tool.call", since=since, session=session)
    result = await client.event("tool.result", since=since, session=session, call_id=call["call_id"])
    assert result.get("error") is None, result
    await until(service.results, 20, "the model is told")
    assert [told for told in service.results() if "potatoes in the oven" in told] == service.results()
    assert (await client.answer(session, since=since))["heard"] == "The timer for the potatoes runs."
    await heard_to_the_end(ear)


async def talks_over(service: ChainService, client: ControlClient, phone: TalkingPhone, session: str) -> None:
    since, piece, ear = client.mark, len(service.mouth.spoken), phone.ear()
    service.will_hear("please count from one hundred")
    service.mind.will_say(COUNTING)
    await phone.say("please count from one hundred")
    await sounds(ear, for_seconds=2.0)
    service.will_hear("thank you that will do")
    service.mind.will_say("You are welcome.")
    requests, onset = len(service.mind.asked), len(ear()) / RATE
    lasts = await phone.say("thank you that will do for now and please tell me more")
    interrupted = await client.event("interrupted", since=since)
    await breathe(lasts)
    await heard_to_the_end(phone.ear())
    heard = ear()
    assert not sounding(heard[round((onset + SILENT_AFTER) * RATE) : round((onset + lasts) * RATE)], RATE)
    before = heard[: round((onset + SILENT_AFTER) * RATE)]
    assert interrupted["heard_ms"] == pytest.approx(await spoken_ms(service, piece, before), abs=GRAIN_MS)

    cut = client.of("transcript", since, session=session, role="assistant", final=True)[0]
    assert COUNTING.startswith(cut["heard"].rstrip(" .…"))
    assert len(cut["heard"]) * MS_PER_CHARACTER == pytest.approx(interrupted["heard_ms"], abs=GRAIN_MS)
    assert len(service.mind.asked) == requests + 1
    assert asked(service)[-2:] == [("assistant", cut["heard"]), ("user", "Thank you that will do.")]
    kept = (await client.ask("history.get", session=session))["turns"]
    spoken = [turn["heard"] for turn in kept if turn["role"] == "assistant"]
    assert spoken[-2:] == [cut["heard"], "You are welcome."]


async def test_a_phone_call_is_answered_a_tool_is_called_and_an_answer_is_talked_over():
    async with chain(sip={}) as (service, handset), TalkingPhone("alice") as alice:
        client = handset.client
        await alice.call(handset.uri)
        active = await client.event("session.state", to="active")
        assert active["provider"] == "chain"
        await breathe(0.5)
        await asks(service, client, alice, active["session"])
        await has_a_tool_called(service, client, alice, active["session"])
        await talks_over(service, client, alice, active["session"])
        await alice.hang_up()
        await client.event("session.state", session=active["session"], to="closed")


# --- stages that go away ---


async def deepgram_breaks(service: ChainService, client: ControlClient, session: str) -> None:
    """In the middle of a sentence."""
    since, requests = client.mark, len(service.mind.asked)
    said = speech("please tell my sister that the train is late and i shall come by taxi", CLIENT_RATE)
    text = "please tell my sister that the train is late"
    service.mind.will_say("I shall tell her.")
    service.ear.hears = text
    client.say(said)
    await client.event("speech.started", since=since, session=session)
    await asyncio.sleep(1.5)
    service.wires.all[0].cut(1.0)
    assert (await client.answer(session, since=since))["heard"] == "I shall tell her."
    await assert_arrived(service, said)
    assert len(service.mind.asked) == requests + 1
    users = client.of("transcript", since, role="user", final=True)
    assert [event["text"] for event in users] == [text.capitalize() + "."]
    assert client.of("session.state", since) == [], "the session need not know"


async def cartesia_is_away(service: ChainService, client: ControlClient, session: str) -> None:
    """The device's own voice answers."""
    since, pieces, before = client.mark, len(service.mouth.spoken), len(client.heard())
    service.wires.all[2].cut(AWAY)
    service.mind.will_say("The museum opens at nine and closes at five.")
    client.say(speech("when does it open", CLIENT_RATE))
    answer = await client.answer(session, since=since)
    assert answer["heard"] == "The museum opens at nine and closes at five."
    assert len(service.mouth.spoken) == pieces
    loud = sum(end - begin for begin, end in sounding(client.heard()[before:], CLIENT_RATE))
    assert loud > 1.0, "it was told as heard, and did not sound"
    assert await client.event("warning", since=since, session=session, code="tts_failed")


async def the_model_fails_once(service: ChainService, client: ControlClient, session: str) -> None:
    """It is asked again, and nobody notices."""
    since = client.mark
    service.mind.fail(500)
    service.mind.will_say("Two miles.")
    await client.ask("text", session=session, text="how far is it to the harbour")
    assert (await client.answer(session, since=since))["heard"] == "Two miles."
    assert not client.of("warning", since, code="no_answer")


async def the_model_goes_away(
    service: ChainService, handset: Handset, client: ControlClient, session: str
) -> None:
    """No apology: the device answers the same question."""
    since = client.mark
    service.wires.all[1].cut(AWAY)
    await client.ask("text", session=session, text="what is twelve times seven")
    await client.event("session.state", 30, since=since, session=session, to="active", provider="offline")
    await until(lambda: any("84" in one["heard"] for one in answers(client, since)), 30, "the device answers")
    assert not client.of("warning", since, code="no_answer")
    assert (await handset.client.state())["providers"]["chain"]["state"] == "down"


def answers(client: ControlClient, since: int) -> list[Event]:
    return client.of("transcript", since, role="assistant", final=True)


async def is_said(client: ControlClient, session: str, code: str, since: int) -> None:
    line = (await client.event("warning", since=since, session=session, code=code))["message"]
    await client.event(
        "transcript", 40, since=since, session=session, role="assistant", final=True, heard=line
    )


async def test_each_stage_that_refuses_or_goes_away_costs_what_it_must_and_no_more():
    async with chain() as (service, handset):
        await the_model_refuses_the_key(service, handset)
        await handset.client.ask("config.reload")
        await stages_go_away(service, handset)


async def stages_go_away(service: ChainService, handset: Handset) -> None:
    async with handset.client_of_own() as client:
        session = await client.open_session(CLIENT_RATE)
        await client.event("session.state", session=session, to="active", provider="chain")
        await deepgram_breaks(service, client, session)
        await cartesia_is_away(service, client, session)
        await the_model_fails_once(service, client, session)
        await the_model_goes_away(service, handset, client, session)


async def the_model_refuses_the_key(service: ChainService, handset: Handset) -> None:
    """It gives way to the device."""
    async with handset.client_of_own() as client:
        session = await client.open_session(CLIENT_RATE)
        await client.event("session.state", session=session, to="active", provider="chain")
        service.mind.reject_credentials()
        service.ear.hears = "what is twelve times seven"
        client.say(speech("what is twelve times seven", CLIENT_RATE))
        await is_said(client, session, "credentials_rejected", 0)
        await until(lambda: any("84" in one["heard"] for one in answers(client, 0)), 30, "the device answers")
        state = (await handset.client.state())["providers"]["chain"]
        assert (state["state"], state["code"]) == ("down", "credentials_rejected")


# --- what is wrong with a configuration ---


async def test_check_and_doctor_name_the_missing_key_the_unknown_stage_and_the_misspelt_key():
    keys = {name: {"api_key": f"{name}-key-of-the-tests-0123456789"} for name in ("deepgram", "cartesia")}
    sections: dict[str, Any] = {f"providers.{name}": table for name, table in keys.items()}
    sections["conversation"] = {"providers": ["chain", "offline"]}
    sections["providers.chain"] = {"stt": "deepgrm", "llm_modle": "gpt-6-luna"}
    handset = Handset(environ=NO_KEYS, **sections)
    handset.config.write_text(toml(handset.sections))
    try:
        code, out, err = await handset.run("check", "--json")
        assert code == 2, err
        faults = {one["key"]: one for one in json.loads(out)["faults"]}
        assert faults.keys() == {
            "providers.chain.stt",
            "providers.chain.llm_modle",
            "providers.openai.api_key",
        }
        assert "'deepgram'" in faults["providers.chain.stt"]["hint"]
        assert "llm_model" in faults["providers.chain.llm_modle"]["hint"]
        assert "OPENAI_API_KEY" in faults["providers.openai.api_key"]["hint"]
        code, told, err = await handset.run("doctor")
        assert code == 1, err
        for key in faults:
            assert key in told
        for table in keys.values():
            assert table["api_key"] not in out + told + err
    finally:
        await handset.stop()
