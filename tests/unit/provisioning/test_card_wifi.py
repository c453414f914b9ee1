"""A network on the card: what was taken over before stays, and a mistake opens nothing."""

import pytest

from provisioning.boot_settings import parse_settings
from tests.rig.boot_card import Card

WIFI = '[wlan]\nssid = "home"\npassword = "a secret passphrase"\ncountry = "AT"\n'


@pytest.fixture
def card(tmp_path):
    return Card(tmp_path)


def networks(card: Card) -> list[str]:
    return [path.read_text() for path in (card.root / "etc/NetworkManager/system-connections").glob("*")]


@pytest.mark.parametrize("name", ["settings", "custom"])
def test_a_password_that_is_blanked_out_by_now_stays_when_the_rest_is_edited(card, name):
    card.put(**{name: WIFI}).start()
    file = card.boot / {"settings": "handset.toml", "custom": "custom.toml"}[name]
    edited = file.read_text() + '[system]\nhostname = "hall"\n'
    assert "secret" not in edited
    outcome = card.put(**{name: edited}).start()
    assert (outcome.host_name, outcome.faults) == ("hall", [])
    (network,) = networks(card)
    assert "psk=a secret passphrase\n" in network


@pytest.mark.parametrize(
    "line",
    ["pasword = '12345678'", "password = 12345678", "password = geheim123", 'password = "\nhidden = maybe'],
)
def test_a_password_with_a_mistake_makes_no_open_network(card, line):
    outcome = card.put(settings=f"[wlan]\nssid = 'home'\n{line}\n[device]\nname = 'hall'\n").start()
    assert networks(card) == []
    assert outcome.faults[0].line == 3
    assert any("not joined" in note.message for note in outcome.notes)
    assert card.configuration.device.name == "hall"


def test_an_open_network_is_one_that_has_no_password_and_no_fault():
    (network,) = parse_settings("[wlan]\nssid = 'guests'\n[room]\nmode = oops\n").system.networks
    assert (network.ssid, network.password) == ("guests", "")
