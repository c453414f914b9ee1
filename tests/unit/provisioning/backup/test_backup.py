"""A backup is its owner's alone, whole, and without secrets where none are wanted."""

import io
import sqlite3
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provisioning import sealing
from provisioning.belongings import without_secrets
from tests.unit.provisioning.backup.box import PASSPHRASE, Box


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
