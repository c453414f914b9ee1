"""The history is kept, and its faults never stop a conversation."""

import contextlib
import errno
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from appliance.errors import StoreUnavailable, UnknownName
from appliance.store import database
from appliance.store.store import CallRecord, Store


class Warnings(list[str]):
    def __call__(self, code: str, message: str, hint: str) -> None:
        assert message
        self.append(code)


@pytest.fixture
def warnings() -> Warnings:
    return Warnings()


@pytest.fixture
def store(tmp_path: Path, warnings: Warnings) -> Iterator[Store]:
    store = Store(tmp_path, warnings)
    store.open()
    yield store
    store.close()


def converse(store: Store, session: str = "s1", at: float = 100.0) -> None:
    store.begin_session(session, "room", "assistant", at)
    store.add_turn(session, 1, "user", "what time is it", None, at + 1)
    store.add_turn(session, 1, "assistant", "It is ten o'clock.", "It is ten", at + 2)
    store.end_session(session, "idle_timeout", at + 3)


def test_a_session_is_read_back_with_its_turns_in_order(store: Store) -> None:
    converse(store)
    kept = store.get_session("s1")
    assert [turn["role"] for turn in kept["turns"]] == ["user", "assistant"]
    assert kept["turns"][1]["heard"] == "It is ten"
    assert kept["reason"] == "idle_timeout"


def test_sessions_are_listed_newest_first_and_paged(store: Store) -> None:
    for number in range(3):
        converse(store, f"s{number}", 100.0 * (number + 1))
    assert [row["id"] for row in store.list_sessions(2)] == ["s2", "s1"]
    assert [row["id"] for row in store.list_sessions(2, before=200.0)] == ["s0"]
    assert store.list_sessions(1)[0]["turns"] == 2


def test_calls_are_kept(store: Store) -> None:
    store.add_call(CallRecord("c1", "in", "sip:100@pbx", 10.0, None, 12.0, 486, "busy"))
    assert store.list_calls()[0]["code"] == 486
    assert store.list_calls()[0]["quality"] is None


def test_what_agents_dialled_and_how_calls_were_to_hear_is_kept(store: Store) -> None:
    store.add_call(CallRecord("c1", "out", "201", 10.0, 12.0, 42.0, by_agent=True, quality='{"mos": 4.2}'))
    store.add_call(CallRecord("c2", "out", "202", 50.0, None, 60.0, 486, by_agent=True))
    store.add_call(CallRecord("c3", "out", "203", 70.0, 71.0, 99.0))
    assert sorted(store.dialled_by_agents(0)) == [("201", 30.0), ("202", 0)]
    assert store.dialled_by_agents(20) == [("202", 0)]
    kept = {call["call"]: call for call in store.list_calls()}
    assert (kept["c1"]["by_agent"], kept["c1"]["quality"]) == (True, {"mos": 4.2})
    assert kept["c3"]["by_agent"] is False


def test_an_unknown_session_is_a_clear_error(store: Store) -> None:
    with pytest.raises(UnknownName, match="no session nope"):
        store.get_session("nope")


def test_what_was_written_outlives_the_process(tmp_path: Path, warnings: Warnings) -> None:
    for session in ("s1", "s2"):
        store = Store(tmp_path, warnings)
        store.open()
        converse(store, session, 100.0)
        store.close()
    reader = sqlite3.connect(tmp_path / "handset.db")
    assert reader.execute("SELECT count(*) FROM session").fetchone() == (2,)
    reader.close()
    assert warnings == []


def test_a_broken_database_is_moved_aside_and_a_new_one_begun(tmp_path: Path, warnings: Warnings) -> None:
    (tmp_path / "handset.db").write_bytes(b"this is no database" * 100)
    store = Store(tmp_path, warnings)
    store.open()
    converse(store)
    assert store.get_session("s1")["id"] == "s1"
    store.close()
    assert warnings == ["store_damaged"]
    (aside,) = tmp_path.glob("handset.broken-*.db")
    assert aside.read_bytes().startswith(b"this is no database")


def test_of_damaged_databases_the_newest_three_are_kept(tmp_path: Path, warnings: Warnings) -> None:
    for day in range(1, 6):
        for suffix in ("", "-wal"):
            (tmp_path / f"handset.broken-2026010{day}-120000.db{suffix}").write_text("old")
    (tmp_path / "handset.db").write_bytes(b"no database at all" * 100)
    store = Store(tmp_path, warnings)
    store.open()
    assert store.flush()
    store.close()
    kept = sorted(path.name for path in tmp_path.glob("handset.broken-*.db"))
    assert kept[:2] == ["handset.broken-20260104-120000.db", "handset.broken-20260105-120000.db"]
    assert len(kept) == 3
    assert not (tmp_path / "handset.broken-20260101-120000.db-wal").exists()


