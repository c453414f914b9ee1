"""A delay that came once into joined lines does not stay."""

import pytest

from appliance.session.backlog import NEEDED_MS, PIECE_MS, WINDOW, Backlog


def run(seconds: float, queued: float, *, quiet: bool = False, wobble: float = 0.0) -> tuple[float, int]:
    """What waits in the end, and how many pieces went; one piece comes and one sounds every 20 ms."""
    backlog, gone = Backlog(), 0
    for number in range(round(seconds * 1000 / PIECE_MS)):
        if backlog.leaves_out(queued + wobble * (number % 2), quiet=quiet):
            gone += 1
            queued -= PIECE_MS
    return queued, gone


@pytest.mark.parametrize("queued", [60.0, 120.0, 200.0])
def test_in_a_pause_all_that_is_not_needed_goes_within_two_seconds(queued: float) -> None:
    left, _ = run(2.0, queued, quiet=True)
    assert NEEDED_MS - PIECE_MS < left <= NEEDED_MS


def test_while_somebody_speaks_a_piece_goes_in_a_second() -> None:
    left, gone = run(4.0, 120.0)
    assert gone == 3
    assert left == 60.0
    assert run(20.0, 120.0)[0] <= NEEDED_MS


def test_what_is_needed_now_and_then_stays() -> None:
    assert run(20.0, NEEDED_MS, quiet=True, wobble=100.0)[1] == 0


def test_a_line_that_keeps_up_loses_nothing() -> None:
    assert run(60.0, 20.0, quiet=True)[1] == 0


def test_one_that_is_late_again_and_again_is_heard_all_the_same() -> None:
    backlog = Backlog()
    gone = sum(backlog.leaves_out(200.0, quiet=False) for _ in range(20 * WINDOW))
    assert gone <= 20
