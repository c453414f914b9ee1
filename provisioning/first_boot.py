"""What happens at a start with the boot partition: its files are read, checked, carried out, and rid of their secrets.

Runs at every start, before the network; does nothing where the files are as it left them. The good part is carried
out, the faults are told with line and remedy: on the partition, and to the daemon, which says it aloud.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Final

from appliance.config.lines import nearest_line
from appliance.config.load import is_secret, load
from appliance.config.rules import is_loopback
from appliance.errors import ApplianceError
from provisioning import card, cloud_init, identity, settings
from provisioning.actions import Action, Run, WriteFile
from provisioning.boot_settings import secrets_in
from provisioning.draft import LONGEST, Draft, Note, Tree, leaves
from provisioning.effects import Effects
from provisioning.machine import Layout, groups, host_name_actions, without_unknown_zone
from provisioning.outcome import Outcome, report, told
from provisioning.scrub import blanked, overwrite, scrubbed
from provisioning.settings import Place
from provisioning.sources import understand
from provisioning.system import System
from provisioning.wifi import COUNTRY

SETTINGS: Final = "handset.toml"
RESULT: Final = "handset-result.txt"
CUSTOM: Final = "custom.toml"
"""Of Raspberry Pi OS before cloud-init: the same tables."""
FILES: Final = (*cloud_init.FILES, CUSTOM, SETTINGS)
"""Later ones count for more."""
REMEMBERED: Final = PurePosixPath("/etc/handset/provisioned.json")
TOLD: Final = PurePosixPath("/run/handset-provisioned.json")
"""What the daemon says aloud."""
_NEARLY: Final = re.compile(r"handset( ?\(\d+\))?\.(toml|txt)(\.(toml|txt))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Partition:
    """The boot partition, where it is mounted; `writable` brackets what is written there, where it is mounted for
    reading alone."""

    directory: Path
    before: tuple[Run, ...] = ()
    after: tuple[Run, ...] = ()

    @classmethod
    def at(cls, directory: Path) -> "Partition":
        mounted = directory.is_mount()
        remount = ("mount", "-o")
        return cls(
            directory,
            (Run((*remount, "remount,rw", str(directory))),) if mounted else (),
            (Run((*remount, "remount,ro", str(directory))),) if mounted else (),
        )

    def texts(self) -> tuple[dict[str, str], list[Note]]:
        """The files that are there; one that is no text is a fault."""
        found: dict[str, str] = {}
        notes: list[Note] = []
        for name in FILES:
            try:
                found[name] = _text(self.directory / name)
            except FileNotFoundError:
                continue
            except OSError as error:
                hint = "write it anew"
                notes.append(Note(f"cannot be read: {error.strerror}", file=name, hint=hint, kind="fault"))
            except ValueError as error:
                hint = f"plain text, as UTF-8, of at most {LONGEST // 1024} KiB"
                notes.append(Note(str(error), file=name, hint=hint, kind="fault"))
        return found, notes if SETTINGS in found else [*notes, *self._misnamed()]

    def _misnamed(self) -> list[Note]:
        """What an editor or a browser made of the name, where an ending is not shown."""
        try:
            names = sorted(path.name for path in self.directory.iterdir())
        except OSError:
            return []
        return [
            Note("is not read under this name", file=name, hint=f"name it {SETTINGS}", kind="fault")
            for name in names
            if name.lower() not in FILES and _NEARLY.fullmatch(name)
        ]


def _text(path: Path) -> str:
    """Raise OSError where it cannot be read, ValueError where it is no text of ours."""
    with path.open("rb") as file:
        data = file.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise ValueError("is too long")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("is not text") from error


def provision(partition: Partition, effects: Effects, now: datetime, salt: str) -> Outcome:
    """Take over what the partition says, if it says anything new. Nothing is raised for what it holds."""
    texts, unreadable = partition.texts()
    outcome = Outcome(notes=unreadable)
    known = remembered(effects)
    fresh = {name: text for name, text in texts.items() if known.get(name) != digest(text)}
    if fresh or unreadable:
        outcome.asked = True
        drafts = read(texts)
        held = _take_over(drafts, effects, outcome, salt)
        _finish(partition, effects, texts, held, outcome, now)
    else:
        _name(System(), effects, outcome)
    _set_country(effects)
    outcome.undone = effects.failures
    return outcome


def read(texts: Mapping[str, str]) -> list[Draft]:
    """A draft of each file, notes told with its name."""
    drafts = cloud_init.parse(texts)
    for name in (CUSTOM, SETTINGS):
        if texts.get(name, "").strip():
            drafts.append(understand(texts[name]).in_file(name))
    return drafts


def digest(text: str) -> str:
    """By which a file is known again; of a text that holds no secret any more."""
    return hashlib.sha256(text.encode()).hexdigest()


def remembered(effects: Effects) -> dict[str, str]:
    """The digests of the files as they were left."""
    try:
        known = json.loads(effects.place(REMEMBERED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}


def _take_over(drafts: list[Draft], effects: Effects, outcome: Outcome, salt: str) -> list[str]:
    """Carry out what can be, and return the secrets that are in force now, or gave way to one that is."""
    held: list[str] = []
    drafts = [without_unknown_zone(draft, effects.root) for draft in drafts]
    for draft in drafts:
        outcome.notes += draft.notes
    taken = _settings(drafts, effects, outcome, salt) if any(draft.tree for draft in drafts) else []
    held += taken or []
    system = card.system_of(drafts)
    for group in groups(system, Layout.of(effects.root)):
        try:
            effects.carry_out(group.actions)
        except ApplianceError as error:
            outcome.notes.append(Note(error.message, hint=error.hint, kind="fault"))
        else:
            outcome.taken.append(
                _from(group.what, card.files_behind(drafts, group.says, last=group.last), drafts)
            )
            held += group.secrets
    _name(system, effects, outcome)
    notes, secrets = card.gave_way(drafts)
    outcome.notes += notes
    return held if taken is None else held + secrets


def _from(what: str, files: Collection[str], drafts: Collection[Draft]) -> str:
    """With the files that it is from, where there are several."""
    return f"{what} ({' and '.join(files)})" if files and len(drafts) > 1 else what


def _settings(drafts: list[Draft], effects: Effects, outcome: Outcome, salt: str) -> list[str] | None:
    """The secrets that are in force now; None where the settings could not be put in force."""
    where = Place.here(effects.root)
    try:
        before = settings.read_before(effects.place(where.settings))
    except ApplianceError as error:
        outcome.notes.append(Note(error.message, hint="it was written anew", kind="left"))
        before = {}
    lines = card.Lines(drafts)
    together = Draft(card.settings_of(drafts), lines=lines.numbers)
    settings.recall(together.tree, before, effects)
    checked = settings.check(together, effects.root)
    for note in checked.notes:
        file, line = lines.place(note.line, _file_of(note, drafts))
        outcome.notes.append(replace(note, file=file, line=line))
    if not checked.tree:
        return None
    tree = settings.overlay(before, settings.completed(checked.tree, before))
    try:
        effects.carry_out(settings.plan(tree, where, salt))
        settings.forget_outdated(effects, where)
    except ApplianceError as error:
        outcome.notes.append(Note(error.message, hint="see whether the data partition is full", kind="fault"))
        return None
    outcome.taken += _in_words(checked.tree, drafts)
    return secrets_in(checked.tree, is_secret)


def _file_of(note: Note, drafts: list[Draft]) -> str:
    return next(iter(card.files_of(drafts, note.key.partition(".")[0])), SETTINGS)


_WORDS: Final[Mapping[str, str]] = {
    "device": "its name",
    "providers": "the keys of providers",
    "contacts": "the contacts",
    "agents": "the agents",
}


def _in_words(tree: Tree, drafts: list[Draft]) -> list[str]:
    sip = tree.get("sip", {})
    account = {"sip": "the SIP account"} if sip.get("server") or sip.get("accounts") else {}
    words = {**_WORDS, **account}
    return [
        _from(words.get(section, f"the settings of {section}"), card.files_of(drafts, section), drafts)
        for section in tree
    ]


def _name(system: System, effects: Effects, outcome: Outcome) -> None:
    """The name that was given, the one it has, or one of its own."""
    name = system.host_name
    if not name:
        try:
            name = effects.place(PurePosixPath("/etc/hostname")).read_text(encoding="utf-8").strip()
        except OSError:
            name = ""
        own = identity.own_name(identity.hardware_address(effects.root)) if name in identity.ANONYMOUS else ""
        if own:
            _try(effects, host_name_actions(own), outcome)
            name = own
    outcome.host_name = name
    _announce(effects, outcome)


def _announce(effects: Effects, outcome: Outcome) -> None:
    sound = load(environ={}, root=effects.root).sound
    if sound is None:
        return
    actions = identity.announcement(
        exposed=not is_loopback(sound.control.bind),
        port=sound.control.port,
        tls=bool(sound.control.tls_certificate),
        version=version("handset"),
        address=identity.hardware_address(effects.root),
    )
    _try(effects, actions, outcome)


def _try(effects: Effects, actions: list[Action], outcome: Outcome) -> None:
    """What is not worth a word aloud when it fails."""
    try:
        effects.carry_out(actions)
    except ApplianceError as error:
        outcome.notes.append(Note(error.message))


def _set_country(effects: Effects) -> None:
    """The radio forgets it at each start."""
    path = effects.place(COUNTRY)
    if path.is_file():
        country = path.read_text(encoding="ascii", errors="replace").strip()
        effects.carry_out([Run(("iw", "reg", "set", country))])


def _finish(
    partition: Partition,
    effects: Effects,
    texts: Mapping[str, str],
    held: list[str],
    outcome: Outcome,
    now: datetime,
) -> None:
    """Scrub, remember, tell: in this order, so that a power cut on the way has it done again."""
    effects.carry_out(partition.before)
    left = {name: without_secrets(name, text, held, outcome) for name, text in texts.items()}
    for name, text in left.items():
        if text != texts[name]:
            try:
                overwrite(partition.directory / name, text)
            except OSError as error:
                hint = "take the secrets out of it by hand"
                outcome.notes.append(
                    Note(f"still holds its secrets: {error.strerror}", file=name, hint=hint, kind="fault")
                )
                left[name] = texts[name]
    tell_on(partition.directory / RESULT, outcome, now)
    effects.carry_out(partition.after)
    digests = {name: digest(text) for name, text in left.items()}
    remember: list[Action] = [
        WriteFile(REMEMBERED, json.dumps(digests, indent=1) + "\n", 0o600),
        WriteFile(TOLD, json.dumps(told(outcome, now)) + "\n"),
    ]
    _try(effects, remember, outcome)


def without_secrets(name: str, text: str, held: Collection[str], outcome: Outcome) -> str:
    """`text` as it may lie on the card: what was understood before must not be understood from it any more."""
    places, starts = _secret_places(name, text, held)
    left = scrubbed(text, held, places)
    if not _secret_places(name, left, held)[0]:
        return left
    # Written in a way of its own, as over several lines: these go, up to where the next key stands.
    count = len(text.splitlines())
    ends = {place: min((start for start in starts if start > place), default=count + 1) for place in places}
    left = blanked(left, {line for place, end in ends.items() for line in range(place, end)})
    if not _secret_places(name, left, held)[0]:
        return left
    outcome.notes.append(Note("was overwritten as a whole, for the sake of a secret in it", file=name))
    return blanked(text, range(1, count + 1))


def _secret_places(name: str, text: str, held: Collection[str]) -> tuple[set[int], set[int]]:
    """The lines of secrets in `held`, 0 where one is not known; and all lines at which something begins."""
    places: set[int] = set()
    starts: set[int] = set()
    for draft in read({name: text}):
        starts |= set(draft.lines.values())
        places |= {
            nearest_line(draft.lines, ".".join(path))
            for path, value in leaves(draft.tree)
            if is_secret(path[-1]) and value in held
        }
        places |= {0 for secret in draft.system.secrets() if secret in held}
    return places, starts


def tell_on(path: Path, outcome: Outcome, now: datetime) -> None:
    """The result, for whoever puts the card into a computer; a partition that takes no file is no reason to stop."""
    text = "\r\n".join(report(outcome, now)) + "\r\n"
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        outcome.notes.append(Note(f"{path.name} cannot be written: {error.strerror}"))
