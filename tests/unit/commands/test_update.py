"""The verb `update`, as far as it goes without root and systemd; `make booted` does the rest."""

import argparse
import fcntl
import json
import os
import time

import pytest

from appliance.commands.update import of_this_update, update
from appliance.errors import Forbidden, NotPossible
from provisioning.release.places import Places
from provisioning.release.trial import CUT_OFF, Outcome, Releases, Report, Trial
from tests.fakes.releases import new_key, place


@pytest.fixture
def places(tmp_path):
    return place(tmp_path, new_key())


def ask(places, **changed):
    """`handset update` with these options."""
    options = {
        "file": None,
        "back": False,
        "older": False,
        "wait": None,
        "here": False,
        "settle": False,
        "slot": None,
    }
    return update(
        argparse.Namespace(**{**options, "restart": False, "json": False, "places": places, **changed})
    )


def test_without_a_file_it_says_what_is_in_force(places, capsys):
    assert ask(places) == 0
    assert capsys.readouterr().out == "version 0.1.0 is in force\n"
    Releases(places).refuse(Report("1", "refused", "", "0.1.0", "the signature", time.time()))
    ask(places)
    assert "refused: the signature" in capsys.readouterr().out
    ask(places, json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["trial"], told["last"]["outcome"]) == ("0.1.0", False, "refused")


def test_a_checkout_is_told_that_it_is_none(tmp_path):
    with pytest.raises(NotPossible, match="no installed appliance"):
        ask(Places(tmp_path / "opt", tmp_path / "usr"))


def test_only_root_may_change_what_is_in_force(places, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Forbidden, match="root"):
        ask(places, file=tmp_path / "x.tar.xz")


def test_what_was_cut_off_is_settled_and_told(places, capsys):
    trial = Trial("1", "0.2.0", "0.1.0", str(places.factory))
    Releases(places).begin(trial, places.release("0.2.0"))
    assert ask(places, settle=True) == 0
    assert CUT_OFF in capsys.readouterr().err
    assert places.current.resolve() == places.factory
    ask(places, settle=True)
    assert capsys.readouterr().err == ""


def test_two_updates_at_once_are_refused(places, tmp_path):
    with (places.root / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(NotPossible, match="under way"):
            ask(places, settle=True)


def test_a_clock_that_is_set_back_during_an_update_does_not_hide_its_outcome():
    before = Report("1", Outcome.UPDATED, "0.2.0", "0.1.0", "", 2000.0)
    after = Report("2", Outcome.UPDATED, "0.3.0", "0.2.0", "", 1000.0)
    assert of_this_update(before, after) is after
    assert of_this_update(None, after) is after
    for nothing in (None, before):
        with pytest.raises(NotPossible, match="did not end"):
            of_this_update(before, nothing)
