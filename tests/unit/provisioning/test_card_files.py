"""A card with several files: each says its part, later ones count for more, and what came from where is told."""

import pytest

from provisioning import card as layers
from provisioning.draft import Draft
from provisioning.sources import understand
from tests.rig.boot_card import Card
from tests.unit.provisioning.test_first_boot import HASH, NETWORK, SETTINGS, USER_DATA

CUSTOM = f"""config_version = 1
[system]
hostname = "old"
[user]
name = "anna"
password = "{HASH}"
[wlan]
ssid = "home"
password = "a secret passphrase"
country = "AT"
[sip]
server = "pbx.example.org"
user = "100"
password = "from the old file"
[providers.openai]
api_key = "sk-older"
"""


@pytest.fixture
def card(tmp_path):
    return Card(tmp_path)


def result(card: Card) -> str:
    return (card.boot / "handset-result.txt").read_text()


def test_settings_of_the_older_file_hold_beside_ours(card):
    outcome = card.put(custom=CUSTOM, settings='[device]\nname = "Kitchen"\n').start()
    assert not outcome.faults
    assert (card.configuration.device.name, card.configuration.sip.user) == ("Kitchen", "100")
    assert card.sip_password() == "from the old file"
    assert card.configuration.conversation.providers[0] == "openai"
    assert not any(
        secret in card.on_the_card() for secret in ("from the old file", "sk-older", "a secret passphrase")
    )


def test_a_file_of_ours_that_holds_no_settings_keeps_none_of_the_older_ones_away(card):
    card.put(custom=CUSTOM, settings='[locale]\ntimezone = "Europe/Vienna"\n').start()
    assert card.configuration.sip.user == "100"


def test_where_both_say_something_ours_counts(card):
    text = '[system]\nhostname = "new"\n[wlan]\nssid = "home"\npassword = "another passphrase"\n' + SETTINGS
    outcome = card.put(custom=CUSTOM, settings=text).start()
    assert (outcome.host_name, card.configuration.sip.user) == ("new", "201")
    assert card.sip_password() == "hush-hush"
    (network,) = (card.root / "etc/NetworkManager/system-connections").iterdir()
    assert "psk=another passphrase" in network.read_text()


def test_what_gave_way_is_told_with_its_line_and_its_secrets_are_gone_too(card):
    text = '[system]\nhostname = "new"\n[wlan]\nssid = "home"\npassword = "another passphrase"\n' + SETTINGS
    outcome = card.put(custom=CUSTOM, settings=text).start()
    told = {(note.file, note.line, note.key) for note in outcome.notes if "counts for more" in note.message}
    lines = {line.partition(" ")[0]: number for number, line in enumerate(CUSTOM.splitlines(), 1)}
    assert ("custom.toml", lines["hostname"], "system.hostname") in told
    assert ("custom.toml", CUSTOM.splitlines().index('user = "100"') + 1, "sip.user") in told
    assert {key for _, _, key in told} == {"system.hostname", "wlan.ssid", "sip.user", "sip.password"}
    assert "handset.toml says otherwise" in result(card)
    assert not any(
        secret in card.on_the_card() for secret in ("from the old file", "a secret passphrase", "hush-hush")
    )


def test_of_what_gave_way_only_secrets_are_overwritten(card):
    kitchen = '[device]\nname = "kitchen"\n'
    text = f'{SETTINGS}[device]\nname = "hall"\n[agents.assistant]\ninstructions = "You know the kitchen."\n'
    card.put(custom=kitchen, settings=text).start()
    assert (card.boot / "custom.toml").read_text() == kitchen
    assert (card.boot / "handset.toml").read_text() == text.replace("hush-hush", "#" * 9)


def test_the_result_tells_what_came_from_where(card):
    card.put(custom=CUSTOM, settings='[device]\nname = "Kitchen"\n').start()
    told = result(card)
    for part in (
        "its name (handset.toml)",
        "the SIP account (custom.toml)",
        "Wi-Fi home (custom.toml)",
        "the user anna (custom.toml)",
        "the host name (custom.toml)",
    ):
        assert part in told


def test_imagers_newer_files_are_told_likewise(card):
    card.put(
        user_data=USER_DATA, network_config=NETWORK, settings='[system]\nhostname = "new"\n' + SETTINGS
    ).start()
    told = result(card)
    assert "the host name (handset.toml)" in told
    assert "Wi-Fi Home net (network-config)" in told
    assert "user-data: system.hostname: handset.toml says otherwise" in told


def test_of_one_file_nobody_is_told_its_name(card):
    card.put(settings=SETTINGS).start()
    assert "Taken over: its name, the SIP account." in result(card)


def test_a_fault_is_told_with_the_file_and_line_that_it_is_in(card):
    older = '[room]\nmode = "loud"\n[vad]\nstart_ms = 60\n'
    outcome = card.put(custom=older, settings='[device]\nname = "x"\n[sip]\ntransport = "pigeon"\n').start()
    assert [(fault.file, fault.line, fault.key) for fault in outcome.faults] == [
        ("custom.toml", 2, "room.mode"),
        ("handset.toml", 4, "sip.transport"),
    ]
    assert card.configuration.vad.start_ms == 60


def test_an_account_of_ours_keeps_nothing_of_the_older_one(card):
    outcome = card.put(custom=CUSTOM, settings='[sip]\nserver = "new.example.org"\nuser = "7"\n').start()
    assert [(fault.file, fault.key) for fault in outcome.faults] == [("handset.toml", "sip.password")]
    assert "from the old file" not in card.on_the_card()


def test_the_password_of_the_same_account_may_stand_in_the_older_file(card):
    text = '[sip]\nserver = "pbx.example.org"\nuser = "100"\ndisplay_name = "Hall"\n'
    outcome = card.put(custom=CUSTOM, settings=text).start()
    assert not outcome.faults
    assert (card.sip_password(), card.configuration.sip.display_name) == ("from the old file", "Hall")
    assert "from the old file" not in card.on_the_card()


@pytest.mark.parametrize(
    "text", ["sip = 5", "[sip]\naccounts = 5", "[sip]\naccounts = 'x'", "[sip.accounts]\nx = 5"]
)
def test_what_should_be_a_table_and_is_none_is_told_with_its_line(card, text):
    for files in ({"settings": text}, {"custom": text, "settings": SETTINGS}):
        outcome = card.put(**files).start()
        assert any(note.line == len(text.splitlines()) for note in outcome.notes)


def test_the_same_in_both_gives_way_to_nobody():
    drafts = [understand(SETTINGS).in_file(name) for name in ("custom.toml", "handset.toml")]
    assert layers.gave_way(drafts) == ([], [])


def test_lines_find_their_way_back():
    one, two = Draft({"a": 1}, lines={"a": 7}).in_file("one"), Draft({"b": 2}, lines={"b": 1}).in_file("two")
    lines = layers.Lines([one, two])
    assert lines.place(lines.numbers["a"], "") == ("one", 7)
    assert lines.place(lines.numbers["b"], "") == ("two", 1)
    assert lines.place(0, "two") == ("two", 0)
