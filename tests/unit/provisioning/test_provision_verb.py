"""`handset provision`: one line for the journal says what became of the card, and what the appliance is called."""

import pytest

from appliance.cli import main
from tests.rig.boot_card import Card


@pytest.fixture
def told(tmp_path, capsys):
    card = Card(tmp_path)

    def run() -> str:
        assert main(["provision", "--boot", str(card.boot), "--root", str(card.root)]) == 0
        return str(capsys.readouterr().out)

    return card, run


def test_the_name_is_told_when_files_were_taken_over_and_when_there_was_nothing_new(told):
    card, run = told
    card.put(settings="[system]\nhostname = 'kitchen'\n")
    assert run().endswith("1 taken over, 0 faults; its name is kitchen\n")
    assert run() == f"nothing new on {card.boot}; its name is kitchen\n"


def test_without_a_name_it_says_so(told):
    card, run = told
    (card.root / "etc/hostname").unlink()
    (card.root / "sys/class/net/eth0/address").unlink()
    card.put(settings="[device]\nname = 'x'\n")
    assert run().endswith("1 taken over, 0 faults; it has no name yet\n")
    assert run() == f"nothing new on {card.boot}; it has no name yet\n"
