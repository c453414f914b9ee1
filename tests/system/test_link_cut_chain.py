"""The links of a chain's services are cut in a spoken turn and are away for 20.0 s: nothing of the turn is lost."""

import pytest

from appliance.interfaces import LineKind
from tests.rig.grid import POINTS, wrong_wherever_cut

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


async def test_a_turn_arrives_whole_when_all_services_of_a_chain_are_away_for_long():
    # At every other point: as many as are held at once.
    assert await wrong_wherever_cut("chain", LineKind.PHONE, outage=20.0, points=POINTS[::2]) == []
