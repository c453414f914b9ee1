"""What becomes of the room's own sound while somebody calls."""

from pathlib import Path

import numpy as np
import pytest

from appliance.config.schema import Sip
from tests.rig.booth import RATE, Booth
from tests.rig.office import Office
from tests.rig.tones import dominant_hertz
from tests.rig.virtual_time import virtual_time

LOUD = 10_000
LONG = RATE * 10
TOP = 30_000


async def before_during_and_after(directory: Path, policy: str, own: np.ndarray) -> list[np.ndarray]:
    """A second each of what the room's speaker is given: alone, while it rings, and when that is over."""
    heard: list[np.ndarray] = []
    async with Booth(open_session=False) as booth:
        office = Office(booth, directory, sip=Sip(enabled=True, auto_answer=False))
        room = office.furnish(policy)
        await office.calls.start()
        room.playout.play("tale", own.astype("<i2").tobytes(), RATE)
        room.playout.finish("tale")

        async def second() -> None:
            await booth.wait(0.2)
            heard.append(np.frombuffer(room.pull(RATE), dtype="<i2"))

        await second()
        call = office.telephone.rings_in()
        await second()
        office.telephone.ends(call)
        await second()
        await office.calls.stop()
        await office.phones.stop()
    return heard


@pytest.mark.parametrize(("policy", "share"), [("duck", 0.2), ("ignore", 1.0)])
@virtual_time
async def test_it_speaks_on_as_loud_as_was_set(tmp_path: Path, policy: str, share: float) -> None:
    before, during, after = await before_during_and_after(tmp_path, policy, np.full(LONG, LOUD))
    assert before[-1] == after[-1] == LOUD
    assert during[-1] == pytest.approx(share * LOUD, rel=0.02)


@virtual_time
async def test_parked_it_waits_while_it_rings_and_goes_on_at_the_very_sample(tmp_path: Path) -> None:
    before, during, after = await before_during_and_after(tmp_path, "park", np.arange(LONG) % TOP)
    assert dominant_hertz(during[: RATE // 2], RATE) == pytest.approx(425, abs=15)
    assert after[-1] == (int(before[-1]) + RATE) % TOP
