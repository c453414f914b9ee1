"""The link is cut at every quarter second of a spoken turn and is away for 0.2 s: nothing of the turn is lost."""

import pytest

from appliance.interfaces import LineKind
from tests.rig.cloud import CLOUDS
from tests.rig.grid import wrong_wherever_cut

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


@pytest.mark.parametrize("kind", [LineKind.PHONE, LineKind.ROOM], ids=str)
@pytest.mark.parametrize("name", CLOUDS)
async def test_a_turn_arrives_whole_when_the_link_is_away_for_a_moment(name: str, kind: LineKind):
    assert await wrong_wherever_cut(name, kind, outage=0.2) == []
