"""Services that refuse: each reason is said, told as an event, and shown; the next one answers, the device at last."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.rig.appliance import Handset
from tests.rig.control_client import ControlClient
from tests.rig.services import SERVICES, Service

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

CODES = ("credentials_rejected", "quota_exhausted", "rate_limited")
NO_KEYS = dict.fromkeys(("OPENAI_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"), "")
LADDER = [*SERVICES, "offline"]


async def each_is_told(client: ControlClient, session: str, codes: Mapping[str, str]) -> None:
    await client.event("session.state", 30, session=session, to="active", provider="offline")
    for name, code in codes.items():
        down = await client.event("provider", session=session, provider=name, state="down")
        assert down["code"] == code
        assert down["reason"]
        failed = await client.event("error", session=session, code=code)
        assert failed["message"]
        await is_said(client, session, code)
    assert len(client.of("error")) == len(set(codes.values()))


async def is_said(client: ControlClient, session: str, code: str) -> None:
    """One of the appliance's own lines, to its end."""
    line = (await client.event("warning", session=session, code=code))["message"]
    await client.event("transcript", 40, session=session, role="assistant", final=True, heard=line)


async def the_device_answers(client: ControlClient, session: str) -> None:
    since = client.mark
    await client.ask("text", session=session, text="what is two plus three")
    answer = await client.answer(session, since=since)
    assert "5" in answer["heard"]
    assert len(client.heard())


async def status_shows(handset: Handset, codes: Mapping[str, str]) -> None:
    code, out, err = await handset.run("status", "--json")
    assert code == 0, err
    providers = json.loads(out)["providers"]
    for name, wanted in codes.items():
        assert providers[name]["healthy"] is False
        assert (providers[name]["state"], providers[name]["code"]) == ("down", wanted)
    code, out, err = await handset.run("status")
    assert code == 0, err
    for name, wanted in codes.items():
        line = next(line for line in out.splitlines() if name in line.split())
        assert "down" in line
        assert wanted in line


async def a_reload_mends_it(handset: Handset, services: Mapping[str, Service], session: str) -> None:
    for service in services.values():
        service.accept()
    since = handset.client.mark
    await handset.client.ask("config.reload")
    first = next(iter(services))
    await handset.client.event("session.state", 60, since=since, session=session, to="active", provider=first)
    state = (await handset.client.state())["providers"][first]
    assert (state["state"], state["code"], state["sessions"]) == ("up", "", [session])


async def test_each_refusal_is_said_told_and_shown_and_the_next_one_answers():
    """Each for a reason of its own: that each service tells all reasons apart is tested in its contract suite."""
    codes = dict(zip(SERVICES, CODES, strict=True))
    async with contextlib.AsyncExitStack() as stack:
        services = {
            name: await stack.enter_async_context(SERVICES[name](in_daemon=True)) for name in SERVICES
        }
        for name, code in codes.items():
            services[name].refuse(code)
        sections: dict[str, Any] = {f"providers.{name}": one.section for name, one in services.items()}
        environ = {key: value for one in services.values() for key, value in one.environ.items()}
        handset = await stack.enter_async_context(
            Handset(conversation={"providers": LADDER}, environ=environ, **sections)
        )
        client = await stack.enter_async_context(handset.client_of_own())
        session = await client.open_session()
        await each_is_told(client, session, codes)
        await the_device_answers(client, session)
        await status_shows(handset, codes)
        await a_reload_mends_it(handset, services, session)


async def test_without_a_key_the_device_answers_and_says_why():
    async with (
        Handset(conversation={"providers": LADDER}, environ=NO_KEYS) as handset,
        handset.client_of_own() as client,
    ):
        session = await client.open_session()
        await client.event("session.state", 30, session=session, to="active", provider="offline")
        await is_said(client, session, "credentials_missing")
        await the_device_answers(client, session)
        await status_shows(handset, dict.fromkeys(SERVICES, "credentials_missing"))
        hints = {event["hint"] for event in client.of("error", session=session)}
        assert any("OPENAI_API_KEY" in hint for hint in hints), hints
        assert any("GOOGLE_API_KEY" in hint for hint in hints), hints


async def test_where_nothing_but_a_service_without_a_key_is_configured_that_is_said_too():
    async with (
        Handset(conversation={"providers": ["openai"]}, environ=NO_KEYS) as handset,
        handset.client_of_own() as client,
    ):
        session = await client.open_session()
        await is_said(client, session, "credentials_missing")
        await client.ask("text", session=session, text="what is two plus three")
        await is_said(client, session, "no_service")
        await client.idle(session)
        assert not client.of("session.state", to="closed")
