"""`handset setup`: what is taken is checked as `handset check` does, told, and written at once or not at all."""

import io
import json
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from appliance.cli import main
from appliance.config.files import CHECKOUT
from appliance.config.load import load
from appliance.config.schema import Configuration
from appliance.config.secrets import reveal
from appliance.errors import ConfigurationInvalid, NotPossible
from provisioning import settings
from provisioning.actions import Run, WriteFile
from provisioning.draft import Draft
from provisioning.effects import CannotWrite, Effects
from provisioning.settings import Place
from provisioning.setup import put_in_force, to_be_done

LINE = '"Kit" <sip:201:hush-hush@pbx.example.org;transport=tls>;regint=600\n'


def run(root: Path, text: str, *more: str) -> int:
    source = root / "given.txt"
    source.write_text(text)
    return main(["setup", "--from", str(source), "--root", str(root), *more])


def in_force(root: Path) -> Configuration:
    sound = load(environ={}, root=root).sound
    assert sound
    return sound


def written(root: Path) -> str:
    return (root / "etc/handset/conf.d/60-setup.toml").read_text()


def secrets_of(root: Path) -> list[Path]:
    return sorted((root / "etc/handset/secrets").iterdir())


def test_an_account_line_is_in_force_with_its_password_in_a_file_of_its_own(tmp_path, capsys):
    assert run(tmp_path, LINE) == 0
    out = capsys.readouterr()
    sip = in_force(tmp_path).sip
    assert (sip.server, sip.user, sip.transport, sip.expiry) == ("pbx.example.org", "201", "tls", 600)
    (secret,) = secrets_of(tmp_path)
    assert secret.read_text() == "hush-hush\n"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert "hush-hush" not in written(tmp_path) + out.out + out.err
    assert "sip.user = 201" in out.out


def test_what_puts_it_in_force_is_told_as_the_machine_does_it(tmp_path, capsys):
    assert "start the daemon again: make run; then" in to_be_done(Path("/"), service=False)
    assert "start the daemon again: systemctl restart handset; then" in to_be_done(Path("/"), service=True)
    run(tmp_path, LINE)
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == f"in force at the next start of the machine that {tmp_path} is for; there: handset doctor"


@pytest.mark.parametrize("password", ["", "password = ''\n"])
def test_an_account_without_a_password_is_told_and_nothing_is_written(tmp_path, capsys, password):
    assert run(tmp_path, f"[sip]\nserver = 'pbx.example.org'\nuser = '201'\n{password}") == 2
    line = 4 if password else 2
    assert f"line {line}: sip.password: the account has no password (give it" in capsys.readouterr().err
    assert not (tmp_path / "etc").exists()


def test_what_keeps_the_place_of_a_secret_is_a_fault_with_its_line_and_nothing_is_written(tmp_path, capsys):
    assert run(tmp_path, "[providers.openai]\napi_key = 'sk-...'\n[contacts]\nbob = '12'") == 2
    assert "line 2: providers.openai.api_key: this stands for a secret" in capsys.readouterr().err
    assert run(tmp_path, LINE.replace("hush-hush", "changeme")) == 2
    assert "sip.password: this stands for a secret" in capsys.readouterr().err
    assert not (tmp_path / "etc").exists()


def test_what_was_set_before_stays_and_an_account_that_is_given_anew_keeps_nothing_of_the_old_one(tmp_path):
    run(tmp_path, "[device]\nname = 'kitchen'\n[contacts]\nbob = '12'")
    run(tmp_path, LINE)
    run(tmp_path, "<sip:305:other@192.0.2.4>\n")
    configuration = in_force(tmp_path)
    assert configuration.device.name == "kitchen"
    assert configuration.contacts == {"bob": "12"}
    assert (configuration.sip.user, configuration.sip.transport) == ("305", "udp")
    assert [path.read_text() for path in secrets_of(tmp_path)] == ["other\n"]


def test_a_fault_is_told_with_its_line_and_keeps_everything_as_it_was(tmp_path, capsys):
    run(tmp_path, LINE)
    before = (written(tmp_path), secrets_of(tmp_path))
    text = '[device]\nname = "k"\n[sip]\nserver = "x"\nuser = "1"\npassword = "hush-hush"\ntransport = "pigeon"\n'
    assert run(tmp_path, text) == 2
    assert (written(tmp_path), secrets_of(tmp_path)) == before
    err = capsys.readouterr().err
    assert "line 7: sip.transport" in err
    assert "hush-hush" not in err


def test_a_dry_run_tells_and_writes_nothing(tmp_path, capsys):
    assert run(tmp_path, LINE, "--dry-run", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert report["taken"]["sip.password"] == "********"
    assert not (tmp_path / "etc").exists()


def test_settings_come_over_a_pipe_too(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(LINE.encode())))
    assert main(["setup", "--from", "-", "--root", str(tmp_path)]) == 0
    assert in_force(tmp_path).sip.user == "201"


def test_without_keyboard_and_file_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(["setup", "--root", str(tmp_path)]) == 2
    assert "--from FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "is empty"), ("[wlan]\n", "nothing in it"), ("[device]\nnaem = 'x'", "did you mean 'name'")],
)
def test_what_sets_nothing_is_no_success(tmp_path, capsys, text, told):
    assert run(tmp_path, text) == 2
    assert told in capsys.readouterr().err


def test_a_key_of_a_provider_makes_it_answer_and_a_choice_of_before_stays(tmp_path):
    key = "sk-" + "a" * 40
    run(tmp_path, f"[providers.openai]\napi_key = '{key}'")
    assert in_force(tmp_path).conversation.providers == ("openai", "offline")
    run(tmp_path, "[conversation]\nproviders = ['offline']")
    run(tmp_path, f"[providers.openai]\napi_key = '{key}'")
    assert in_force(tmp_path).conversation.providers == ("offline",)


