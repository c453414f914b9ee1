"""A whole appliance whose conversations are held by a realtime service: the daemon, the wire, and the service's fake.

    async with cloud("openai", sip={}) as (service, handset), handset.client_of_own() as client:
        service.will_hear("what time is it")
        service.will_say("It is noon.", 1.5)

When the `with` ends without a fault, the service must have had nothing to refuse, and the appliance ends as
`Handset` wants it: what was said, typed, and given to tools stands nowhere in its log.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from tests.rig.alignment import align
from tests.rig.appliance import Handset
from tests.rig.chain_service import ChainService
from tests.rig.control_client import ControlClient, Event
from tests.rig.services import SERVICES, Service, at_rate, found_ms

CLOUDS: Mapping[str, Callable[..., Service]] = {**SERVICES, "chain": ChainService}

SLACK_MS = 250
"""Of an answer, what recognition by pieces may miss at its two ends."""


@contextlib.asynccontextmanager
async def cloud(
    name: str,
    *,
    ladder: tuple[str, ...] = (),
    settings: Mapping[str, Any] | None = None,
    **sections: Any,
) -> AsyncIterator[tuple[Service, Handset]]:
    """`ladder` are the providers after `name`; `settings` complete its table; `sections` are Handset's."""
    async with CLOUDS[name](in_daemon=True) as service:
        own = service.daemon
        conversation = {"providers": [name, *ladder], **sections.pop("conversation", {})}
        own[f"providers.{name}"] = own.get(f"providers.{name}", {}) | (settings or {})
        own["environ"] |= sections.pop("environ", {})
        async with Handset(**{**own, **sections, "conversation": conversation}) as handset:
            yield service, handset
        assert service.violations == []


async def assert_heard_whole(service: Service, number: int, seconds: float, played: Any, rate: int) -> None:
    """Answer `number`, the first being 0, was heard from beginning to end."""
    heard = await heard_ms(service, number, played, rate)
    assert heard >= seconds * 1000 - SLACK_MS, heard


async def heard_ms(service: Service, number: int, played: Any, rate: int) -> float:
    """How much of answer `number` was; in a thread: a service whose loop calculates for seconds answers no ping."""
    answers = service.answers()
    assert len(answers) > number, f"there were {len(answers)} answers"
    answer = at_rate(answers[number], service.answer_rate, rate)
    return await asyncio.to_thread(found_ms, played, answer, rate)


async def assert_arrived(service: Service, spoken: Any) -> None:
    """The service received `spoken`, samples at its rate, as its last turn: nothing lost, nothing twice."""
    aligned = await asyncio.to_thread(align, spoken, service.received(), service.rate)
    assert aligned.whole, aligned


async def latency(client: ControlClient, session: str, *, since: int = 0, seconds: float = 30.0) -> Event:
    """The next `latency` event of the session, with all its marks in their order."""
    event = await client.event("latency", seconds, since=since, session=session)
    ends, text, audio, sound = (
        event.get(name, -1) for name in ("end_of_speech", "first_text", "first_audio", "first_sound")
    )
    assert text >= 0, event
    assert 0 < ends <= audio <= sound, event
    return event
