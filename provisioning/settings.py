"""Settings on their way into the configuration: checked by its own rules, secrets in files of their own.

One file holds them all, so that one rename puts them in force; a secret's file has a new name each time, so that the
settings before it keep the secret before it.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from appliance.config.accounts import OF_AN_ACCOUNT
from appliance.config.files import CHECKOUT
from appliance.config.lines import nearest_line
from appliance.config.load import Fault, is_secret, load
from appliance.config.placeholders import MESSAGE, is_placeholder, remedy
from appliance.config.providers import check_providers
from appliance.config.rules import check_rules
from appliance.config.secrets import CREDENTIAL_PREFIX, SEALED_STORE, is_reference
from appliance.errors import ConfigurationInvalid
from provisioning.actions import SERVICE_USER, Action, MakeDirectory, Remove, Run, WriteFile
from provisioning.draft import Draft, Note, Tree, drop, leaves, merged, place
from provisioning.effects import Effects
from provisioning.toml_text import dump

_GIVEN: Final = "command line"
"""What the rules call settings that stand in no file."""
_SEALED: Final = PurePosixPath(SEALED_STORE)
_SEALING: Final = ("sys/class/tpm/tpm0", "usr/lib/systemd/system/handset.service.d/50-newer.conf")
"""A TPM, and a systemd that gives the daemon every credential of ours."""
_STORES: Final = ("credstore", "credstore.encrypted")
PASSWORDS: Final = ("password", "turn_password")
"""Those of an account."""
_SETTINGS: Final = PurePosixPath("/etc/handset/conf.d/60-setup.toml")
_SECRETS: Final = PurePosixPath("/etc/handset/secrets")
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME: Final = 100
_ROUNDS: Final = 8
_WITHOUT: Final = "give it its password, in quotes"
_HEAD: Final = (
    "# Written by `handset setup` and at the first start, which write it anew.\n"
    "# Settings of your own belong in another file.\n"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where settings and secrets are kept; `owner` is who must be able to read the secrets."""

    settings: PurePosixPath = _SETTINGS
    secrets: PurePosixPath = _SECRETS
    owner: str = SERVICE_USER
    sealed: bool = False
    """Secrets become credentials that only this board's TPM opens."""

    @classmethod
    def here(cls, root: Path = Path("/")) -> "Place":
        """Of an appliance; of a checkout, when the code runs from one and no other tree is meant."""
        if root == Path("/") and (CHECKOUT / "checkout.toml").exists():
            state = PurePosixPath(CHECKOUT / ".state")
            return cls(state / "conf.d/60-setup.toml", state / "secrets", "")
        return cls(sealed=all((root / path).exists() for path in _SEALING))


@dataclass(slots=True)
class Checked:
    """`tree` is what the rules let pass of what was given; `notes` the rest, `elsewhere` faults of other files."""

    tree: Tree
    notes: list[Note] = field(default_factory=list)
    elsewhere: list[Fault] = field(default_factory=list)


def check(draft: Draft, root: Path = Path("/"), config: Path | None = None) -> Checked:
    """What `handset check` would say of the draft above the files that are there; secrets in the clear."""
    tree = merged({}, draft.tree)
    checked = Checked(tree)
    checked.notes += _placeholders(tree, draft)
    told = {note.key for note in checked.notes}
    if lacking := list(_without_password(tree, draft, root)):
        checked.notes += [note for note in lacking if note.key not in told]
        checked.notes += _beside(lacking, draft, root, config)
    for _ in range(_ROUNDS):
        loaded = load(config, environ={}, command_line=tree, root=root)
        found = check_providers(check_rules(loaded), environ={}).faults
        ours = [fault for fault in found if fault.origin == _GIVEN]
        checked.elsewhere = [fault for fault in found if _is_elsewhere(fault, root)]
        fatal = [fault for fault in ours if not fault.warning]
        if not fatal:
            checked.notes += [_note(draft, fault, "left") for fault in ours]
            return checked
        for fault in fatal:
            checked.notes.append(_note(draft, fault, "fault"))
            _take_out(tree, fault.key)
    checked.tree = {}
    return checked


