"""Backup, restore and factory reset: nothing half, nothing of somebody else's, nothing that anybody else can read."""

import hashlib
import io
import json
import os
import sqlite3
import stat
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance import factory_reset
from appliance.cli import main
from appliance.store.database import SCHEMA_VERSION
from appliance.store.store import Store
from provisioning import archive, restore, sealing
from provisioning.belongings import Belongings, without_secrets
from provisioning.reset import REQUEST

PASSPHRASE = "correct horse battery"


class Box:
    """An appliance's tree, with settings, a secret, a history of one call, tokens and a recording."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        self.put("etc/handset/handset.toml", '[device]\nname = "kitchen"\n')
        reference = "file:/etc/handset/secrets/sip.password-1"
        self.put(
            "etc/handset/conf.d/60-setup.toml",
            f'[sip]\nserver = "pbx"\nuser = "1"\npassword = "{reference}"\n',
        )
        self.put("etc/handset/secrets/sip.password-1", "hush-hush\n", 0o600)
        self.put("var/lib/handset/timers.json", "[]")
        self.put("var/lib/handset/tokens.json", '{"tokens": []}', 0o600)
        self.put("var/lib/handset/recordings/a.wav", "RIFF")
        self.say("hello")

    def put(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def say(self, text: str) -> None:
        store = Store(self.root / "var/lib/handset", lambda *_: None)
        store.open()
        store.flush()
        store.close()
        with closing(sqlite3.connect(self.database)) as database:
            database.execute(
                "INSERT INTO session (id, line, agent, started_at) VALUES (?, 'room', 'assistant', 1)",
                (text,),
            )
            database.commit()

    @property
    def database(self) -> Path:
        return self.root / "var/lib/handset/handset.db"

    def said(self) -> list[str]:
        with closing(sqlite3.connect(self.database)) as database:
            return [row[0] for row in database.execute("SELECT id FROM session ORDER BY id")]

    def run(self, verb: str, *more: str) -> int:
        return main([verb, *more, "--root", str(self.root)])

    def everything(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.name.endswith(("-wal", "-shm"))
        }


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """A passphrase costs as little as it may: it is not what is looked at here."""
    monkeypatch.setitem(sealing.COST, "n", 1 << 8)


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path / "box")


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    return ("--passphrase-file", str(path))


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "kitchen.handset")


def test_what_was_backed_up_comes_back_with_secrets_and_history(box, key, file):
    assert box.run("backup", file, *key) == 0
    box.put("etc/handset/handset.toml", '[device]\nname = "other"\n')
    box.put("etc/handset/conf.d/70-own.toml", "[contacts]\nx = '1'\n")
    (box.root / "etc/handset/secrets/sip.password-1").unlink()
    box.say("later")
    assert box.run("restore", file, *key) == 0
    assert 'name = "kitchen"' in box.read("etc/handset/handset.toml")
    assert box.read("etc/handset/secrets/sip.password-1") == "hush-hush\n"
    assert stat.S_IMODE((box.root / "etc/handset/secrets/sip.password-1").stat().st_mode) == 0o600
    assert box.said() == ["hello"]
    assert not (box.root / "etc/handset/conf.d/70-own.toml").exists()


def test_what_was_there_before_a_restore_is_kept_beside_it(box, key, file):
    box.run("backup", file, *key)
    box.put("etc/handset/handset.toml", '[device]\nname = "other"\n')
    box.say("later")
    box.run("restore", file, *key)
    (settings_before,) = (box.root / "etc/handset").glob("before-restore-*")
    assert 'name = "other"' in (settings_before / "handset.toml").read_text()
    (state_before,) = (box.root / "var/lib/handset").glob("before-restore-*")
    with closing(sqlite3.connect(state_before / "handset.db")) as database:
        assert database.execute("SELECT count(*) FROM session").fetchone()[0] == 2


def test_the_file_is_its_owners_alone_and_shows_nothing_without_the_passphrase(box, key, file):
    box.run("backup", file, *key)
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    data = Path(file).read_bytes()
    assert data.startswith(sealing.MAGIC)
    assert b"hush-hush" not in data
    assert b"kitchen" not in data


def test_the_history_is_copied_whole_while_somebody_writes_to_it(box, key, file):
    writer = sqlite3.connect(box.database)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO session (id, line, agent, started_at) VALUES ('in the log', 'room', 'a', 2)")
    writer.commit()
    writer.execute("INSERT INTO session (id, line, agent, started_at) VALUES ('not yet', 'room', 'a', 3)")
    try:
        assert box.run("backup", file, *key) == 0
    finally:
        writer.rollback()
        writer.close()
    other = Box(box.root.parent / "other")
    other.run("restore", file, *key)
    assert other.said() == ["hello", "in the log"]


def test_without_a_passphrase_nothing_is_written_unless_secrets_stay_out(box, file, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert box.run("backup", file) == 2
    assert "--without-secrets" in capsys.readouterr().err
    assert not Path(file).exists()
    assert list(box.root.parent.glob(".handset-backup-*")) == []


@pytest.mark.parametrize(
    ("place", "told"), [("stick/kitchen.handset", "no directory"), ("box", "name a file in it")]
)
def test_a_place_where_no_file_can_be_made_is_told_before_anything_is_done(
    box, key, tmp_path, capsys, place, told
):
    assert box.run("backup", str(tmp_path / place), *key) == 1
    assert told in capsys.readouterr().err


def test_a_backup_without_secrets_has_none_and_leaves_those_that_are_there(box, file):
    box.put(
        "etc/handset/conf.d/80-key.toml",
        '[providers.openai]\napi_key = "sk-in-the-clear" # mine\nmodel = "m"\n',
    )
    assert box.run("backup", file, "--without-secrets") == 0
    with tarfile.open(file) as tar:
        texts = b"".join(tar.extractfile(info).read() for info in tar if info.isreg())  # type: ignore[union-attr]
        names = tar.getnames()
    assert b"hush-hush" not in texts
    assert b"sk-in-the-clear" not in texts
    assert b'model = "m"' in texts
    assert not any(name.startswith("secrets/") or name.endswith("tokens.json") for name in names)
    assert box.run("restore", file) == 0
    assert box.read("etc/handset/secrets/sip.password-1") == "hush-hush\n"
    assert box.read("var/lib/handset/tokens.json") == '{"tokens": []}'


def test_recordings_are_left_where_they_are_unless_they_are_asked_for(box, key, file):
    box.run("backup", file, "--without-secrets")
    with tarfile.open(file) as tar:
        assert "state/recordings/a.wav" not in tar.getnames()
    Path(file).unlink()
    box.run("backup", file, "--without-secrets", "--recordings")
    with tarfile.open(file) as tar:
        assert "state/recordings/a.wav" in tar.getnames()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('[sip]\npassword = "env:SIP"\n', '[sip]\npassword = "env:SIP"\n'),
        ('[sip]\npassword = "x"\nuser = "1"\n', '[sip]\n# password was left out of the backup\nuser = "1"\n'),
        ('sip = {password = "x"}\n', None),
        ('[sip]\npassword = """\nx\n"""\n', None),
        ("not toml", None),
    ],
)
def test_settings_lose_their_secrets_line_by_line_or_are_left_out(text, left):
    assert without_secrets(text) == left


def altered(file: str, how: str) -> None:
    data = bytearray(Path(file).read_bytes())
    if how == "a byte":
        data[len(data) // 2] ^= 1
    elif how == "the end":
        del data[-30:]
    elif how == "everything":
        data = bytearray(os.urandom(500))
    else:
        data.clear()
    Path(file).write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a byte", "the end", "everything", "nothing left"])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_damaged_backup_is_refused_with_a_remedy_and_changes_nothing(box, key, file, capsys, how, sealed):
    box.run("backup", file, *(key if sealed else ("--without-secrets",)))
    altered(file, how)
    before = box.everything()
    assert box.run("restore", file, *key) == 2
    assert "another backup" in capsys.readouterr().err
    assert box.everything() == before


def test_a_wrong_passphrase_is_refused(box, key, file, capsys):
    box.run("backup", file, *key)
    Path(key[1]).write_text("another passphrase")
    before = box.everything()
    assert box.run("restore", file, *key) == 2
    assert "passphrase is wrong" in capsys.readouterr().err
    assert box.everything() == before


def crafted(path: Path, files: dict[str, bytes], **said: Any) -> str:
    entries = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
    }
    manifest = {
        "version": "0",
        "schema": 0,
        "made_at": 0.0,
        "device": "",
        "secrets": False,
        "files": entries,
        "format": 1,
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, data in {"manifest.json": json.dumps(manifest | said).encode(), **files}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(path)


@pytest.mark.parametrize(
    "name", ["settings/../../evil", "/etc/passwd", "elsewhere/x", "settings", "settings/./x", "state//x"]
)
def test_a_backup_that_reaches_beyond_its_places_is_refused(box, tmp_path, name):
    before = box.everything()
    assert box.run("restore", crafted(tmp_path / "evil", {name: b"x"})) == 2
    assert box.everything() == before
    assert not (tmp_path / "evil2").exists()


def test_a_link_in_a_backup_is_refused(box, tmp_path):
    path = tmp_path / "evil"
    crafted(path, {})
    with tarfile.open(path, "w:gz") as tar:
        entries = {"settings/x": {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}}
        said = {
            "version": "0",
            "schema": 0,
            "made_at": 0,
            "device": "",
            "secrets": False,
            "files": entries,
            "format": 1,
        }
        info = tarfile.TarInfo("manifest.json")
        info.size = len(json.dumps(said))
        tar.addfile(info, io.BytesIO(json.dumps(said).encode()))
        link = tarfile.TarInfo("settings/x")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert box.run("restore", str(path)) == 2


@pytest.mark.parametrize("said", [{"format": archive.FORMAT + 1}, {"schema": SCHEMA_VERSION + 1}])
def test_a_backup_of_a_newer_version_is_refused_with_a_remedy(box, tmp_path, capsys, said):
    before = box.everything()
    assert box.run("restore", crafted(tmp_path / "newer", {}, **said)) == 2
    assert "update this appliance first" in capsys.readouterr().err
    assert box.everything() == before


def test_a_damaged_history_in_a_backup_is_refused(box, tmp_path):
    assert box.run("restore", crafted(tmp_path / "b", {"state/handset.db": b"no database"}, schema=1)) == 2
    assert box.said() == ["hello"]


@pytest.mark.slow
@pytest.mark.parametrize("at", range(1, 12))
def test_a_power_cut_at_any_rename_leaves_the_old_or_the_new_and_the_next_start_says_which(
    box, key, file, monkeypatch, at
):
    box.run("backup", file, *key)
    box.put("etc/handset/handset.toml", '[device]\nname = "other"\n')
    box.say("later")
    real, count = Path.rename, 0

    def cut(self: Path, target: Path) -> Path:
        nonlocal count
        if "unpacked" not in str(self):
            count += 1
            if count == at:
                raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", cut)
        patched.setattr("shutil.rmtree", lambda *_, **__: None)
        ended = box.run("restore", file, *key)
    restore.finish(Belongings.here(box.root))
    new = 'name = "kitchen"' in box.read("etc/handset/handset.toml")
    assert box.said() == (["hello"] if new else ["hello", "later"])
    assert ended == (0 if new and count < at else 1)
    assert box.read("etc/handset/secrets/sip.password-1") == "hush-hush\n"
    assert not list(box.root.rglob(".restoring"))


@pytest.mark.parametrize(
    "moves",
    [
        {"kept": "before-restore-1", "aside": ["/ROOT/etc/shadow"], "new": []},
        {"kept": "before-restore-1", "aside": ["../../../etc/shadow"], "new": []},
        {"kept": "../../../etc/cron.d", "aside": ["timers.json"], "new": []},
        {"kept": "before-restore-led", "aside": ["timers.json"], "new": []},
        ["no", "list"],
    ],
)
def test_a_list_of_moves_that_leads_out_of_the_state_directory_moves_nothing(box, moves):
    box.put("etc/shadow", "root:x")
    (box.root / "etc/cron.d").mkdir()
    (box.root / "var/lib/handset/before-restore-led").symlink_to(box.root / "etc/cron.d")
    (box.root / "var/lib/handset/.restoring/new").mkdir(parents=True)
    listed = json.dumps(moves).replace("/ROOT", str(box.root))
    box.put("var/lib/handset/.restoring/moves.json", listed)
    assert not restore.finish(Belongings.here(box.root))
    assert box.read("etc/shadow") == "root:x"
    assert not list((box.root / "etc/cron.d").iterdir())
    assert box.read("var/lib/handset/timers.json") == "[]"


def test_what_comes_in_is_not_fetched_through_a_link_of_the_daemons(box):
    box.put("etc/shadow", "root:x")
    (box.root / "var/lib/handset/.restoring").mkdir()
    (box.root / "var/lib/handset/.restoring/new").symlink_to(box.root / "etc")
    moves = {"kept": "before-restore-1", "aside": [], "new": ["shadow"]}
    box.put("var/lib/handset/.restoring/moves.json", json.dumps(moves))
    restore.finish(Belongings.here(box.root))
    assert box.read("etc/shadow") == "root:x"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make files of another user")
@pytest.mark.parametrize("whose", ["", "moves.json"])
def test_root_finishes_no_restore_that_the_daemon_wrote_down(box, whose):
    (box.root / "var/lib/handset/.restoring/new").mkdir(parents=True)
    moves = {"kept": "before-restore-1", "aside": ["timers.json"], "new": []}
    box.put("var/lib/handset/.restoring/moves.json", json.dumps(moves))
    os.chown(box.root / "var/lib/handset/.restoring" / whose, 4711, 4711)
    assert not restore.finish(Belongings.here(box.root))
    assert box.read("var/lib/handset/timers.json") == "[]"


def test_a_factory_reset_takes_what_somebody_gave_and_leaves_what_the_device_is(box, key, file):
    box.put("etc/NetworkManager/system-connections/handset-1.nmconnection", "psk=x", 0o600)
    box.put("etc/ssh/keys/authorized_keys.root", "ssh-ed25519 AAAA")
    box.put("etc/ssh/keys/ssh_host_ed25519_key", "host key")
    box.put("etc/credstore/handset.sip", "pw", 0o600)
    box.put("etc/credstore/other", "not ours", 0o600)
    box.put("etc/hostname", "kitchen")
    box.run("backup", file, *key)
    box.run("restore", file, *key)
    assert box.run("factory-reset", "--yes") == 0
    assert set(box.everything()) == {
        "etc/ssh/keys/ssh_host_ed25519_key",
        "etc/credstore/other",
        "etc/hostname",
    }


def test_a_link_that_the_daemon_made_takes_nothing_of_the_system_along(box):
    box.put("etc/ssh/keys/ssh_host_ed25519_key", "host key")
    (box.root / "var/lib/handset/before-restore-x").symlink_to(box.root / "etc/ssh")
    (box.root / "var/lib/handset/recordings/b").symlink_to(box.root / "etc/ssh")
    (box.root / "var/lib/handset/c.json").symlink_to(box.root / "etc/ssh/keys/ssh_host_ed25519_key")
    box.run("factory-reset", "--yes")
    assert list(box.everything()) == ["etc/ssh/keys/ssh_host_ed25519_key"]


def test_a_link_that_the_daemon_made_brings_nothing_of_the_system_into_a_backup(box, file):
    box.put("etc/shadow", "root:x")
    (box.root / "var/lib/handset/c.json").symlink_to(box.root / "etc/shadow")
    (box.root / "var/lib/handset/tokens.json").unlink()
    (box.root / "var/lib/handset/tokens.json").symlink_to(box.root / "etc/shadow")
    box.run("backup", file, "--without-secrets")
    with tarfile.open(file) as tar:
        assert "state/timers.json" in tar.getnames()
        assert not {"state/c.json", "state/tokens.json"} & set(tar.getnames())


def test_a_pin_without_quotes_is_a_secret_too():
    assert "4711" not in (without_secrets('[agents.a]\npin = 4711\nvoice = "amy"\n') or "4711")


def test_the_network_may_be_kept(box):
    box.put("etc/NetworkManager/system-connections/handset-1.nmconnection", "psk=x", 0o600)
    box.run("factory-reset", "--yes", "--keep-network")
    assert list(box.everything()) == ["etc/NetworkManager/system-connections/handset-1.nmconnection"]


def test_nobody_there_to_confirm_is_no_confirmation(box, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    before = box.everything()
    assert box.run("factory-reset") == 2
    assert box.everything() == before


async def test_the_daemon_asks_for_it_with_a_file_that_the_reset_takes_away_last(box):
    await factory_reset.ask(box.root / "var/lib/handset")
    assert (box.root / "var/lib/handset" / REQUEST).exists()
    assert factory_reset.REQUEST == REQUEST
    box.run("factory-reset", "--yes")
    assert not (box.root / "var/lib/handset" / REQUEST).exists()


@given(st.binary(max_size=3000), st.integers(0, 5000))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_sealed_opens_as_it_was_and_not_when_a_byte_is_another(data, at):
    sealed, opened = io.BytesIO(), io.BytesIO()
    sealing.seal(io.BytesIO(data), sealed, PASSPHRASE)
    sealed.seek(0)
    sealing.unseal(sealed, opened, PASSPHRASE)
    assert opened.getvalue() == data
    broken = bytearray(sealed.getvalue())
    broken[len(sealing.MAGIC) + at % (len(broken) - len(sealing.MAGIC))] ^= 0x40
    with pytest.raises(sealing.CannotOpen):
        sealing.unseal(io.BytesIO(bytes(broken)), io.BytesIO(), PASSPHRASE)
