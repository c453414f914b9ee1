"""The plug is pulled before every single step of an update, of going back, and of the repair after that."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.release.places import runnable
from provisioning.release.signature import trusted_keys
from provisioning.release.trial import CUT_OFF, Disk, Releases, Settling, settling
from provisioning.release.update import Fit, Update
from tests.fakes.release_service import FakeService
from tests.fakes.releases import MACHINE, PYTHON, bundle, new_key, place

KEY = new_key()


class PlugPulledError(BaseException):
    """Not an Exception: nothing may catch it and go on."""


class Plug:
    """Pulled before the step of that number; None: never. `steps` counts those that were begun."""

    def __init__(self, at):
        self.at = at
        self.steps = 0

    def __call__(self, step):
        if self.steps == self.at:
            self.at = -1  # no step after it either
        if self.at == -1:
            raise PlugPulledError(step)
        self.steps += 1


def start_of_the_system(places, plug=None):
    """What handset-release.service does."""
    return Releases(places, Disk(plug) if plug else Disk()).settle(2000.0)


def made(places, service, disk):
    return Update(
        Releases(places, disk), service, trusted_keys(places.keys), lambda _: None, Fit(MACHINE, PYTHON)
    )


def cut_update(directory, behaviour, at):
    """An update with the plug pulled at step `at`; whether it got to its end, and the steps that it took."""
    places = place(directory, KEY)
    path = bundle(directory, "0.2.0", behaviour, KEY)
    plug = Plug(at)
    update = made(places, FakeService(places), Disk(plug))
    try:
        update.install(path)
    except PlugPulledError:
        return places, False, plug.steps
    return places, True, plug.steps


def check(places):
    """What must hold once the system has started, whatever happened before."""
    report = Releases(places).report()
    assert runnable(places.current)
    assert not places.trial.exists()
    if places.current.resolve() == places.release("0.2.0"):
        assert report is not None
        assert (report.outcome, report.version) == ("updated", "0.2.0")
    else:
        assert places.current.resolve() == places.factory
        assert report is None or report.outcome == "stepped_back"
    assert start_of_the_system(places) is None, "once is enough"


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["well", "dies"])
def test_whenever_the_power_goes_a_release_runs_and_the_report_is_true(behaviour):
    with tempfile.TemporaryDirectory() as directory:
        _, whole, steps = cut_update(Path(directory), behaviour, None)
    assert whole
    assert steps >= 8
    for at in range(steps):
        with tempfile.TemporaryDirectory() as directory:
            places, whole, _ = cut_update(Path(directory), behaviour, at)
            assert not whole
            start_of_the_system(places)
            check(places)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["well", "dies"]), st.integers(0, 20), st.lists(st.integers(0, 4), max_size=3))
def test_the_power_may_go_again_and_again_while_the_system_starts(behaviour, at, cuts):
    with tempfile.TemporaryDirectory() as directory:
        places, _, _ = cut_update(Path(directory), behaviour, at)
        for cut in cuts:
            try:
                start_of_the_system(places, Plug(cut))
            except PlugPulledError:
                continue
        start_of_the_system(places)
        check(places)


def test_an_update_that_was_cut_off_is_told_as_that(tmp_path):
    places = place(tmp_path, KEY)
    service = FakeService(places)

    def pull():
        raise PlugPulledError

    service.on_restart = pull
    with pytest.raises(PlugPulledError):
        made(places, service, Disk()).install(bundle(tmp_path, "0.2.0", "well", KEY))
    start_of_the_system(places)
    report = Releases(places).report()
    assert report is not None
    assert (report.outcome, report.reason) == ("stepped_back", CUT_OFF)


@pytest.mark.parametrize("damage", ["gone", "empty", "dangling"])
def test_a_link_that_leads_nowhere_leads_to_the_release_of_the_system_again(tmp_path, damage):
    places = place(tmp_path, KEY)
    places.current.unlink()
    if damage == "empty":
        places.current.mkdir()
        places.current.rmdir()
    elif damage == "dangling":
        places.current.symlink_to(places.release("9.9"))
    report = start_of_the_system(places)
    assert report is not None
    assert places.current.resolve() == places.factory


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[1]", b"\0\0\0\0", b'{"id": 3}'])
def test_a_damaged_record_of_an_update_leads_to_the_release_of_the_system(tmp_path, rubbish):
    places = place(tmp_path, KEY)
    places.trial.write_bytes(rubbish)
    start_of_the_system(places)
    assert places.current.resolve() == places.factory
    assert not places.trial.exists()


def test_what_the_start_has_to_do_follows_from_what_it_finds():
    assert settling(None, None, runs=True) is Settling.NOTHING
    assert settling(None, None, runs=False) is Settling.REPAIR
