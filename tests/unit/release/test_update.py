from contextlib import suppress

import pytest

from appliance.errors import ReleaseRefused
from provisioning.release.signature import trusted_keys
from provisioning.release.trial import Outcome, Releases, Report
from provisioning.release.update import Fit, Update, outcome_told
from tests.fakes.release_service import FakeService
from tests.fakes.releases import MACHINE, PYTHON, bundle, new_key, place

KEY = new_key()
FIT = Fit(MACHINE, PYTHON)


@pytest.fixture
def places(tmp_path):
    return place(tmp_path, KEY)


def update(places, service, fit=FIT):
    told: list[str] = []
    return Update(Releases(places), service, trusted_keys(places.keys), told.append, fit)


def test_a_good_release_is_in_force_after_half_a_minute_of_being_well(places, tmp_path):
    service = FakeService(places)
    report = update(places, service).install(bundle(tmp_path, "0.2.0", "well", KEY))
    assert (report.outcome, report.version, report.from_version) == ("updated", "0.2.0", "0.1.0")
    assert places.current.resolve() == places.release("0.2.0")
    assert service.time - service.started == 30
    assert outcome_told(report) == "version 0.2.0 is in force"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("dies", "it ended by itself and was restarted"),
        ("deaf", "no sign of life from capture"),
        ("mute_sip", "sip: the registrar refuses"),
        ("flutters", "it is not ready"),
        ("no_provider", "handset doctor: provider openai"),
    ],
)
def test_a_bad_release_is_taken_back_and_the_report_says_why(places, tmp_path, behaviour, reason):
    service = FakeService(places)
    report = update(places, service).install(bundle(tmp_path, "0.2.0", behaviour, KEY))
    assert (report.outcome, report.reason) == ("stepped_back", reason)
    assert places.current.resolve() == places.factory
    assert service.restarts == 2
    assert not places.trial.exists()
    assert Releases(places).report() == report


def test_a_release_may_take_a_while_to_start(places, tmp_path):
    report = update(places, FakeService(places)).install(bundle(tmp_path, "0.2.0", "slow", KEY))
    assert report.outcome == "updated"


def test_what_failed_before_is_not_the_new_release_to_blame_for(places, tmp_path):
    service = FakeService(places, failing=("room",))
    assert update(places, service).install(bundle(tmp_path, "0.2.0", "well", KEY)).outcome == "updated"


def test_a_call_is_waited_for(places, tmp_path):
    service = FakeService(places, calls_until=1300.0)
    update(places, service).install(bundle(tmp_path, "0.2.0", "well", KEY))
    assert service.started >= 1300.0


def test_a_call_that_does_not_end_puts_the_update_off(places, tmp_path):
    service = FakeService(places, calls_until=1e9)
    with pytest.raises(ReleaseRefused, match="call"):
        update(places, service).install(bundle(tmp_path, "0.2.0", "well", KEY))
    assert service.restarts == 0
    assert places.current.resolve() == places.factory


def test_a_call_over_a_bad_release_is_not_cut_off_by_going_back(places, tmp_path):
    service = FakeService(places)
    rung: list[float] = []

    def ring():
        if service.restarts == 1 and not rung:
            rung.append(service.time)
            service.calls_until = service.time + 280

    service.on_sleep = ring
    update(places, service).install(bundle(tmp_path, "0.2.0", "mute_sip", KEY))
    assert service.started >= rung[0] + 280


def test_a_release_that_does_not_take_the_configuration_is_refused_before_anything_changes(places, tmp_path):
    service = FakeService(places)
    with pytest.raises(ReleaseRefused, match=r"sip\.sever"):
        update(places, service).install(bundle(tmp_path, "0.2.0", "rejects", KEY))
    assert service.restarts == 0


def test_releases_for_other_machines_older_ones_and_the_present_one_are_refused(places, tmp_path):
    service = FakeService(places)
    with pytest.raises(ReleaseRefused, match="armv7l"):
        update(places, service).install(bundle(tmp_path, "0.2.0", "well", KEY, machine="armv7l"))
    update(places, service).install(bundle(tmp_path, "0.10.0", "well", KEY))
    with pytest.raises(ReleaseRefused, match="in force already"):
        update(places, service).install(tmp_path / "handset-0.10.0.tar.xz")
    older = bundle(tmp_path, "0.9.0", "well", KEY)
    with pytest.raises(ReleaseRefused, match="older"):
        update(places, service).install(older)
    assert update(places, service, Fit(MACHINE, PYTHON, older=True)).install(older).outcome == "updated"


def test_one_can_go_back_to_the_release_before(places, tmp_path):
    service = FakeService(places)
    with pytest.raises(ReleaseRefused, match="no version"):
        update(places, service).back()
    update(places, service).install(bundle(tmp_path, "0.2.0", "well", KEY))
    update(places, service).install(bundle(tmp_path, "0.3.0", "well", KEY))
    assert update(places, service).back().version == "0.2.0"
    assert places.current.resolve() == places.release("0.2.0")


@pytest.mark.parametrize("behaviour", ["rejects", "dies"])
def test_what_was_tried_in_vain_since_takes_neither_the_way_back_nor_room(places, tmp_path, behaviour):
    service = FakeService(places)
    update(places, service).install(bundle(tmp_path, "0.2.0", "well", KEY))
    update(places, service).install(bundle(tmp_path, "0.3.0", "well", KEY))
    for version in ("0.4.0", "0.5.0"):
        with suppress(ReleaseRefused):
            update(places, service).install(bundle(tmp_path, version, behaviour, KEY))
    Releases(places).refuse(Report("refused", Outcome.REFUSED, "", "0.3.0", "no", 1.0))
    kept = sorted(path.name for path in places.releases.iterdir())
    assert kept in (["0.2.0", "0.3.0"], ["0.2.0", "0.3.0", "0.5.0"])
    assert update(places, service).back().version == "0.2.0"
    assert places.current.resolve() == places.release("0.2.0")


def test_the_tenth_candidate_is_newer_than_the_ninth_and_older_than_the_release(places, tmp_path):
    service = FakeService(places)
    for version in ("0.2.0rc9", "0.2.0rc10", "0.2.0", "0.2.0.1"):
        assert update(places, service).install(bundle(tmp_path, version, "well", KEY)).outcome == "updated"
    for older in (bundle(tmp_path, "0.2.0rc11", "well", KEY), tmp_path / "handset-0.2.0.tar.xz"):
        with pytest.raises(ReleaseRefused, match="older"):
            update(places, service).install(older)


def test_an_update_that_is_broken_off_is_taken_back(places, tmp_path):
    service = FakeService(places)

    def give_up():
        if service.restarts:
            raise KeyboardInterrupt

    service.on_sleep = give_up
    with pytest.raises(KeyboardInterrupt):
        update(places, service).install(bundle(tmp_path, "0.2.0", "well", KEY))
    assert places.current.resolve() == places.factory
    assert service.restarts == 2


def test_only_the_present_release_and_the_one_before_are_kept(places, tmp_path):
    service = FakeService(places)
    for version in ("0.2.0", "0.3.0", "0.4.0"):
        update(places, service).install(bundle(tmp_path, version, "well", KEY))
    assert sorted(path.name for path in places.releases.iterdir()) == ["0.3.0", "0.4.0"]
