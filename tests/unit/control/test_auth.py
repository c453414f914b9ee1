import errno
import fcntl
import json
import os
import stat
import time
from contextlib import suppress

import pytest

from appliance.control.admission import (
    admit,
    chosen_subprotocol,
    is_loopback,
    is_trusted,
    offered_token,
    origin_allowed,
)
from appliance.control.auth import Tokens, _refused
from appliance.control.protocol import Close, Scope
from appliance.errors import Forbidden, NotPossible, UnknownName


def test_a_token_is_found_by_its_secret_and_stored_without_it(tmp_path):
    tokens = Tokens(tmp_path)
    secret = tokens.pair(Scope.TALK, "kitchen")
    found = tokens.find(secret)
    assert found is not None
    assert (found.name, found.scope) == ("kitchen", "talk")
    assert tokens.find(secret[:-1]) is None
    assert tokens.find("") is None
    assert secret not in (tmp_path / "tokens.json").read_text()
    assert stat.S_IMODE((tmp_path / "tokens.json").stat().st_mode) == 0o600


def test_the_use_of_a_token_is_noted(tmp_path):
    tokens = Tokens(tmp_path)
    secret = tokens.pair(Scope.TALK, "kitchen")
    assert tokens.list()[0].last_used == 0
    tokens.note_use(tokens.list()[0])
    assert tokens.list()[0].last_used > 0
    assert tokens.find(secret) is not None


def test_finding_a_token_waits_for_no_other_program(tmp_path):
    tokens = Tokens(tmp_path)
    secret = tokens.pair(Scope.TALK, "kitchen")
    with (tmp_path / "tokens.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        assert tokens.find(secret) is not None
        assert time.monotonic() - began < 0.5


def test_tokens_made_elsewhere_count_at_once(tmp_path):
    daemon, command = Tokens(tmp_path), Tokens(tmp_path)
    assert not daemon.paired()
    first, second = command.pair(Scope.TALK, "a"), command.pair(Scope.ADMIN, "b")
    assert daemon.paired()
    assert daemon.find(first) is not None
    command.revoke("a")
    assert daemon.find(first) is None
    assert daemon.find(second) is not None


def test_a_token_is_revoked_by_id_when_its_name_is_shared(tmp_path):
    tokens = Tokens(tmp_path)
    tokens.pair(Scope.TALK, "same")
    tokens.pair(Scope.TALK, "same")
    with pytest.raises(NotPossible):
        tokens.revoke("same")
    tokens.revoke(tokens.list()[0].id)
    assert len(tokens.list()) == 1
    with pytest.raises(UnknownName):
        tokens.revoke("other")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"tokens": [{"digest": 5}]}', '{"tokens": [5]}', "\x00"])
def test_a_damaged_file_lets_nobody_in_and_is_not_overwritten(tmp_path, content):
    (tmp_path / "tokens.json").write_text(content)
    tokens = Tokens(tmp_path)
    assert tokens.damaged
    assert tokens.paired()
    assert admit(None, tokens, trusted=True).scope is None
    with pytest.raises(NotPossible):
        tokens.pair(Scope.ADMIN, "x")
    assert (tmp_path / "tokens.json").read_text() == content


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(Forbidden):
        Tokens(tmp_path).pair(Scope.ADMIN, "x")


def test_on_a_full_disk_the_remedy_is_room_and_not_rights(tmp_path):
    error = _refused(tmp_path / "tokens.json", OSError(errno.ENOSPC, "No space left on device"))
    assert "room" in error.hint
    assert "sudo" in _refused(tmp_path / "tokens.json", OSError(errno.EACCES, "Permission denied")).hint


def test_a_directory_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Forbidden):
        Tokens(tmp_path / "file").pair(Scope.ADMIN, "x")


@pytest.mark.parametrize("name", ["tokens.lock", "tokens.new"])
def test_a_link_in_the_daemons_directory_leads_nobody_who_pairs_to_other_files(tmp_path, name):
    outside = tmp_path / "shadow"
    outside.write_text("root:x")
    outside.chmod(0o640)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / name).symlink_to(outside)
    if os.geteuid() == 0:
        os.chown(tmp_path / "state", 4711, 4711)
    with suppress(Forbidden):
        Tokens(tmp_path / "state").pair(Scope.TALK, "kitchen")
    assert outside.read_text() == "root:x"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o640
    assert outside.stat().st_uid == os.geteuid()


