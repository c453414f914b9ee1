"""A restore brings all back or changes nothing, and keeps what was there before it."""

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

from appliance.store.database import SCHEMA_VERSION
from provisioning import archive, restore
from provisioning.belongings import Belongings


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


def entry(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def manifest_of(entries: dict[str, Any], **said: Any) -> bytes:
    manifest = {"version": "0", "schema": 0, "made_at": 0.0, "device": "", "secrets": False, "format": 1}
    return json.dumps(manifest | {"files": entries} | said).encode()


def put(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def crafted(path: Path, files: dict[str, bytes], **said: Any) -> str:
    with tarfile.open(path, "w:gz") as tar:
        put(tar, "manifest.json", manifest_of({name: entry(data) for name, data in files.items()}, **said))
        for name, data in files.items():
            put(tar, name, data)
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
    with tarfile.open(path, "w:gz") as tar:
        put(tar, "manifest.json", manifest_of({"settings/x": entry(b"")}))
        link = tarfile.TarInfo("settings/x")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    before = box.everything()
    assert box.run("restore", str(path)) == 2
    assert box.everything() == before


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
