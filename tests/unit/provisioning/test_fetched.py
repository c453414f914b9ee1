"""What settings from a server may not change: the box's own guards and secrets stay as they are."""

from pathlib import Path

import pytest

from appliance.config.load import load
from appliance.config.schema import Configuration
from appliance.errors import ConfigurationInvalid
from provisioning.draft import leaves
from provisioning.fetched import GUARDS, allowed
from provisioning.sources import understand
from tests.rig.settings_server import MAC, take

ACCOUNT = "server = 'pbx.example.org'\nuser = '201'\npassword = 'hush-hush'\n"


def left_of(text: str) -> tuple[dict[str, object], list[str]]:
    """The keys that stay, and those that do not."""
    draft, refused = allowed(understand(text))
    return {".".join(path): value for path, value in leaves(draft.tree)}, [note.key for note in refused]


def test_the_mute_switch_stays_and_what_it_may_set_is_in_force(server, box, trusting):
    own = box.root / "etc/handset/handset.toml"
    own.parent.mkdir(parents=True)
    own.write_text("[gpio]\nmute = 22\n")
    server.files[f"/phones/{MAC}.toml"] = b"[gpio]\nmute = 0\n[device]\nname = 'x'\n"
    told = take(trusting, server.url, box)
    assert (
        "in force (device)\nleft out: line 2: gpio.mute: is not a server's to set: how the box is wired"
        in told
    )
    sound = load(environ={}, root=box.root).sound
    assert isinstance(sound, Configuration)
    assert (sound.gpio.mute, sound.device.name) == (22, "x")


def test_a_file_of_nothing_else_is_a_fault_that_says_why(server, box, trusting):
    server.files[f"/phones/{MAC}.toml"] = b"[gpio]\nmute = 0\n"
    with pytest.raises(ConfigurationInvalid, match=r"nothing in it to be set\nleft out: line 2: gpio\.mute"):
        take(trusting, server.url, box)
    assert not (box.root / "etc").exists()


@pytest.mark.parametrize("guard", GUARDS)
def test_each_guard_is_left_as_it_is_whatever_stands_under_it_and_is_in_the_documents(guard):
    section, _, key = guard.partition(".")
    text = f"[{section}]\n{key or 'anything'} = false\n[contacts]\nbob = '12'\n"
    assert left_of(text) == ({"contacts.bob": "12"}, [f"{section}.{key or 'anything'}"])
    assert left_of(f"{section} = 5")[0] == {} or key
    assert f"| `{guard}` |" in Path("docs/security.md").read_text()


@pytest.mark.parametrize(
    "reference", ["file:/var/lib/handset/tokens.json", "credential:sip", "env:OPENAI_API_KEY"]
)
def test_a_secret_of_the_box_goes_nowhere_by_being_named(reference):
    text = f"[providers.openai]\nbase_url = 'https://elsewhere.example/v1'\napi_key = '{reference}'\n"
    assert left_of(text) == ({}, ["providers.openai.base_url", "providers.openai.api_key"])


def test_nor_by_another_address_for_it_which_needs_a_key_of_its_own():
    address = "base_url = 'https://elsewhere.example/v1'\n"
    assert left_of(f"[providers.openai]\nvoice = 'x'\n{address}")[0] == {"providers.openai.voice": "x"}
    assert left_of(f"[providers.openai]\nllm_{address}")[0] == {}
    assert left_of(f"[providers.openai]\n{address}api_key = '{'k' * 30}'\n")[1] == []


def test_an_account_is_given_whole_or_not_bent():
    assert left_of(f"[sip]\n{ACCOUNT}outbound_proxy = ['sip:proxy']\n")[1] == []
    bent = "[sip]\noutbound_proxy = ['sip:elsewhere']\nsrtp = 'off'\ndo_not_disturb = true\n"
    assert left_of(bent) == ({"sip.do_not_disturb": True}, ["sip.outbound_proxy", "sip.srtp"])
    assert left_of("[sip.accounts.door]\ntransport = 'udp'\n") == ({}, ["sip.accounts.door.transport"])


@pytest.mark.parametrize("password", ["", "password = ''\n", "password = '########'\n"])
def test_nor_does_an_account_take_the_password_that_the_box_has(password):
    given = f"server = 'elsewhere.example'\nuser = '201'\n{password}do_not_disturb = true\n"
    kept, refused = left_of(f"[sip]\n{given}")
    assert set(kept) == {"sip.do_not_disturb"}
    assert refused[:2] == ["sip.server", "sip.user"]
    assert left_of(f"[sip]\n{ACCOUNT}turn = 'elsewhere.example'\n")[1] == ["sip.turn"]
    assert left_of(f"[sip]\n{ACCOUNT}turn = 'relay.example'\nturn_password = 'hush'\n")[1] == []


def test_the_account_that_was_set_up_is_not_sent_by_way_of_another_host(server, box, trusting):
    server.files[f"/phones/{MAC}.toml"] = f"[sip]\n{ACCOUNT}".encode()
    take(trusting, server.url, box)
    bent = ACCOUNT.replace("password = 'hush-hush'", "outbound_proxy = ['elsewhere.example']")
    server.files[f"/phones/{MAC}.toml"] = f"[sip]\n{bent}[device]\nname = 'x'\n".encode()
    assert "left out: line 4: sip.outbound_proxy: is not a server's to set: the box's own password" in take(
        trusting, server.url, box
    )
    sound = load(environ={}, root=box.root).sound
    assert isinstance(sound, Configuration)
    assert (sound.sip.outbound_proxy, sound.sip.server, sound.device.name) == ((), "pbx.example.org", "x")


def test_a_word_on_an_account_leaves_the_rest_of_it_there(server, box, trusting):
    server.files[f"/phones/{MAC}.toml"] = f"[sip.accounts.door]\n{ACCOUNT}".encode()
    take(trusting, server.url, box)
    server.files[f"/phones/{MAC}.toml"] = b"[sip.accounts.door]\ndisplay_name = 'Door'\n"
    take(trusting, server.url, box)
    sound = load(environ={}, root=box.root).sound
    assert isinstance(sound, Configuration)
    door = sound.sip.accounts["door"]
    assert (door.server, door.user, door.display_name) == ("pbx.example.org", "201", "Door")


def test_a_pin_may_be_given_and_changed_and_not_taken_away():
    assert left_of("[agents.a]\npin = '4711'\n")[1] == []
    assert left_of("[agents.a]\npin = ''\ngreeting = 'hi'\n") == (
        {"agents.a.greeting": "hi"},
        ["agents.a.pin"],
    )


def test_a_desk_phones_file_loses_nothing():
    for name in ("yealink.cfg", "grandstream.xml"):
        text = Path(f"tests/vectors/provisioning/{name}").read_text()
        assert left_of(text)[1] == []
