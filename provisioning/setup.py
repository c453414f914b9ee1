"""The verb `setup`: takes what it is given, or asks for what is missing, and writes it all at once or not at all."""

import argparse
import json
import secrets
import sys
from pathlib import Path, PurePosixPath
from typing import Any, Final

from appliance.config.load import is_secret, load
from appliance.config.secrets import is_reference
from appliance.errors import RequestInvalid
from provisioning import settings
from provisioning.actions import Plan
from provisioning.dialogue import Terminal, ask_all
from provisioning.draft import LONGEST, Draft, Note, Tree, leaves
from provisioning.effects import Effects
from provisioning.machine import system_actions, without_unknown_zone
from provisioning.settings import Place
from provisioning.sources import understand

_WRONG: Final = 2
_UNITS: Final = (
    PurePosixPath("/etc/systemd/system/handset.service"),
    PurePosixPath("/usr/lib/systemd/system/handset.service"),
)


def setup(args: argparse.Namespace) -> int:
    """Exit code 0 where it is written, 2 where a fault kept it from being written."""
    root = Path(args.root)
    if args.source:
        draft = understand(_text(args.source), args.account)
    elif sys.stdin.isatty():
        draft = ask_all(Terminal(), _in_force(root), lambda draft: settings.check(draft, root).notes)
    else:
        raise RequestInvalid(
            "there is no keyboard to answer at",
            hint="name a file: handset setup --from FILE, or - for what is piped in",
        )
    return _finish(draft, root, args)


def _text(source: str) -> str:
    try:
        data = (
            sys.stdin.buffer.read(LONGEST + 1) if source == "-" else Path(source).read_bytes()[: LONGEST + 1]
        )
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestInvalid(f"{source} is not text", hint="it must be UTF-8") from error
    except OSError as error:
        raise RequestInvalid(f"{source} cannot be read: {error.strerror}", hint="correct the path") from error


def _in_force(root: Path) -> Any:
    return load(environ={}, root=root).sound


def _finish(draft: Draft, root: Path, args: argparse.Namespace) -> int:
    where = Place.here(root)
    effects = Effects.on(root)
    draft = without_unknown_zone(draft, root)
    before = settings.read_before(effects.place(where.settings))
    settings.recall(draft.tree, before, effects)
    checked = settings.check(draft, root)
    notes = [*draft.notes, *checked.notes]
    faulty = any(note.kind == "fault" for note in notes)
    if not (checked.tree or not draft.system.empty) and not faulty:
        notes.append(Note("there is nothing in it to be set", kind="fault"))
        faulty = True
    written = not faulty and not args.dry_run
    overridden: list[str] = []
    if written:
        tree = settings.overlay(before, settings.completed(checked.tree, before))
        put_in_force(tree, draft, where, effects)
        overridden = _overridden(checked.tree, effects.place(where.settings), root)
    told = _Told(draft, checked.tree, notes, overridden, [str(one) for one in checked.elsewhere])
    (_print_json if args.json else _print)(told, effects, where, written=written)
    return _WRONG if faulty else 0


def put_in_force(tree: Tree, draft: Draft, where: Place, effects: Effects) -> None:
    """Write the settings `tree` and do to the machine what the draft says of it; old secrets go last."""
    actions: Plan = settings.plan(tree, where, secrets.token_hex(8)) if tree else []
    effects.carry_out([*actions, *system_actions(draft.system)])
    settings.forget_outdated(effects, where)


def _overridden(tree: Tree, path: Path, root: Path) -> list[str]:
    """Keys that another file or a variable sets otherwise: what was written for them has no effect."""
    origins = load(root=root).origins
    return [
        f"{key} is set in {origins[key]}, which counts for more"
        for key in (".".join(parts) for parts, _ in leaves(tree))
        if origins.get(key, str(path)) != str(path)
    ]


class _Told:
    """What is told of a set-up, secrets masked."""

    def __init__(
        self, draft: Draft, tree: Tree, notes: list[Note], overridden: list[str], elsewhere: list[str]
    ) -> None:
        self.source = draft.source
        self.taken = {".".join(path): _shown(path[-1], value) for path, value in leaves(tree)}
        self.taken |= {f"network {network.ssid}": "********" for network in draft.system.networks}
        self.taken |= {f"user {user.name}": f"{len(user.keys)} key(s)" for user in draft.system.users}
        if draft.system.host_name:
            self.taken["host name"] = draft.system.host_name
        self.notes = notes
        self.overridden = overridden
        self.elsewhere = elsewhere


def _shown(key: str, value: Any) -> Any:
    hidden = is_secret(key) and isinstance(value, str) and value and not is_reference(value)
    return "********" if hidden else value


def _print_json(told: _Told, effects: Effects, where: Place, *, written: bool) -> None:
    notes = [
        {"kind": one.kind, "line": one.line, "key": one.key, "message": one.message, "hint": one.hint}
        for one in told.notes
    ]
    report = {
        "ok": not any(one.kind == "fault" for one in told.notes),
        "written": str(effects.place(where.settings)) if written else "",
        "source": told.source,
        "taken": told.taken,
        "notes": notes,
        "overridden": told.overridden,
        "elsewhere": told.elsewhere,
        "not_done": effects.failures,
    }
    print(json.dumps(report, ensure_ascii=False))


def to_be_done(root: Path, *, service: bool) -> str:
    """What puts the settings of the tree at `root` in force."""
    if root != Path("/"):
        return f"in force at the next start of the machine that {root} is for; there: handset doctor"
    again = "systemctl restart handset" if service else "make run"
    return f"to put it in force, start the daemon again: {again}; then: handset doctor"


def _print(told: _Told, effects: Effects, where: Place, *, written: bool) -> None:
    if told.source:
        print(f"read as {told.source}")
    for key, value in told.taken.items():
        print(f"  {key} = {value if isinstance(value, str) else json.dumps(value)}")
    for title, kind in (("not taken:", "left"), ("wrong:", "fault")):
        found = [note for note in told.notes if note.kind == kind]
        if found:
            print(title, file=sys.stderr)
        for note in found:
            print(f"  {note}", file=sys.stderr)
    for line in (*told.overridden, *told.elsewhere, *(f"not done: {line}" for line in effects.failures)):
        print(f"note: {line}", file=sys.stderr)
    if written:
        print(f"written: {effects.place(where.settings)}")
        print(to_be_done(effects.root, service=any(effects.place(path).exists() for path in _UNITS)))
    else:
        print("nothing was written")