def _placeholders(tree: Tree, draft: Draft) -> Iterator[Note]:
    """What only keeps the place of a secret is taken out of the tree, and told."""
    for path, secret in list(_secrets(tree)):
        if is_placeholder(secret):
            drop(tree, list(path))
            key = ".".join(path)
            yield Note(MESSAGE, key, nearest_line(draft.lines, key), remedy(key), "fault")


def _without_password(tree: Tree, draft: Draft, root: Path) -> Iterator[Note]:
    """Accounts that could not register are taken out of the tree, and told; a credential of the system will do."""
    accounts = [(("sip",), "sip"), *((("sip", "accounts", name), f"sip-{name}") for name in _accounts(tree))]
    for path, credential in accounts:
        account = _at(tree, path)
        stores = [root / "etc" / store / f"handset.{credential}" for store in _STORES]
        stored = "password" not in account and any(store.is_file() for store in stores)
        if "server" in account and not account.get("password") and not stored:
            key = ".".join(path)
            given = f"{key}.password" if "password" in account else f"{key}.server"
            line = nearest_line(draft.lines, given)
            yield Note("the account has no password", f"{key}.password", line, _WITHOUT, "fault")
            for name in OF_AN_ACCOUNT & account.keys() if path == ("sip",) else ():
                drop(tree, ["sip", name])
            if path != ("sip",):
                drop(tree, list(path))


def _beside(lacking: list[Note], draft: Draft, root: Path, config: Path | None) -> Iterator[Note]:
    """What else is wrong with the accounts that were taken out for want of a password: all is told at once."""
    loaded = load(config, environ={}, command_line=merged({}, draft.tree), root=root)
    accounts = {note.key.rpartition(".")[0] for note in lacking}
    for fault in loaded.faults:
        account, _, key = fault.key.rpartition(".")
        if fault.origin == _GIVEN and account in accounts and key in OF_AN_ACCOUNT:
            yield _note(draft, fault, "fault")


