"""What a source of settings was understood to say: a tree as the configuration has it, and notes on the rest. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from provisioning.system import System

Tree = dict[str, Any]
LONGEST: Final = 256 * 1024
"""Characters of a source, and bytes of its file: a desk phone's whole configuration has some tens of thousands."""


@dataclass(frozen=True, slots=True)
class Note:
    """What was not taken: `fault` is wrong and has a remedy, `left` means nothing to this appliance.

    `line` counts from 1, 0 where there is none. Never holds a secret.
    """

    message: str
    key: str = ""
    line: int = 0
    hint: str = ""
    kind: Literal["fault", "left"] = "left"
    file: str = ""

    def __str__(self) -> str:
        where = ", ".join(filter(None, [self.file, f"line {self.line}" if self.line else ""]))
        told = ": ".join(filter(None, [where, self.key, self.message]))
        return told + (f" ({self.hint})" if self.hint else "")


@dataclass(slots=True)
class Draft:
    """`tree` nests as the configuration does, secrets in the clear; `lines` says where a dotted key stood."""

    tree: Tree = field(default_factory=dict)
    system: System = field(default_factory=System)
    notes: list[Note] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    source: str = ""
    """What kind of text it was, in words."""
    file: str = ""
    """Its name, where it came from one."""

    @property
    def faults(self) -> list[Note]:
        return [note for note in self.notes if note.kind == "fault"]

    def put(self, key: str, value: Any, line: int = 0) -> None:
        """Set the dotted `key`; for names without dots of their own."""
        place(self.tree, key.split("."), value)
        self.lines[key] = line

    def fault(self, message: str, *, key: str = "", line: int = 0, hint: str = "") -> None:
        self.notes.append(Note(message, key, line, hint, "fault"))

    def leave(self, message: str, *, key: str = "", line: int = 0) -> None:
        self.notes.append(Note(message, key, line))

    def in_file(self, name: str) -> "Draft":
        """The same, telling the file's name, in its notes too."""
        return replace(self, file=name, notes=[replace(note, file=name) for note in self.notes])


def place(tree: Tree, path: list[str], value: Any) -> None:
    """Set what stands at `path`, making the tables on the way; what is no table gives way."""
    for part in path[:-1]:
        if not isinstance(tree.get(part), dict):
            tree[part] = {}
        tree = tree[part]
    tree[path[-1]] = value


def drop(tree: Tree, path: list[str]) -> bool:
    """Take out what stands at `path`, or the nearest above it that is no table; False where there is nothing."""
    for depth, part in enumerate(path):
        if part not in tree:
            return False
        if depth == len(path) - 1 or not isinstance(tree[part], dict):
            del tree[part]
            return True
        tree = tree[part]
    return False


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    """Both, `above` where they differ; tables are merged, lists replaced. Shares no table with either."""
    result: Tree = {
        key: merged(value, {}) if isinstance(value, Mapping) else value for key, value in below.items()
    }
    for key, value in above.items():
        under = result.get(key)
        result[key] = (
            merged(under if isinstance(under, Mapping) else {}, value)
            if isinstance(value, Mapping)
            else value
        )
    return result


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is no table, with its path."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value