def test_a_turn_of_a_session_that_was_not_written_is_dropped_and_counted_and_no_new_fault(
    store: Store, warnings: Warnings
) -> None:
    store.add_turn("never-written", 1, "user", "hello", None, 1.0)
    converse(store)
    assert store.get_session("s1")["id"] == "s1"
    assert store.counters()["dropped"] == 1
    assert warnings == []


def test_a_directory_that_cannot_be_made_stops_the_history_with_one_warning(
    tmp_path: Path, warnings: Warnings
) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "below", warnings)
    store.open()
    converse(store)
    assert store.flush()
    assert warnings == ["store_unavailable"]
    assert store.counters()["dropped"] == 4
    with pytest.raises(StoreUnavailable):
        store.list_sessions()
    store.close()


def test_a_full_disk_stops_the_history_with_one_warning(
    store: Store, warnings: Warnings, tmp_path: Path
) -> None:
    converse(store, "s1")
    assert store.flush()
    full = sqlite3.connect(tmp_path / "handset.db")
    pages = full.execute("PRAGMA page_count").fetchone()[0]
    full.close()
    store._put(f"PRAGMA max_page_count = {pages}", ())  # noqa: SLF001 - SQLite's own way to run out of room
    for number in range(200):
        store.add_turn("s1", number, "user", "x" * 1000, None, float(number))
    assert store.flush()
    assert warnings == ["disk_full"]


def test_a_directory_that_is_only_called_full_is_told_by_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "full/handset.db"
    code, hint = database.judged(PermissionError(errno.EACCES, "Permission denied", str(path)), path)
    assert code == "store_unavailable"
    assert "rights" in hint


def test_a_history_of_a_newer_handset_is_left_alone_and_told_with_what_helps(
    tmp_path: Path, warnings: Warnings
) -> None:
    newer = sqlite3.connect(tmp_path / "handset.db")
    newer.execute(f"PRAGMA user_version = {database.SCHEMA_VERSION + 1}")
    newer.close()
    kept = (tmp_path / "handset.db").read_bytes()
    store = Store(tmp_path, warnings)
    conditions: list[tuple[str, str]] = []
    store.on_condition = lambda *told: conditions.append(told)
    store.open()
    converse(store)
    assert store.flush()
    [(reason, hint)] = conditions
    assert "newer Handset" in reason
    assert "release" in hint
    assert warnings == ["store_unavailable"]
    store.close()
    assert (tmp_path / "handset.db").read_bytes()[100:] == kept[100:]


def held(directory: Path) -> list[int]:
    """The files of `directory` that are open in this process."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if link.readlink().is_relative_to(directory):
                found.append(int(link.name))
    return found


def pull(directory: Path) -> None:
    """Those files take no writing any more, as on a card that was pulled; what SQLite locks by is left to it."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file in held(directory):
        if not Path(f"/proc/self/fd/{file}").readlink().name.endswith("-shm"):
            os.dup2(nothing, file)
    os.close(nothing)


