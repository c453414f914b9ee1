"""What `handset setup` reads: vectors of each maker, good and broken, and texts by chance."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.load import OF_THE_MACHINE
from provisioning.boot_settings import TYPES
from provisioning.phones.account import host_and_port
from provisioning.sources import PHONES, understand
from provisioning.toml_text import dump, read_sound

VECTORS = Path("tests/vectors/provisioning")
GOOD = sorted(path.with_suffix("") for path in VECTORS.glob("*.json"))
BROKEN = json.loads((VECTORS / "invalid/told.json").read_text())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_each_makers_file_becomes_the_accounts_that_it_means(path):
    draft = understand(path.read_text())
    assert draft.tree == json.loads(path.with_name(f"{path.name}.json").read_text())
    assert not draft.faults


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_no_note_about_a_file_holds_a_secret_of_it(path):
    draft = understand(path.read_text())
    told = "\n".join(map(str, draft.notes))
    for account in (draft.tree["sip"], *draft.tree["sip"].get("accounts", {}).values()):
        assert account["password"] not in told


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_told_with_line_and_remedy(name):
    message, line = BROKEN[name]
    draft = understand((VECTORS / "invalid" / name).read_text())
    fault = next(fault for fault in draft.faults if message in fault.message)
    assert fault.line == line
    assert fault.hint
    assert "hush-hush" not in "\n".join(map(str, draft.notes))


def test_what_a_telephone_has_and_we_have_not_is_told_with_its_line():
    draft = understand((VECTORS / "yealink.cfg").read_text())
    told = {(note.key, note.line) for note in draft.notes}
    assert ("local_time.time_zone", 32) in told
    assert ("codec", 20) in told
    assert any("switched off" in note.message for note in draft.notes)


def test_a_further_account_gets_the_name_that_was_asked_for():
    draft = understand("<sip:7@pbx.example.org>;auth_pass=x", "office")
    assert draft.tree["sip"]["accounts"]["office"]["user"] == "7"
    assert "user" not in draft.tree["sip"]


@settings(deadline=None)
@given(st.text(max_size=400))
def test_no_text_at_all_breaks_a_reader(text):
    understand(text)
    for maker in PHONES:
        if maker.looks_like(text):
            assert understand(text).source == maker.SOURCE


@settings(deadline=None)
@given(st.sampled_from(GOOD), st.integers(0, 4000), st.text(max_size=12))
def test_a_file_that_was_damaged_anywhere_is_read_or_told_but_never_breaks(path, at, piece):
    text = path.read_text()
    draft = understand(text[: at % len(text)] + piece + text[at % len(text) + len(piece) :])
    assert draft.tree or draft.notes


TREES = st.recursive(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8),
        st.one_of(
            st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12),
            st.integers(-(2**62), 2**62),
            st.booleans(),
            st.floats(allow_nan=False, allow_infinity=False),
            st.lists(
                st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6), max_size=3
            ),
        ),
        max_size=4,
    ),
    lambda below: st.dictionaries(st.text("abc.-é ", min_size=1, max_size=5), below, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(TREES)
def test_what_is_written_as_toml_is_read_as_it_was(tree):
    assert tomllib.loads(dump(tree)) == tree


@settings(deadline=None)
@given(st.text(alphabet="[]=\"#.\n ab1'\\", max_size=120))
def test_of_any_toml_the_sound_part_is_read_and_each_fault_has_a_line_in_it(text):
    tree, faults = read_sound(text)
    assert isinstance(tree, dict)
    assert all(1 <= fault.line <= max(1, len(text.splitlines())) for fault in faults)
    try:
        assert tomllib.loads(text) == tree
    except tomllib.TOMLDecodeError:
        assert faults


def test_what_stands_under_a_broken_heading_joins_no_other_table():
    tree, faults = read_sound('[device]\nname = "a"\n[sip\nserver = "pbx"\n[room]\nenabled = false\n')
    assert tree == {"device": {"name": "a"}, "room": {"enabled": False}}
    assert [fault.line for fault in faults] == [3]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("pbx.example.org", ("pbx.example.org", 0, "")),
        ("sip:u@pbx:5070;transport=TLS", ("pbx", 5070, "tls")),
        ("[2001:db8::1]:5061", ("[2001:db8::1]", 5061, "")),
    ],
)
def test_hosts_are_taken_apart(text, place):
    assert host_and_port(text) == place


def test_check_knows_the_tables_that_a_boot_file_alone_may_have():
    assert TYPES.keys() == OF_THE_MACHINE
