"""A service that cannot be reached when somebody speaks: the device answers soon, and what is wrong is told."""

import asyncio
from collections.abc import Callable
from typing import Any

import certifi
import pytest

from tests.rig.appliance import Handset
from tests.rig.cloud import cloud
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


async def the_device_answers(
    handset: Handset, name: str, reason: str, *, code: str = "provider_unavailable"
) -> None:
    async with handset.client_of_own() as client:
        began = asyncio.get_running_loop().time()
        session = await client.open_session(RATE)
        client.say(speech("what is twelve times seven", RATE))
        await is_answered(client, session)
        active = client.of("session.state", session=session, to="active")
        assert active[0]["provider"] == "offline"
        assert active[0]["came"] - began < FALLBACK_AFTER + SLACK
        state = (await client.state())["providers"][name]
        assert (state["state"], state["code"]) == ("down", code)
        assert reason in state["reason"], state


async def is_answered(client: ControlClient, session: str) -> None:
    def said() -> str:
        final = client.of("transcript", session=session, role="assistant", final=True)
        return " ".join(event["heard"] for event in final)

    await until(lambda: "84" in said(), 60, "the device answers")


async def in_trouble(name: str, happens: Callable[[Service], None], reason: str) -> None:
    async with cloud(name, ladder=("offline",)) as (service, handset):
        happens(service)
        await the_device_answers(handset, name, reason)


async def led_nowhere(name: str, address: str, reason: str) -> None:
    sections: dict[str, Any] = {
        "conversation": {"providers": [name, "offline"]},
        f"providers.{name}": {"api_key": "a-key-of-nobody-0123456789", "base_url": address},
    }
    async with Handset(**sections) as handset:
        await the_device_answers(handset, name, reason)


async def without_certificates(name: str) -> None:
    nowhere = {"SSL_CERT_FILE": "/nowhere/at-all.pem"}
    async with cloud(name, ladder=("offline",), environ=nowhere) as (_, handset):
        await the_device_answers(handset, name, "certificates", code="setup_rejected")


async def test_the_device_answers_where_a_service_hangs_or_hangs_up():
    async with asyncio.TaskGroup() as appliances:
        appliances.create_task(in_trouble("openai", hangs_in_setup, "did not answer in time"))
        appliances.create_task(in_trouble("gemini", swallows_all, "did not answer in time"))
        appliances.create_task(in_trouble("gpt_live", hangs_up, "GPT-Live"))


async def test_the_device_answers_where_an_address_leads_nowhere():
    async with asyncio.TaskGroup() as appliances:
        appliances.create_task(led_nowhere("openai", "http://nobody.invalid/v1", "does not resolve"))
        appliances.create_task(led_nowhere("gemini", "https://nobody.invalid", "does not resolve"))
        appliances.create_task(led_nowhere("gpt_live", "http://127.0.0.1:9/v1", "nothing listens"))


async def test_the_device_answers_where_a_certificate_is_not_trusted():
    others = {"SSL_CERT_FILE": certifi.where()}
    async with cloud("gemini", ladder=("offline",), environ=others) as (_, handset):
        await the_device_answers(handset, "gemini", "certificate")


async def test_the_device_answers_where_the_certificates_are_gone():
    async with asyncio.TaskGroup() as appliances:
        for name in SERVICES:
            appliances.create_task(without_certificates(name))
