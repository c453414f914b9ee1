"""The E-model, held against the figures of ITU-T G.107, and what a stream's counts mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.call.quality import CallQuality, StreamCounts, judge, mos, rating


def test_with_all_defaults_the_rating_is_that_of_the_recommendation() -> None:
    assert rating(0, 0) == pytest.approx(93.2, abs=0.05)
    assert mos(93.2) == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(
    ("r", "score"),
    [(0, 1.0), (50, 2.58), (60, 3.10), (70, 3.60), (80, 4.03), (90, 4.34), (100, 4.5), (-5, 1.0), (120, 4.5)],
)
def test_a_rating_gives_the_score_of_annex_b(r: float, score: float) -> None:
    assert mos(r) == pytest.approx(score, abs=0.01)


@pytest.mark.parametrize("delay", [10, 50, 100, 150, 177.3, 200, 250, 300, 350, 400])
def test_delay_costs_what_the_known_approximation_of_the_model_says(delay: float) -> None:
    """Cole and Rosenbluth's (2001), which they fitted to the E-model's curve; they give it to within a few points."""
    approximation = 0.024 * delay + 0.11 * max(0.0, delay - 177.3)
    assert rating(0, 0) - rating(delay, 0) == pytest.approx(approximation, abs=3.5)


@pytest.mark.parametrize(
    ("loss", "ie", "bpl", "impairment"),
    [
        (1, 0, 25.1, 3.64),
        (3, 0, 25.1, 10.14),
        (5, 0, 25.1, 15.78),
        (0, 11, 19, 11.0),
        (2, 11, 19, 19.0),
        (5, 0, 4.3, 51.08),
    ],
)
def test_loss_costs_ie_eff(loss: float, ie: float, bpl: float, impairment: float) -> None:
    assert rating(0, 0) - rating(0, loss, ie=ie, bpl=bpl) == pytest.approx(impairment, abs=0.01)


def test_losses_in_a_row_cost_more_than_those_at_random() -> None:
    assert rating(50, 5, burst=2.0) < rating(50, 5)


@given(st.floats(0, 2_000), st.floats(0, 2_000), st.floats(0, 100), st.floats(0, 100))
def test_more_delay_and_more_loss_are_never_better(
    delay: float, more: float, loss: float, extra: float
) -> None:
    r = rating(delay, loss)
    assert 0 <= r <= 100
    assert 1 <= mos(r) <= 4.5
    assert rating(delay, min(100, loss + extra)) <= r + 1e-9
    assert rating(delay + more, loss) <= r + 0.75, "echo's formula has a small dip near zero"


def test_counts_become_percentages_and_a_score() -> None:
    good = judge(StreamCounts(received=1000, sent=1000, jitter_ms=1.0, buffer_ms=40), "PCMU/8000")
    assert (good.loss_percent, good.far_loss_percent) == (0, 0)
    assert good.mos > 4.2
    bad = judge(StreamCounts(received=900, lost=100, discarded=50, sent=1000, far_lost=20), "PCMU/8000")
    assert (bad.loss_percent, bad.far_loss_percent) == (15.0, 2.0)
    assert bad.mos < 3.2
    assert judge(StreamCounts(received=1000, sent=1), "G729/8000").mos < good.mos
    assert judge(StreamCounts(sent=100), "PCMU/8000").loss_percent == 100


def test_each_report_tells_of_the_time_since_the_last_and_the_summary_of_all() -> None:
    quality = CallQuality()
    first = quality.take(StreamCounts(received=250, sent=250), "PCMU/8000")
    second = quality.take(StreamCounts(received=450, lost=50, sent=500), "PCMU/8000")
    assert first is not None
    assert second is not None
    assert (first.loss_percent, second.loss_percent) == (0, 20.0)
    summary = quality.summary()
    assert summary is not None
    assert summary["loss_percent"] == 10.0
    assert summary["worst_mos"] == second.mos
    assert summary["packets"] == 450


def test_a_new_stream_after_hold_adds_to_the_first() -> None:
    quality = CallQuality()
    quality.take(StreamCounts(received=500, sent=500), "PCMU/8000")
    fresh = quality.take(StreamCounts(received=90, lost=10, sent=100), "PCMU/8000")
    assert fresh is not None
    assert fresh.loss_percent == 10.0
    summary = quality.summary()
    assert summary is not None
    assert (summary["packets"], summary["loss_percent"]) == (590, 1.67)


def test_nothing_measured_is_no_quality() -> None:
    quality = CallQuality()
    assert quality.take(StreamCounts(), "") is None
    assert quality.summary() is None
