"""A service that cannot be reached when somebody speaks: the device answers soon, and what is wrong is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import certifi
import pytest

from tests.rig.appliance import Handset
from tests.rig.control_client import ControlClient
from tests.rig.peer import until
from tests.rig.services import SERVICES, OpenAiService, Service
from tests.rig.spoken import speech

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

RATE = 16_000
FALLBACK_AFTER = 3.0
SLACK = 27.0
"""A machine that does much else has to load the service's library first."""


def hangs_in_setup(service: Service) -> None:
    """The connection stands, and nothing is ever said about it."""
    assert isinstance(service, OpenAiService)
    service.server.hang_in_setup(1_000)


def swallows_all(service: Service) -> None:
    """What is dialled is taken, and nothing comes back."""
    service.wire.stall()


def hangs_up(service: Service) -> None:
    """Each dial is reset."""
    service.wire.cut(1_000.0)


@contextlib.asynccontextmanager
async def ladder(
    *,
    certificates: str = "",
    happens: Mapping[str, Callable[[Service], None]] | None = None,
    addresses: Mapping[str, str] | None = None,
) -> AsyncIterator[Handset]:
    """All services, of which something `happens` to some and some have a wrong one of `addresses`; then the device."""
    async with contextlib.AsyncExitStack() as stack:
        services = [await stack.enter_async_context(SERVICES[name](in_daemon=True)) for name in SERVICES]
        sections: dict[str, Any] = {f"providers.{one.name}": one.section for one in services}
        environ = {key: value for one in services for key, value in one.environ.items()}
        if certificates:
            environ["SSL_CERT_FILE"] = certificates
        for name, address in (addresses or {}).items():
            sections[f"providers.{name}"] |= {"base_url": address}
        for one in services:
            (happens or {}).get(one.name, lambda _: None)(one)
        sections["conversation"] = {"providers": [*SERVICES, "offline"]}
        yield await stack.enter_async_context(Handset(environ=environ, **sections))


async def the_device_answers(
    handset: Handset, reasons: Mapping[str, str], *, code: str = "provider_unavailable"
) -> None:
    async with handset.client_of_own() as client:
        began = asyncio.get_running_loop().time()
        session = await client.open_session(RATE)
        client.say(speech("what is twelve times seven", RATE))
        await is_answered(client, session)
        active = client.of("session.state", session=session, to="active")
        assert active[0]["provider"] == "offline"
        assert active[0]["came"] - began < FALLBACK_AFTER * len(reasons) + SLACK
        states = (await client.state())["providers"]
        for name, reason in reasons.items():
            assert (states[name]["state"], states[name]["code"]) == ("down", code)
            assert reason in states[name]["reason"], states[name]


async def is_answered(client: ControlClient, session: str) -> None:
    def said() -> str:
        final = client.of("transcript", session=session, role="assistant", final=True)
        return " ".join(event["heard"] for event in final)

    await until(lambda: "84" in said(), 60, "the device answers")


async def test_the_device_answers_where_services_hang_or_hang_up():
    happens = {"openai": hangs_in_setup, "gemini": swallows_all, "gpt_live": hangs_up}
    async with ladder(happens=happens) as handset:
        late = "did not answer in time"
        await the_device_answers(handset, {"openai": late, "gemini": late, "gpt_live": "GPT-Live"})


async def test_the_device_answers_where_addresses_lead_nowhere_and_a_certificate_is_not_trusted():
    addresses = {"openai": "http://nobody.invalid/v1", "gpt_live": "http://127.0.0.1:9/v1"}
    async with ladder(addresses=addresses, certificates=certifi.where()) as handset:
        await the_device_answers(
            handset,
            {"openai": "does not resolve", "gemini": "certificate", "gpt_live": "nothing listens"},
        )


async def test_the_device_answers_where_the_certificates_are_gone():
    async with ladder(certificates="/nowhere/at-all.pem") as handset:
        await the_device_answers(handset, dict.fromkeys(SERVICES, "certificates"), code="setup_rejected")