def test_a_malformed_key_is_refused_as_check_does_and_not_shown(tmp_path, capsys):
    assert (
        run(
            tmp_path,
            "[conversation]\nproviders=['openai']\n[providers.openai]\napi_key = 'AIzaNoSuchKeyOfOpenAi'",
        )
        == 2
    )
    err = capsys.readouterr().err
    assert "looks like one of Google" in err
    assert "AIza" not in err


def test_wifi_becomes_a_keyfile_that_root_alone_reads(tmp_path):
    assert run(tmp_path, "[wlan]\nssid = 'Café; 2'\npassword = ' lead\\\\ing'\ncountry = 'de'\n") == 0
    (path,) = (tmp_path / "etc/NetworkManager/system-connections").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "ssid=67;97;102;195;169;59;32;50;" in text
    assert "psk=\\slead\\\\\\\\ing\n" in text or "psk=\\slead\\\\ing\n" in text
    assert "DE" in (tmp_path / "etc/handset/wifi-country").read_text()


def test_a_write_that_fails_half_way_leaves_the_settings_before_it_in_force(tmp_path):
    run(tmp_path, LINE)
    before = written(tmp_path)
    effects, where = Effects(tmp_path), Place()
    actions = settings.plan({"sip": {"password": "new", "user": "9"}}, where, "salt")
    (tmp_path / "etc/handset/conf.d/.60-setup.toml.new").mkdir()
    with pytest.raises(CannotWrite):
        effects.carry_out(actions)
    assert written(tmp_path) == before
    old = next(path for path in secrets_of(tmp_path) if path.name in before)
    assert old.read_text() == "hush-hush\n"


@pytest.mark.parametrize("name", ["a/../../../../cron.d/x", "..", "two\\nlines", "x" * 300])
def test_no_name_leads_a_secret_out_of_its_directory(tmp_path, name):
    (tmp_path / "etc/cron.d").mkdir(parents=True)
    assert run(tmp_path, f'[agents."{name}"]\npin = "123456"\n') == 0
    (secret,) = secrets_of(tmp_path)
    assert secret.read_text() == "123456\n"
    assert "\n" not in secret.name
    assert list(tmp_path.rglob("*.pin-*")) == [secret]


def test_a_secret_that_is_a_reference_stays_one():
    actions = settings.plan({"sip": {"password": "credential:sip"}}, Place(), "salt")
    (file,) = (action for action in actions if isinstance(action, WriteFile))
    assert 'password = "credential:sip"' in file.content


def test_a_checkout_keeps_its_set_up_beside_its_state():
    assert str(Place.here().settings) == str(CHECKOUT / ".state/conf.d/60-setup.toml")
    assert Place.here(Path("/mnt")) == Place()


def test_the_password_that_was_written_is_the_one_that_is_used(tmp_path):
    draft = Draft()
    draft.put("sip.password", 'with "quotes" and ümlauts')
    effects, where = Effects(tmp_path), Place(Place().settings, Place().secrets, "")
    effects.carry_out(settings.plan(draft.tree, where, "salt"))
    (path,) = secrets_of(tmp_path)
    assert reveal(SecretStr(f"file:{path}")) == 'with "quotes" and ümlauts'


def test_a_board_with_a_tpm_keeps_secrets_as_credentials_that_only_it_opens(tmp_path):
    for path in ("sys/class/tpm/tpm0", "usr/lib/systemd/system/handset.service.d/50-newer.conf"):
        (tmp_path / path).mkdir(parents=True)
    ran: list[Run] = []

    def program(run: Run) -> None:
        """As systemd-creds: what is sealed is in the file that is named last."""
        ran.append(run)
        if run.command[0] == "systemd-creds":
            (tmp_path / run.command[-1].removeprefix("/")).write_text("sealed")

    effects, where = Effects(tmp_path, program), Place.here(tmp_path)
    for password in ("first", "second"):
        draft = Draft()
        draft.tree = {"sip": {"server": "pbx", "user": "1", "password": password}}
        put_in_force(draft.tree, draft, where, effects)
    assert [run.stdin for run in ran] == ["first", "second"]
    assert not any("first" in " ".join(run.command) for run in ran)
    (sealed,) = (tmp_path / "etc/credstore.encrypted").iterdir()
    assert f'password = "credential:{sealed.name.removeprefix("handset.")}"' in written(tmp_path)
    assert not (tmp_path / "etc/handset/secrets").exists() or secrets_of(tmp_path) == []


def test_what_cannot_be_sealed_changes_nothing(tmp_path):
    def broken(run: Run) -> None:
        raise NotPossible(f"{run.command[0]} failed")

    where = Place(sealed=True)
    with pytest.raises(NotPossible):
        Effects(tmp_path, broken).carry_out(settings.plan({"sip": {"password": "x"}}, where, "salt"))
    assert not (tmp_path / "etc/handset/conf.d").exists()


def test_a_credential_is_found_outside_the_service_by_whoever_may_read_it(tmp_path, monkeypatch):
    monkeypatch.setattr("appliance.config.secrets.CREDENTIAL_STORE", str(tmp_path))
    (tmp_path / "handset.sip").write_text("wonderland\n")
    assert reveal(SecretStr("credential:sip"), {}) == "wonderland"
    with pytest.raises(ConfigurationInvalid):
        reveal(SecretStr("credential:../handset.sip"), {})
