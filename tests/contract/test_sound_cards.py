"""What every sound card keeps, whatever is behind it: the contract of interfaces.SoundCard."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance import plugins
from appliance.frames import LINE_RATES
from appliance.interfaces import SoundCard
from tests.rig.card_user import CardUser, wait_for
from tests.rig.sound_server import SoundServer
from tests.rig.sounds import babble, write_wav

GROUP = "appliance.sound_cards"
Factory = Callable[..., SoundCard]


@pytest.fixture(params=["wav", pytest.param("pyaudio", marks=pytest.mark.system)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Factory]:
    """Builds a card with both devices there."""
    factory = plugins.load(GROUP, request.param)
    if request.param == "wav":
        said = write_wav(tmp_path / "in.wav", babble(3.0, 16_000), 16_000)
        yield lambda **more: factory(str(said), str(tmp_path / "out.wav"), **more)
        return
    with SoundServer() as server, server.in_this_process():
        yield lambda **more: factory("default", "default", **more)


@pytest.fixture
def user(make: Factory) -> Iterator[CardUser]:
    with CardUser(make()) as user:
        user.wait_until("input", "present", 5)
        user.wait_until("output", "present", 5)
        user.hears_within(3)
        user.is_asked_within(3)
        yield user


def test_rates_are_known_before_the_start(make):
    card = make()
    assert card.capture_rate in LINE_RATES
    assert card.playout_rate in LINE_RATES
    card.stop()


def test_start_returns_at_once(make):
    user = CardUser(make())
    began = time.monotonic()
    with user:
        assert time.monotonic() - began < 0.1


@pytest.mark.parametrize("period_ms", [10, 20])
def test_blocks_are_one_period_long_both_ways(make, period_ms):
    with CardUser(make(period_ms=period_ms)) as user:
        wait_for(lambda: len(user.blocks) > 10 and len(user.pulls) > 10, 8)
    assert {len(pcm) for _, _, pcm in user.blocks} == {2 * user.card.capture_rate * period_ms // 1000}
    assert {samples for _, samples in user.pulls} == {user.card.playout_rate * period_ms // 1000}


def test_both_directions_keep_real_time(user):
    time.sleep(0.5)  # what was prepared before the start has been said
    blocks, pulls, began = len(user.blocks), len(user.pulls), time.monotonic()
    time.sleep(1.0)
    periods = (time.monotonic() - began) / 0.02
    assert len(user.blocks) - blocks == pytest.approx(periods, abs=4)
    assert len(user.pulls) - pulls == pytest.approx(periods, abs=4)


def test_a_block_is_dated_by_its_last_sample(user):
    time.sleep(0.5)
    recent = user.blocks[-20:]
    assert all(0 <= came - at < 0.2 for came, at, _ in recent)
    assert all(0 < later[1] - earlier[1] < 0.2 for earlier, later in itertools.pairwise(recent))


def test_stop_is_quick_and_final_and_may_come_twice(user):
    began = time.monotonic()
    user.card.stop()
    assert time.monotonic() - began < 2.0
    before = len(user.blocks), len(user.pulls)
    time.sleep(0.1)
    assert (len(user.blocks), len(user.pulls)) == before
    user.card.stop()


def test_a_sign_of_life_comes_as_long_as_it_runs(user):
    time.sleep(0.5)
    assert 0 < user.card.silent_for < 1.0
    user.card.stop()
    assert user.card.silent_for == 0


def test_a_card_that_was_never_started_stops(make):
    make().stop()


def test_delay_and_counters_can_be_asked_at_any_time(user):
    assert 0 <= user.card.output_delay_ms < 500
    counters = user.card.counters()
    assert counters
    assert all(isinstance(count, int) and count >= 0 for count in counters.values())
    user.card.stop()
    assert user.card.output_delay_ms >= 0
    assert user.card.counters().keys() == counters.keys()
