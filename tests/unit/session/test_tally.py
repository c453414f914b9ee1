"""What connections have counted is shown, summed up, also of those that are gone."""

from appliance.session.tally import NAMES_BOUND, OTHER, Tally
from tests.rig.booth import Booth
from tests.rig.virtual_time import virtual_time


def test_connections_one_after_the_other_are_summed_up() -> None:
    tally = Tally()
    tally.close({"late_cancels": 2})
    tally.close({"late_cancels": 1, "malformed": 4})
    assert tally.total({"malformed": 1}) == {"connection_late_cancels": 3, "connection_malformed": 5}
    assert tally.total({}) == {"connection_late_cancels": 3, "connection_malformed": 4}


def test_names_that_a_service_made_up_are_few_and_plain() -> None:
    tally = Tally()
    tally.close({'x"} 1\nhandset_up 0': 3, "": 1, "Ungut": 1})
    tally.close({f"code_{number}": 1 for number in range(NAMES_BOUND + 10)})
    assert len(tally.total({})) == NAMES_BOUND + 1
    assert tally.total({})[OTHER] == 5 + 10


@virtual_time
async def test_what_a_lost_connection_counted_stays_in_the_sessions_counters() -> None:
    async with Booth() as booth:
        booth.provider.connections[-1].counts["late_cancels"] += 2
        assert booth.session.counters()["connection_late_cancels"] == 2
        booth.provider.drop()
        await booth.wait(1.0)
        booth.provider.connections[-1].counts["late_cancels"] += 1
        assert len(booth.provider.connections) == 2
        assert booth.session.counters()["connection_late_cancels"] == 3
