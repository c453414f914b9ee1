"""Settings from a server: over verified HTTPS or signed, all of them or none."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.cli import main
from appliance.clock import Reading
from appliance.config.load import load
from appliance.config.rules import check_rules
from appliance.config.schema import Configuration, Provisioning
from appliance.errors import ApplianceError, ConfigurationInvalid, NotPossible
from provisioning.effects import Effects
from provisioning.fetch import doubted
from provisioning.remote import NotBelieved, source
from tests.rig.settings_server import MAC, Server, sip, take

LINE = "<sip:201@pbx.example.org>;auth_pass=hush-hush\n"


def test_the_file_of_its_own_address_is_fetched_and_in_force(server, box, trusting):
    server.files[f"/phones/{MAC}.cfg"] = LINE.encode()
    assert "in force" in take(trusting, server.url, box)
    assert sip(box) == ("pbx.example.org", "201")
    assert server.asked == [f"/phones/{MAC}.toml", f"/phones/{MAC}.cfg"]
    assert "nothing new" in take(trusting, server.url, box)


def test_a_desk_phones_own_file_will_do(server, box, trusting):
    server.files[f"/phones/cfg{MAC}.xml"] = Path("tests/vectors/provisioning/grandstream.xml").read_bytes()
    take(trusting, server.url, box)
    assert sip(box) == ("pbx.example.org", "201")


def test_a_configured_address_comes_before_what_the_network_names(server, box, trusting):
    server.files[f"/own/{MAC}"] = LINE.encode()
    own = server.url.replace("/phones/", "/own/{mac}")
    take(trusting.model_copy(update={"url": own}), "https://elsewhere.example/", box)
    assert server.asked == [f"/own/{MAC}"]


def test_with_one_fault_nothing_is_taken(server, box, trusting):
    server.files[f"/phones/{MAC}.toml"] = b'[device]\nname = "x"\n[room]\nmode = "opened"\n'
    with pytest.raises(ConfigurationInvalid, match=r"line 4: room\.mode"):
        take(trusting, server.url, box)
    assert not (box.root / "etc").exists()


def test_a_server_adds_nobody_and_names_no_other_server(server, box, trusting):
    people = "[user]\nname = 'eve'\n[wlan]\nssid = 'evil'\n"
    text = people + "[provisioning]\nurl = 'https://evil.example/'\n[device]\nname = 'x'\n"
    server.files[f"/phones/{MAC}.toml"] = text.encode()
    told = take(trusting, server.url, box)
    sound = load(environ={}, root=box.root).sound
    assert isinstance(sound, Configuration)
    assert (sound.device.name, sound.provisioning.url) == ("x", "")
    assert "in force (device)\nleft out: line 6: provisioning.url: is not a server's to set: where" in told
    assert "left out: people" in told
    assert {path.name for path in (box.root / "etc").iterdir()} == {"handset"}


@pytest.mark.parametrize(("wall", "synchronized"), [(1_800_000_000.0, False), (86_400.0, None)])
def test_a_certificate_is_not_judged_by_a_clock_that_nobody_has_set(wall, synchronized):
    reason = "certificate is not yet valid"
    assert isinstance(doubted("https://x/", reason, Reading(wall, 1.0, synchronized)), NotPossible)
    assert isinstance(doubted("https://x/", reason, Reading(1_800_000_000.0, 1.0, True)), NotBelieved)


def test_a_certificate_that_nobody_vouches_for_is_not_believed(server, box):
    server.files[f"/phones/{MAC}.toml"] = b"[device]\nname = 'x'\n"
    with pytest.raises(NotBelieved, match="certificate"):
        take(Provisioning(), server.url, box)
    assert server.asked == []


@pytest.mark.parametrize("names", [("elsewhere.example",), ("localhost", "expired")])
def test_nor_one_for_another_name_nor_an_expired_one(authority, box, trusting, names):
    server = Server(authority.certify(names[0], expired="expired" in names))
    try:
        with pytest.raises(NotBelieved, match="certificate"):
            take(trusting, server.url, box)
    finally:
        server.close()


@pytest.mark.parametrize(
    "url", ["http://pbx.example.org/", "tftp://pbx.example.org/", "ftp://x/", "file:///etc/passwd"]
)
def test_what_anybody_could_forge_is_refused(url):
    with pytest.raises(NotBelieved):
        source(Provisioning(), url, MAC, "")


def test_a_bare_host_as_telephones_have_it_is_asked_over_https():
    found = source(Provisioning(), "pbx.example.org", MAC, "")
    assert found is not None
    assert found.urls[0] == f"https://pbx.example.org/{MAC}.toml"


def test_the_first_server_is_stayed_with(server, box, trusting):
    server.files[f"/phones/{MAC}.toml"] = b"[device]\nname = 'x'\n"
    take(trusting, server.url, box)
    with pytest.raises(NotBelieved, match="evil"):
        take(trusting, "https://evil.example/", box)
    moved = source(trusting.model_copy(update={"dhcp": "always"}), "https://new.example/", MAC, "old.example")
    assert moved is not None


def test_switched_off_the_network_is_not_asked():
    assert source(Provisioning(dhcp="off"), "https://pbx.example/", MAC, "") is None


def test_without_a_network_interface_it_says_so_and_not_that_no_server_is_named(tmp_path):
    told = take(Provisioning(url="https://pbx.example.org/"), "", Effects.on(tmp_path))
    assert "no network interface" in told


def test_a_redirection_to_another_host_is_not_followed(server, box, trusting):
    server.files[f"/phones/{MAC}.toml"] = "https://evil.example/x.toml"
    with pytest.raises(NotBelieved, match=r"evil\.example"):
        take(trusting, server.url, box)
    server.files |= {f"/phones/{MAC}.toml": "/moved.toml", "/moved.toml": b"[device]\nname = 'x'\n"}
    assert "in force" in take(trusting, server.url, box)


def signed(server: Server, data: bytes, key: Ed25519PrivateKey) -> Provisioning:
    server.files[f"/phones/{MAC}.toml"] = data
    server.files[f"/phones/{MAC}.toml.sig"] = key.sign(data)
    return Provisioning(public_key=base64.b64encode(key.public_key().public_bytes_raw()).decode())


def test_what_is_signed_may_come_over_plain_http(plain, box):
    chosen = signed(plain, b"[device]\nname = 'x'\n", Ed25519PrivateKey.generate())
    assert "in force" in take(chosen, plain.url, box)


@pytest.mark.parametrize("how", ["another text", "another key", "no signature", "no signature at all"])
def test_without_the_right_signature_nothing_is_believed(plain, server, box, how, trusting):
    chosen = signed(plain, b"[device]\nname = 'x'\n", Ed25519PrivateKey.generate())
    at = f"/phones/{MAC}.toml"
    if how == "another text":
        plain.files[at] = b"[device]\nname = 'y'\n"
    elif how == "another key":
        plain.files[f"{at}.sig"] = Ed25519PrivateKey.generate().sign(b"[device]\nname = 'x'\n")
    elif how == "no signature":
        del plain.files[f"{at}.sig"]
    else:
        plain.files[f"{at}.sig"] = b"x"
    with pytest.raises(NotBelieved):
        take(chosen, plain.url, box)
    assert not (box.root / "etc").exists()


@pytest.mark.parametrize(
    ("found", "told"), [(404, "no file"), (500, "says 500"), (b"x" * 300_000, "too long")]
)
def test_a_server_that_is_no_help_is_told(server, box, trusting, found, told):
    server.files[f"/phones/{MAC}.toml"] = found
    with pytest.raises(NotPossible, match=told):
        take(trusting, server.url, box)


def test_nobody_there_is_told_and_tried_again(box, trusting):
    with pytest.raises(NotPossible, match="cannot be reached"):
        take(trusting, "https://localhost:9/", box)


def test_the_verb_says_by_its_exit_code_whether_to_try_again(server, box, authority, tmp_path, capsys):
    (box.root / "etc/handset").mkdir(parents=True)
    (box.root / "etc/handset/handset.toml").write_text(
        f'[provisioning]\nca = "{authority.file}"\nurl = "{server.url}"\n'
    )
    arguments = ["fetch", "--root", str(box.root)]
    assert main(arguments) == 1
    server.files[f"/phones/{MAC}.toml"] = b"[sip]\nserver = 5\n[[[\n"
    assert main(arguments) == 2
    assert main([*arguments, "--url", "http://localhost/"]) == 4
    server.files[f"/phones/{MAC}.toml"] = LINE.encode()
    assert main([*arguments, "--dry-run"]) == 0
    assert sip(box) == ("", "")
    assert main(arguments) == 0
    assert sip(box) == ("pbx.example.org", "201")
    out = capsys.readouterr()
    assert "hush-hush" not in out.out + out.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("url = 'http://x/'", "plain HTTP can be forged"),
        ("url = 'pbx'", "is no address"),
        ("ca = '/nowhere.pem'", "there is no file"),
        ("public_key = 'short'", "no Ed25519 key"),
    ],
)
def test_check_knows_what_cannot_be_fetched(tmp_path, text, told):
    (tmp_path / "handset.toml").write_text(f"[provisioning]\n{text}\n")
    faults = check_rules(load(tmp_path / "handset.toml", environ={})).faults
    assert any(told in fault.message and fault.hint for fault in faults)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_whatever_a_network_names_is_used_over_https_or_refused(offered):
    try:
        found = source(Provisioning(), offered, MAC, "")
    except ApplianceError:
        return
    assert found is None or all(url.startswith("https://") for url in found.urls)


def test_what_is_remembered_holds_no_secret(server, box, trusting):
    server.files[f"/phones/{MAC}.toml"] = LINE.encode()
    take(trusting, server.url, box)
    kept = json.loads((box.root / "etc/handset/fetched.json").read_text())
    assert set(kept) == {"host", "sha256", "settings"}


def test_a_network_that_cannot_be_asked_is_told_apart_from_one_that_names_no_server(box, monkeypatch, capsys):
    class Broken:
        def provisioning_server(self) -> str:
            raise NotPossible("nmcli did not end well")

    monkeypatch.setattr("provisioning.fetch.plugins.load", lambda *_: Broken)
    assert main(["fetch", "--root", str(box.root)]) == 0
    assert "could not be asked for a server: nmcli did not end well" in capsys.readouterr().out
