"""Reads the configuration: layers of TOML, the environment and the command line; finds every fault in one go.

Later layers win: defaults, /usr/share/handset/*.toml, /etc/handset/handset.toml, /etc/handset/conf.d/*.toml,
HANDSET_<SECTION>__<KEY>, command line. `--config F` stands in for the files; a checkout has two of its own (files.py).
"""

import difflib
import os
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from appliance.config.files import standard_files
from appliance.config.lines import lines_of, nearest_line
from appliance.config.schema import Configuration, Sip
from appliance.config.syntax import UTF_8, line_of, remedy
from appliance.config.words import wrong
from appliance.errors import ConfigurationInvalid

DEFAULT: Final = "default"
_PREFIX: Final = "HANDSET_"
_FOREIGN: Final = frozenset({"HANDSET_TOKEN", "HANDSET_ADDRESS"})
_FILE: Final = "file:"
OF_THE_MACHINE: Final = frozenset({"system", "wlan", "user", "ssh", "locale"})
"""Tables of a boot file, not of the configuration (provisioning/boot_settings.py)."""
_Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: `origin` is the file or variable, `key` the dotted key.

    A `warning` keeps nothing from being used: another provider or stage serves meanwhile. `line` counts from 1, 0 where
    there is none.
    """

    origin: str
    key: str
    message: str
    hint: str = ""
    warning: bool = False
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.origin}:{self.line}" if self.line else self.origin
        where = f"{place}: {self.key}" if self.key else place
        told = f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")
        return f"warning: {told}" if self.warning else told


@dataclass(frozen=True, slots=True)
class Loaded:
    """`configuration` is None exactly when there are faults other than warnings; `origins` maps dotted keys to where
    they were set.

    `sound` is what is left without the faulty keys, so that the rules can be asked about the rest.
    """

    configuration: Configuration | None
    origins: Mapping[str, str]
    faults: tuple[Fault, ...] = ()
    files: tuple[str, ...] = ()
    sound: Configuration | None = None
    lines: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Of each file, where its keys stand."""

    def located(self, fault: Fault) -> Fault:
        """With its line, or that of the nearest table above it, where its origin is a file."""
        lines = self.lines.get(fault.origin)
        return replace(fault, line=nearest_line(lines, fault.key)) if lines and not fault.line else fault

    def require(self) -> Configuration:
        """The configuration, or ConfigurationInvalid with every fault in its message."""
        if self.configuration is None:
            raise ConfigurationInvalid("\n".join(str(fault) for fault in self.faults))
        return self.configuration


@dataclass(slots=True)
class _Layers:
    tree: _Tree = field(default_factory=lambda: {"agents": {"assistant": {}}})
    origins: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    lines: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def lay(self, tree: Mapping[str, Any], origin: str) -> None:
        self._merge(self.tree, tree, origin, ())

    def _merge(self, into: _Tree, tree: Mapping[str, Any], origin: str, path: tuple[str, ...]) -> None:
        for key, value in tree.items():
            here = (*path, key)
            if isinstance(value, Mapping) and isinstance(into.get(key, {}), dict):
                self._merge(into.setdefault(key, {}), value, origin, here)
                self.origins.setdefault(".".join(here), origin)
            else:
                into[key] = value
                self.origins[".".join(here)] = origin


def load(
    config: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    command_line: Mapping[str, Any] | None = None,
    root: Path = Path("/"),
) -> Loaded:
    """Read and validate all layers. Bad input raises nothing: faults are in the result. `root` has
    /etc, /usr and the checkout."""
    layers = _Layers()
    files = [config] if config else list(standard_files(root))
    for path in files:
        _lay_file(layers, path)
    for name, value in sorted(environ.items()):
        if name.startswith(_PREFIX) and "__" in name and name not in _FOREIGN:
            _lay_variable(layers, name, value)
    if command_line:
        layers.lay(command_line, "command line")
    sound = _validate(layers)
    loaded = Loaded(
        None if layers.faults else sound,
        layers.origins,
        files=tuple(str(path) for path in files),
        sound=sound,
        lines=layers.lines,
    )
    return replace(loaded, faults=tuple(map(loaded.located, layers.faults)))


