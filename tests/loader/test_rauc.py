"""A system is updated by RAUC, with our settings and handlers, on a card that U-Boot then starts (make boot-loader)."""

import pytest

from image import loader
from image.signing import signing
from tests.loader.test_boot_script import UBOOT

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not UBOOT, reason="RAUC and U-Boot in an emulator: make boot-loader"),
]


def test_a_system_is_written_started_and_kept(board):
    assert board.switch_on() == ("A", "2", "0")
    done = board.handset("update", str(board.bundle("2", board.by)))
    assert done.returncode == 0, done.stdout + done.stderr + (board.folder / "run/rauc.log").read_text()
    assert "update --slot restart" in (board.folder / "run/asked").read_text()
    board.version["B"] = "2"
    assert board.switch_on() == ("B", "2", "2")
    done = board.handset("update", "--slot", "start")
    assert done.returncode == 0, done.stderr
    assert (board.report()["outcome"], board.report()["version"]) == ("updated", "2")
    kept = loader.read_variables(board.card)
    assert kept is not None
    assert (kept["BOOT_ORDER"], kept["BOOT_B_LEFT"]) == ("B A", "3")
    assert "system 2 runs in slot B; last update: to 2" in board.handset("update").stdout


def test_a_system_that_is_worse_goes_back_to_the_one_before(board, appliance):
    board.switch_on()
    board.handset("update", str(board.bundle("2", board.by)))
    board.version["B"] = "2"
    assert board.switch_on()[0] == "B"
    appliance.sip = False
    assert "the registrar refuses" in board.handset("update", "--slot", "start").stderr
    assert "reboot" in (board.folder / "run/asked").read_text()
    appliance.sip = True
    assert board.switch_on()[0] == "A"
    assert board.handset("update", "--slot", "start").returncode == 0
    assert (board.report()["outcome"], board.report()["reason"]) == (
        "stepped_back",
        "sip: the registrar refuses",
    )
    assert board.switch_on()[0] == "A"


def test_what_somebody_else_signed_and_what_comes_during_a_call_is_refused(board, appliance, tmp_path):
    board.switch_on()
    before = loader.read_variables(board.card)
    strange = signing({}, tmp_path / "others")
    done = board.handset("update", str(board.bundle("3", strange)))
    assert done.returncode != 0
    assert board.report()["outcome"] == "refused"
    assert loader.read_variables(board.card) == before
    assert board.switch_on()[0] == "A"
