"""A settings file whose name an editor or a browser has changed is told, and read by no other name."""

import pytest

from tests.rig.boot_card import Card


@pytest.mark.parametrize("name", ["handset.toml.txt", "handset.txt", "Handset (1).toml", "handset.toml.toml"])
def test_a_file_that_is_nearly_called_so_is_told_with_the_right_name(tmp_path, name):
    card = Card(tmp_path)
    (card.boot / name).write_text('[device]\nname = "hall"\n')
    (fault,) = card.start().faults
    assert (fault.file, fault.hint) == (name, "name it handset.toml")
    assert name in (card.boot / "handset-result.txt").read_text()


@pytest.mark.parametrize("name", ["handset-result.txt", "handset-notes.txt", "config.txt", "handset.toml~"])
def test_other_files_of_the_card_are_nobodys_mistake(tmp_path, name):
    card = Card(tmp_path)
    (card.boot / name).write_text("anything")
    assert not card.start().asked


def test_beside_the_right_one_they_are_left_alone(tmp_path):
    card = Card(tmp_path).put(settings='[device]\nname = "hall"\n')
    (card.boot / "handset (1).toml").write_text("old")
    assert card.start().faults == []