def _accounts(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    return _at(tree, ("sip", "accounts"))


def _is_elsewhere(fault: Fault, root: Path) -> bool:
    """Files with secrets are looked for on this machine: those of another tree cannot be judged here."""
    judged = root == Path("/") or not is_secret(fault.key.rpartition(".")[2])
    return fault.origin != _GIVEN and not fault.warning and judged


def _take_out(tree: Tree, key: str) -> None:
    """The faulty key; of one that is missing, what asked for it: the account that is not whole."""
    parts = key.split(".")
    if not drop(tree, parts) and not drop(tree, parts[:-1]):
        tree.clear()


def _note(draft: Draft, fault: Fault, kind: Any) -> Note:
    return Note(fault.message, fault.key, nearest_line(draft.lines, fault.key), fault.hint, kind)


def completed(tree: Tree, before: Mapping[str, Any]) -> Tree:
    """With what follows from it: who has the key of a provider wants to talk with it."""
    keyed = [name for name, table in tree.get("providers", {}).items() if _has_key(table)]
    realtime = [name for name in ("openai", "gemini", "gpt_live") if name in keyed]
    chosen = any("providers" in one.get("conversation", {}) for one in (tree, before))
    if realtime and not chosen:
        place(tree, ["conversation", "providers"], [*realtime, "offline"])
    return tree


def _has_key(table: Any) -> bool:
    return isinstance(table, Mapping) and bool(table.get("api_key"))


def same_account(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether `new` is a whole account, and the one that `old` is: its password is the same then."""
    return "server" in new and all(old.get(key) == new.get(key) for key in ("server", "user"))


def recall(tree: Tree, before: Mapping[str, Any], effects: Effects) -> None:
    """Put into `tree` the passwords of accounts that it names again without: a boot file's are asterisks by now."""
    for path in (("sip",), *(("sip", "accounts", name) for name in _accounts(tree))):
        new, old = _at(tree, path), _at(before, path)
        for key in PASSWORDS if same_account(old, new) else ():
            if key not in new and (secret := _kept_secret(str(old.get(key, "")), effects)):
                place(tree, [*path, key], secret)


def _at(tree: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    for part in path:
        below = tree.get(part)
        tree = below if isinstance(below, Mapping) else {}
    return tree


def _kept_secret(reference: str, effects: Effects) -> str:
    if not reference.startswith("file:/"):
        return reference
    try:
        return (
            effects.place(PurePosixPath(reference.removeprefix("file:")))
            .read_text(encoding="utf-8")
            .rstrip("\n")
        )
    except (OSError, UnicodeDecodeError):
        return ""


def overlay(before: Mapping[str, Any], tree: Mapping[str, Any]) -> Tree:
    """`tree` above what was set up before; an account that is given anew keeps nothing of the one before it."""
    kept = merged({}, before)
    if "server" in _at(tree, ("sip",)) and isinstance(kept.get("sip"), Mapping):
        kept["sip"] = {key: value for key, value in kept["sip"].items() if key not in OF_AN_ACCOUNT}
    for name in _accounts(tree):
        if "server" in _at(tree, ("sip", "accounts", name)):
            drop(kept, ["sip", "accounts", name])
    return merged(kept, tree)


def plan(tree: Mapping[str, Any], where: Place, salt: str) -> list[Action]:
    """The files that put `tree` in force; secrets in the clear become files that the daemon's user alone may read.

    `salt` makes their names new. The settings come last: up to that moment all is as it was.
    """
    shown = merged({}, tree)
    actions: list[Action] = [MakeDirectory(where.secrets, 0o700, where.owner)]
    for path, secret in _secrets(tree):
        name = f"{_plain(path)}-{hashlib.sha256(f'{salt}{path}'.encode()).hexdigest()[:8]}"
        if where.sealed:
            actions += _seal(name, secret)
            place(shown, list(path), f"credential:{name}")
        else:
            actions.append(WriteFile(where.secrets / name, f"{secret}\n", 0o600, where.owner))
            place(shown, list(path), f"file:{where.secrets / name}")
    actions.append(WriteFile(where.settings, _HEAD + "\n" + dump(shown)))
    return actions


def _plain(path: tuple[str, ...]) -> str:
    """As the name of a file or credential: what is between the dots may be anybody's words, slashes among them."""
    return _NOT_IN_A_NAME.sub("-", ".".join(path))[-_LONGEST_NAME:].lstrip(".")


def _secrets(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    for path, value in leaves(tree):
        if isinstance(value, str) and value and is_secret(path[-1]) and not is_reference(value):
            yield path, value


def _seal(name: str, secret: str) -> list[Action]:
    sealed = f"{CREDENTIAL_PREFIX}{name}"
    command = ("systemd-creds", "encrypt", "--with-key=tpm2", f"--name={sealed}", "-", str(_SEALED / sealed))
    return [MakeDirectory(_SEALED, 0o700), Run(command, secret, needed=True)]


def forget_outdated(effects: Effects, where: Place) -> None:
    """Take away the secrets of ours that the settings, as they stand in the file, do not name any more."""
    named = {
        value for _, value in leaves(read_before(effects.place(where.settings))) if isinstance(value, str)
    }
    stores = {
        where.secrets: ("*", "file:{path}"),
        _SEALED: (f"{CREDENTIAL_PREFIX}*-????????", "credential:{name}"),
    }
    for store, (pattern, reference) in stores.items():
        found = [store / path.name for path in sorted(effects.place(store).glob(pattern))]
        names = {path: path.name.removeprefix(CREDENTIAL_PREFIX) for path in found}
        effects.carry_out(
            [Remove(path) for path in found if reference.format(path=path, name=names[path]) not in named]
        )


def read_before(path: Path) -> Tree:
    """What was set up before. Raise ConfigurationInvalid where the file is there and cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationInvalid(
            f"{path} cannot be read: {error}", hint="mend it, or take it away, and set up again"
        ) from error
