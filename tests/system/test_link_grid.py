"""The link is cut at every quarter second of a spoken turn, for a moment, for seconds, for long: nothing is lost.

Real lines (detector, canceller, resampler), real sockets, the unmodified SDKs, the services' strict fakes.
"""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from appliance.interfaces import LineKind
from appliance.session.turn import Phase
from tests.rig.alignment import align
from tests.rig.services import SERVICES, Service, at_rate
from tests.rig.sounds import Samples
from tests.rig.spoken import silence, speech
from tests.rig.stage import RATES, Person, Stage

TEXT = "a quick brown fox jumps over the lazy dog while seven wizards pack my box with five dozen jugs"
LEAD_SECONDS = 0.3
TURN_SECONDS = 5.0
QUIET = 200
"""The turn's first sample is louder."""
STEP = 0.25
ANSWER_SECONDS = 0.6
POINTS = [point * STEP for point in range(round(TURN_SECONDS / STEP) + 1)]

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def turn(rate: int) -> Samples:
    return speech(TEXT, rate, voice="flite:slt")[: round(TURN_SECONDS * rate)]


async def one_cut(
    stage: Stage, name: str, kind: LineKind, cut_at: float, outage: float
) -> Callable[[], list[str]]:
    """A turn whose link is cut. What is returned tells what was wrong: later, since it takes the loop's time."""
    async with SERVICES[name]() as service:
        person = stage.enter(kind, [service.provider])
        await person.until(lambda: person.session.link.up, 60)
        service.will_say("Done.", ANSWER_SECONDS)
        person.say(np.concatenate((silence(LEAD_SECONDS, person.rate), turn(person.rate))))
        await person.until(lambda: person.began_at > 0, 20)
        await asyncio.sleep(LEAD_SECONDS + cut_at)
        service.wire.cut(outage)
        await person.until(lambda: bool(service.answers()) and person.loud(), 40 + outage)
        await person.until(lambda: person.session.phase is Phase.IDLE, 20)
        await asyncio.sleep(0.5)
        stage.leave(person)
        return lambda: [f"cut at {cut_at} s: {what}" for what in _wrong(person, service) + service.violations]


def _wrong(person: Person, service: Service) -> list[str]:
    wrong = []
    spoken = np.frombuffer(b"".join(person.captured), "<i2")[: round((LEAD_SECONDS + TURN_SECONDS) * 16_000)]
    spoken = spoken[np.flatnonzero(np.abs(spoken.astype(np.int32)) > QUIET)[0] :]
    aligned = align(at_rate(spoken, 16_000, service.rate), service.received(), service.rate)
    if not aligned.whole:
        wrong.append(f"{aligned}")
    heard = service.heard_ms(person.sound(), person.rate)
    if [each for each in heard if each] != [pytest.approx(ANSWER_SECONDS * 1000, abs=101)]:
        wrong.append(f"answers heard for {heard} ms")
    if person.session.phase is not Phase.IDLE:
        wrong.append(f"in the end it is {person.session.phase}")
    return wrong


@pytest.mark.parametrize("outage", [0.2, 3.0, 20.0])
@pytest.mark.parametrize("kind", [LineKind.PHONE, LineKind.ROOM], ids=str)
@pytest.mark.parametrize("name", SERVICES)
async def test_a_turn_arrives_whole_wherever_the_link_is_cut(name: str, kind: LineKind, outage: float):
    wrong: list[str] = []
    for batch in (POINTS[0::2], POINTS[1::2]):
        async with Stage() as stage:
            cuts = [one_cut(stage, name, kind, point, outage) for point in batch]
            results = await asyncio.gather(*cuts, return_exceptions=True)
        for point, result in zip(batch, results, strict=True):
            wrong += [f"cut at {point} s: {result!r}"] if isinstance(result, BaseException) else result()
    assert not wrong, "\n".join(wrong)


def test_the_spoken_turn_is_as_long_as_the_grid():
    assert len(turn(RATES[LineKind.PHONE])) == TURN_SECONDS * RATES[LineKind.PHONE]
