"""The link is cut at every quarter second of a spoken turn and is away for 20.0 s: nothing of the turn is lost."""

import pytest

from appliance.interfaces import LineKind
from tests.rig.grid import wrong_wherever_cut

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


@pytest.mark.parametrize("kind", [LineKind.PHONE, LineKind.ROOM], ids=str)
@pytest.mark.parametrize("name", ["openai", "gemini"])
async def test_a_turn_arrives_whole_when_the_link_is_away_for_long(name: str, kind: LineKind):
    assert await wrong_wherever_cut(name, kind, outage=20.0) == []
