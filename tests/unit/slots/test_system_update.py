"""A system is updated in the slot that does not run, tried, taken back by itself; what happened is told as it was."""

import pytest

from appliance.errors import ReleaseRefused
from provisioning.release.places import Places
from provisioning.release.quiet import LATEST_SECONDS
from provisioning.slots.trial import DID_NOT_START, NOT_WRITTEN, STOPPED, Duty, SlotTrial, duty, slot_of
from provisioning.slots.update import SystemUpdate
from tests.fakes.slots import TRIES, FakeBoard


@pytest.fixture
def board(tmp_path):
    return FakeBoard(tmp_path)


def update(board):
    """What a new process of the running system sees."""
    told: list[str] = []
    return SystemUpdate(
        board.slots(), board, board, told.append, Places(board.places.root / "opt", board.places.root)
    )


def install(board, behaviour, version="2"):
    update(board).prepare(version)
    board.write(version, behaviour)
    update(board).installed()


def test_a_good_system_is_kept_after_half_a_minute_of_being_well(board):
    install(board, "well")
    update(board).restart()
    assert board.slot == "B"
    began = board.time
    report = update(board).start()
    assert (report.outcome, report.version, report.from_version) == ("updated", "2", "1")
    assert board.time - began == 30
    assert board.left["B"] == TRIES
    assert board.slots().trial() is None
    assert board.slots().report() == report


@pytest.mark.slow
def test_a_call_that_never_ends_holds_the_restart_up_for_a_day_and_no_longer(board):
    install(board, "well")
    began, board.calls_until = board.time, float("inf")
    update(board).restart()
    assert board.slot == "B"
    assert board.time - began == pytest.approx(LATEST_SECONDS, abs=1)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("deaf", "no sign of life from capture"),
        ("mute_sip", "sip: the registrar refuses"),
        ("no_provider", "handset doctor: provider openai"),
        ("refuses", "the service does not run"),
    ],
)
def test_a_bad_system_restarts_into_the_one_before_which_says_why(board, behaviour, reason):
    install(board, behaviour)
    update(board).restart()
    assert update(board).start() is None
    assert board.slot == "A"
    report = update(board).start()
    assert (report.outcome, report.version, report.reason) == ("stepped_back", "2", reason)
    assert board.order[0] == "A"
    assert board.left["A"] == TRIES
    assert [board.power_on() for _ in range(2)] == ["A", "A"]


def test_a_system_that_does_not_start_is_given_up_by_the_boot_loader(board):
    install(board, "dead")
    update(board).restart()
    assert board.slot == "A"
    assert board.left["B"] == 0
    report = update(board).start()
    assert (report.outcome, report.reason) == ("stepped_back", DID_NOT_START)


def test_a_power_cut_while_it_is_written_leaves_the_present_system_and_is_told(board):
    update(board).prepare("2")
    board.power_on()
    assert board.slot == "A"
    assert update(board).start().reason == NOT_WRITTEN


def test_a_power_cut_while_it_proves_itself_lets_it_try_again(board):
    install(board, "well")
    board.power_on()
    board.power_on()
    assert board.slot == "B"
    assert update(board).start().outcome == "updated"


def test_nothing_is_written_while_somebody_calls(board):
    board.calls_until = 1e9
    with pytest.raises(ReleaseRefused, match="call"):
        update(board).prepare("2", patience=600)
    assert board.slots().trial() is None


def test_the_restart_waits_for_the_end_of_a_long_call(board):
    install(board, "well")
    board.calls_until = board.time + 7200
    update(board).restart()
    assert (board.restarts, board.time >= 8200) == (1, True)


def test_a_call_over_a_bad_system_is_let_end_before_the_way_back(board):
    install(board, "mute_sip")
    update(board).restart()
    began, board.calls_until = board.time, board.time + 400
    update(board).start()
    assert board.time - began >= 400


def test_a_call_keeps_a_good_system_on_trial_until_it_is_over(board):
    install(board, "well")
    update(board).restart()
    board.calls_until = board.time + 100
    assert update(board).start().at >= board.calls_until


def test_what_failed_before_is_not_the_new_system_to_blame_for(board):
    board.failing, board.doctor = ("sip",), ("provider openai",)
    install(board, "mute_sip")
    update(board).restart()
    board.doctor = ("provider openai",)
    assert update(board).start().outcome == "updated"


def test_the_system_that_is_tried_is_not_written_over_by_the_next_update(board):
    install(board, "well")
    update(board).restart()
    with pytest.raises(ReleaseRefused, match="not proved"):
        update(board).prepare("3")


@pytest.mark.parametrize("behaviour", ["well", "mute_sip", "refuses"])
def test_a_proved_system_keeps_its_tries_without_a_network_or_with_a_faulty_configuration(board, behaviour):
    board.systems["A"] = behaviour
    for _ in range(2 * TRIES):
        board.power_on()
        assert board.slot == "A"
        assert update(board).start() is None
    assert board.left["A"] == TRIES


def test_a_proved_system_that_goes_deaf_at_every_start_gives_way_and_that_is_told(board):
    install(board, "well")
    update(board).restart()
    update(board).start()
    board.systems["B"] = "deaf"
    for slot in ("B", "B", "B"):
        assert board.power_on() == slot
        assert update(board).start() is None
    assert board.power_on() == "A"
    report = update(board).start()
    assert (report.outcome, report.version, report.reason) == ("stepped_back", "2", STOPPED)
    board.power_on()
    assert update(board).start() is None


def test_a_system_without_slots_takes_none(board):
    board.places.command_line.write_text("ro quiet\n")
    with pytest.raises(ReleaseRefused, match="slot"):
        update(board).prepare("2")


@pytest.mark.parametrize(
    ("slot", "boot", "due"),
    [("B", "1", Duty.PROVE), ("B", "2", Duty.PROVE), ("A", "1", Duty.WAIT), ("A", "2", Duty.TELL)],
)
def test_what_a_start_has_to_do(slot, boot, due):
    assert duty(SlotTrial("id", "B", "2", "1", boot="1"), slot, boot) is due
    assert duty(None, slot, boot) is Duty.KEEP


def test_the_slot_stands_on_the_command_line():
    assert slot_of("console=tty1 rauc.slot=B root=PARTUUID=48414e44-03") == "B"
    assert slot_of("console=tty1 root=/dev/sda1") == ""