@pytest.mark.slow
def test_a_card_that_is_pulled_while_it_is_written_is_told_and_the_history_goes_on_when_it_is_back(
    store: Store, warnings: Warnings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conditions: list[tuple[str, str]] = []
    store.on_condition = lambda *told: conditions.append(told)
    monkeypatch.setattr("appliance.store.store._RETRY_SECONDS", 0.2)
    converse(store, "s1")
    assert store.flush()
    pull(tmp_path)
    converse(store, "s2")
    assert store.flush()
    assert warnings == ["store_unavailable"]
    (reason, hint) = conditions[0]
    assert "I/O error" in reason
    assert "pulled" in hint
    assert not held(tmp_path), "a card whose files are held is not let go by the kernel"
    time.sleep(0.2)
    converse(store, "s3", 200.0)
    assert store.flush()
    assert conditions[1:] == [("", "")]
    assert [row["id"] for row in store.list_sessions()] == ["s3", "s1"]
    assert warnings == ["store_unavailable"]


def test_talk_and_usage_of_a_day_add_up(tmp_path: Path, warnings: Warnings) -> None:
    for _ in range(2):
        store = Store(tmp_path, warnings)
        store.open()
        store.add_talk("2026-03-01", "openai", 15.0)
        store.add_talk("2026-03-02", "openai", 1.5)
        store.add_usage("2026-03-02", "openai", "tokens", 10, 20.5)
        store.close()
    store = Store(tmp_path, warnings)
    store.open()
    assert store.talk() == [
        {"day": "2026-03-02", "provider": "openai", "seconds": 3.0},
        {"day": "2026-03-01", "provider": "openai", "seconds": 30.0},
    ]
    assert store.usage() == [
        {"day": "2026-03-02", "provider": "openai", "unit": "tokens", "input": 20.0, "output": 41.0}
    ]
    store.close()


def test_a_line_has_one_checkpoint_until_it_is_dropped(store: Store) -> None:
    row = dict.fromkeys(("session", "agent", "language", "provider", "handle", "history"), "x")
    for handle in ("h-1", "h-2"):
        store.keep_checkpoint({**row, "line": "room", "handle": handle, "handle_at": 1.0, "at": 2.0})
    assert [kept["handle"] for kept in store.checkpoints()] == ["h-2"]
    store.drop_checkpoint("room")
    assert store.checkpoints() == []


def test_a_database_of_the_first_version_is_taken_over_with_its_history(
    tmp_path: Path, warnings: Warnings
) -> None:
    old = sqlite3.connect(tmp_path / "handset.db")
    script = resources.files("appliance.store").joinpath("history.sql").read_text()
    old.executescript(f"{script} PRAGMA user_version = 1;")
    old.execute("INSERT INTO session (id, line, agent, started_at) VALUES ('s0', 'room', 'assistant', 1.0)")
    old.commit()
    old.close()
    store = Store(tmp_path, warnings)
    store.open()
    store.add_talk("2026-03-01", "openai", 15.0)
    assert [row["id"] for row in store.list_sessions()] == ["s0"]
    assert store.talk()[0]["seconds"] == 15.0
    store.close()
    assert warnings == []


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_what_was_said_is_the_owners_alone_also_in_the_files_beside_the_database(
    tmp_path: Path, warnings: Warnings
) -> None:
    store = Store(tmp_path / "state", warnings)
    store.open()
    converse(store)
    assert store.list_sessions()
    assert modes(tmp_path / "state") == {
        "state": 0o700, "handset.db": 0o600, "handset.db-wal": 0o600, "handset.db-shm": 0o600,
    }  # fmt: skip
    store.close()


def test_files_that_were_open_to_all_are_closed_to_others(tmp_path: Path, warnings: Warnings) -> None:
    sqlite3.connect(tmp_path / "handset.db").close()
    (tmp_path / "handset.broken-20260101-000000.db").write_text("damaged")
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    store = Store(tmp_path, warnings)
    store.open()
    converse(store)
    assert store.flush()
    assert {mode for name, mode in modes(tmp_path).items() if name.startswith("handset")} == {0o600}
    store.close()


def test_after_the_end_the_database_alone_is_left_and_holds_all(tmp_path: Path, warnings: Warnings) -> None:
    store = Store(tmp_path, warnings)
    store.open()
    converse(store)
    assert store.get_session("s1")
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["handset.db"]
    left = sqlite3.connect(f"file:{tmp_path}/handset.db?mode=ro&immutable=1", uri=True)
    assert left.execute("SELECT count(*) FROM turn").fetchone() == (2,)
    left.close()


@pytest.mark.slow
def test_a_closed_history_is_not_opened_again_by_a_late_question(tmp_path: Path, warnings: Warnings) -> None:
    store = Store(tmp_path, warnings)
    store.open()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.list_sessions()


def test_half_a_character_of_a_service_costs_neither_the_turn_nor_the_history(
    store: Store, warnings: Warnings
) -> None:
    store.begin_session("s1", "room", "assistant", 1.0)
    store.add_turn("s1", 1, "user", "cake \ud83c please", None, 2.0)
    store.add_turn("s1", 1, "assistant", "Here you are.", "Here", 3.0)
    assert [turn["text"] for turn in store.get_session("s1")["turns"]] == ["cake ? please", "Here you are."]
    assert warnings == []


def test_a_damaged_database_that_cannot_be_moved_aside_is_told_and_talking_goes_on(
    tmp_path: Path, warnings: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "handset.db").write_bytes(b"no database at all" * 100)

    def read_only(self: Path, target: str) -> Path:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "rename", read_only)
    store = Store(tmp_path, warnings)
    store.open()
    store.begin_session("s1", "room", "assistant", 1.0)
    assert store.flush(2.0)
    store.close()
    assert warnings == ["store_unavailable"]