def _lay_file(layers: _Layers, path: Path) -> None:
    text = ""
    try:
        # With or without the mark that some editors put before the first letter.
        text = path.read_bytes().decode("utf-8-sig")
        tree = tomllib.loads(text)
        layers.lines[str(path)] = lines_of(text)
        _place_directories(tree, path.absolute().parent)
        _place_models(tree, path.absolute().parent)
        _place_secrets(tree, path.absolute().parent)
        layers.lay(tree, str(path))
    except FileNotFoundError:
        layers.faults.append(
            Fault(
                str(path),
                "",
                "there is no such file",
                "correct the path given with --config",
            )
        )
    except OSError as error:
        layers.faults.append(Fault(str(path), "", f"cannot be read: {error}"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        layers.faults.append(Fault(str(path), "", "is not text in UTF-8", UTF_8, line=line))
    except tomllib.TOMLDecodeError as error:
        line = line_of(error, text)
        hint = remedy(text.splitlines()[line - 1] if line else "", str(error))
        layers.faults.append(Fault(str(path), "", f"is not TOML: {error}", hint, line=line))


def _place_directories(tree: _Tree, beside: Path) -> None:
    """A directory that a file names counts from that file, wherever the command was called."""
    for section in ("storage", "recording"):
        table = tree.get(section)
        if isinstance(table, dict) and isinstance(table.get("directory"), str) and table["directory"]:
            table["directory"] = str(beside / table["directory"])


def _place_models(tree: _Tree, beside: Path) -> None:
    """So does a directory of models; what begins with ~ is somebody's home."""
    providers = tree.get("providers")
    for table in providers.values() if isinstance(providers, dict) else ():
        for key, value in table.items() if isinstance(table, dict) else ():
            if key.endswith("model_directory") and isinstance(value, str) and value and value[0] != "~":
                table[key] = str(beside / value)


def _place_secrets(tree: _Tree, beside: Path) -> None:
    """So does a file with a secret."""
    for key, value in tree.items():
        if isinstance(value, dict):
            _place_secrets(value, beside)
        elif isinstance(value, str) and value.startswith(_FILE) and is_secret(key):
            tree[key] = f"{_FILE}{beside / value.removeprefix(_FILE)}"


def _lay_variable(layers: _Layers, name: str, text: str) -> None:
    path = tuple(part.lower() for part in name.removeprefix(_PREFIX).split("__"))
    value: Any = text if _takes_text(path) else _toml_value(text)
    for part in reversed(path):
        value = {part: value}
    layers.lay(value, name)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _takes_text(path: tuple[str, ...]) -> bool:
    """True when the key's type is a string or a path, so that HANDSET_SIP__USER=0100 stays as it is written."""
    at: Any = Configuration
    for part in path:
        if typing.get_origin(at) is dict:
            at = typing.get_args(at)[1]
        elif isinstance(at, type) and issubclass(at, BaseModel) and part in at.model_fields:
            at = at.model_fields[part].annotation
        else:
            return False
    return at in (str, Path) or (isinstance(at, type) and at.__name__ == "SecretStr")


def _validate(layers: _Layers) -> Configuration | None:
    """The configuration without its faulty keys, each of which is noted."""
    try:
        return Configuration.model_validate(layers.tree)
    except ValidationError as error:
        faults = error.errors(include_url=False)
    layers.faults.extend(_fault(details, layers.origins) for details in faults)
    for details in faults:
        _drop(layers.tree, details["loc"])
    try:
        return Configuration.model_validate(layers.tree)
    except ValidationError:
        return None


def _drop(tree: _Tree, path: tuple[int | str, ...]) -> None:
    """Take out the key at `path`, or the one above it where that is no table."""
    node: Any = tree
    for part in path[:-1]:
        if not isinstance(node.get(part), dict):
            node.pop(part, None)
            return
        node = node[part]
    node.pop(path[-1], None)


def _fault(details: ErrorDetails, origins: Mapping[str, str]) -> Fault:
    path = tuple(str(part) for part in details["loc"])
    key = ".".join(path)
    origin = next((origins[part] for part in _ancestors(path) if part in origins), DEFAULT)
    if details["type"] == "extra_forbidden":
        return Fault(
            origin,
            key,
            "unknown key",
            _where_it_belongs(path) or _did_you_mean(path[-1], _names_beside(path)) or _under_which(path),
        )
    given = details.get("input")
    shown = (
        f", not {given!r}" if isinstance(given, str | int | float | bool) and not is_secret(path[-1]) else ""
    )
    message = wrong(details)
    choices = details.get("ctx", {}).get("expected", "")
    hint = (
        _did_you_mean(
            str(given),
            [choice.strip("' ") for choice in str(choices).replace(" or ", ",").split(",")],
        )
        if choices
        else ""
    )
    return Fault(origin, key, message + shown, hint)


def _ancestors(path: tuple[str, ...]) -> Iterator[str]:
    for end in range(len(path), 0, -1):
        yield ".".join(path[:end])


def _where_it_belongs(path: tuple[str, ...]) -> str:
    """Of a key in an account's table that stands in `[sip]` for all accounts."""
    if path[:2] != ("sip", "accounts") or len(path) != 4 or path[-1] not in Sip.model_fields:
        return ""
    server = '; the server\'s port stands in server = "host:port"' if path[-1] == "port" else ""
    return f"{path[-1]} holds for all accounts: set it in [sip]{server}"


def _under_which(path: tuple[str, ...]) -> str:
    """Of what stands before any heading, or under one that only the reader of a boot partition knows."""
    if len(path) > 1:
        return ""
    if path[0] in ("wifi", "network"):
        return "a network is [wlan], in a file on the boot partition"
    if path[0] in OF_THE_MACHINE:
        return "for the boot partition, or: handset setup --from FILE"
    sections = [
        name
        for name, section in Configuration.model_fields.items()
        if isinstance(section.annotation, type)
        and issubclass(section.annotation, BaseModel)
        and path[0] in section.annotation.model_fields
    ]
    return f"it belongs below a heading: {' or '.join(f'[{name}]' for name in sections)}" if sections else ""


def _names_beside(path: tuple[str, ...]) -> list[str]:
    at: Any = Configuration
    for part in path[:-1]:
        if typing.get_origin(at) in (dict, types.MappingProxyType):
            at = typing.get_args(at)[1]
        elif isinstance(at, type) and issubclass(at, BaseModel):
            at = at.model_fields[part].annotation if part in at.model_fields else None
    return list(at.model_fields) if isinstance(at, type) and issubclass(at, BaseModel) else []


def _did_you_mean(word: str, names: list[str]) -> str:
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def is_secret(key: str) -> bool:
    """True when a key of that name holds what may not be shown."""
    return key == "pin" or any(word in key for word in ("password", "secret", "token", "api_key"))