def test_without_paired_clients_this_machine_needs_no_token_but_others_do(tmp_path):
    tokens = Tokens(tmp_path)
    assert admit(None, tokens, trusted=True).scope is Scope.ADMIN
    assert admit(None, tokens, trusted=False).code is Close.UNAUTHORIZED
    assert admit("wrong", tokens, trusted=True).guessed


def test_a_token_of_a_scope_that_is_not_known_is_closed_with_4403(tmp_path):
    tokens = Tokens(tmp_path)
    secret = tokens.pair(Scope.TALK, "new")
    path = tmp_path / "tokens.json"
    body = json.loads(path.read_text())
    body["tokens"][0]["scope"] = "firmware"
    path.write_text(json.dumps(body))
    verdict = admit(secret, tokens, trusted=True)
    assert (verdict.scope, verdict.code) == (None, Close.SCOPE)


@pytest.mark.parametrize(
    ("authorization", "subprotocols", "token"),
    [
        (["Bearer abc"], [], "abc"),
        (["bearer  abc "], [], "abc"),
        (["Basic abc"], [], None),
        ([], ["handset.v1", "bearer.abc"], "abc"),
        (["Bearer one"], ["bearer.two"], "one"),
        (["Bearer"], [], None),
        ([], [], None),
    ],
)
def test_a_token_comes_as_a_header_or_a_subprotocol(authorization, subprotocols, token):
    assert offered_token(authorization, subprotocols) == token


def test_one_of_the_offered_subprotocols_is_taken():
    assert chosen_subprotocol(["bearer.x", "handset.v1"]) == "handset.v1"
    assert chosen_subprotocol(["bearer.x"]) == "bearer.x"
    assert chosen_subprotocol(["chat"]) is None


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("::ffff:127.0.0.1", True), ("localhost", True),
        ("192.168.1.5", False), ("0.0.0.0", False), ("::", False), ("evil.example", False), ("", False),
        ("127.0.0.1.evil.example", False), ("fe80::1%eth0", False),
    ],
)  # fmt: skip
def test_loopback_is_told_from_the_rest(address, answer):
    assert is_loopback(address) is answer


@pytest.mark.parametrize(
    ("peer", "hosts", "answer"),
    [
        ("127.0.0.1", ["127.0.0.1:8765"], True),
        ("::1", ["[::1]:8765"], True),
        ("127.0.0.1", ["localhost:8765"], True),
        ("127.0.0.1", [], True),
        ("127.0.0.1", ["evil.example:8765"], False),
        ("127.0.0.1", ["localhost", "evil.example"], False),
        ("127.0.0.1", ["[::1"], False),
        ("192.168.1.5", ["127.0.0.1"], False),
    ],
)
def test_only_a_caller_on_this_machine_by_a_loopback_name_is_trusted(peer, hosts, answer):
    assert is_trusted(peer, hosts) is answer


@pytest.mark.parametrize(
    ("origin", "host", "tls", "answer"),
    [
        ("http://127.0.0.1:8765", "127.0.0.1:8765", False, True),
        ("http://kiosk.local", "kiosk.local:80", False, True),
        ("https://kiosk.local:8765", "kiosk.local:8765", True, True),
        ("http://kiosk.local:8765", "kiosk.local:8765", True, False),
        ("http://evil.example", "127.0.0.1:8765", False, False),
        ("http://127.0.0.1:9999", "127.0.0.1:8765", False, False),
        ("null", "127.0.0.1:8765", False, False),
        ("https://Panel.example/", "x", False, True),
        ("http://[::1", "[::1", False, False),
    ],
)
def test_only_the_own_and_listed_origins_are_allowed(origin, host, tls, answer):
    assert origin_allowed([origin], [host], ["https://panel.example"], tls=tls) is answer


def test_two_origins_are_never_allowed():
    assert not origin_allowed(["http://a", "http://b"], ["a"], ["*"], tls=False)
    assert origin_allowed([], ["a"], [], tls=False)


def test_a_damaged_file_lets_nobody_in_and_says_so(tmp_path):
    (tmp_path / "tokens.json").write_text("{")
    for token in (None, "T"):
        verdict = admit(token, Tokens(tmp_path), trusted=True)
        assert verdict.scope is None
        assert "damaged" in verdict.reason


def test_a_state_directory_that_is_none_locks_nobody_out(tmp_path):
    (tmp_path / "file").write_text("")
    assert admit(None, Tokens(tmp_path / "file"), trusted=True).scope is Scope.ADMIN
