"""Whether anything still comes."""

from drivers.sip_pjsua2.watch import Counts, Finding, Watch


def findings(watch: Watch, counts: list[tuple[int, int]]) -> list[Finding | None]:
    """One look a second: packets received, and RTCP reports that came."""
    return [watch.look(Counts(received=got, reports=told), at) for at, (got, told) in enumerate(counts, 1)]


def test_a_stream_that_stops_is_told_once_then_dead() -> None:
    watch = Watch(3, 6, 0)
    assert findings(watch, [(50, 0), (100, 0)]) == [None, None]
    looks = [watch.look(Counts(received=100), at) for at in range(3, 10)]
    assert looks == [None, None, None, Finding.SILENT, None, None, Finding.DEAD]
    assert watch.ever


def test_sound_that_comes_back_is_told_too() -> None:
    watch = Watch(2, 60, 0)
    looks = findings(watch, [(50, 0), (50, 0), (50, 0), (50, 0), (51, 0), (52, 0)])
    assert looks == [None, None, None, Finding.SILENT, Finding.BACK, None]


def test_nothing_ever_heard_is_told_though_rtcp_comes_and_is_not_dead() -> None:
    watch = Watch(3, 6, 0)
    looks = findings(watch, [(0, at) for at in range(1, 20)])
    assert looks.count(Finding.SILENT) == 1
    assert Finding.DEAD not in looks
    assert not watch.ever


def test_a_phone_that_suppresses_silence_lives_by_its_rtcp() -> None:
    watch = Watch(6, 12, 0)
    assert set(findings(watch, [(50, at // 5) for at in range(60)])) == {None}


def test_while_the_call_is_held_nothing_is_expected() -> None:
    watch = Watch(2, 4, 0)
    watch.look(Counts(received=5), 1)
    for at in range(2, 100):
        watch.rest(at)
    assert watch.look(Counts(received=5), 100) is None
    assert watch.look(Counts(received=5), 103) is Finding.SILENT
