"""Which kind of text settings came in, and what it says: TOML, account lines of baresip, files of desk phones. Pure."""

from types import ModuleType
from typing import Final

from appliance.config.load import is_secret
from provisioning import baresip
from provisioning.boot_settings import parse_settings
from provisioning.draft import LONGEST, Draft, drop, leaves, place
from provisioning.phones import cisco, grandstream, polycom, snom, yealink
from provisioning.phones.account import read
from provisioning.phones.lines import NotXml
from provisioning.scrub import is_taken_over

PHONES: Final[tuple[ModuleType, ...]] = (yealink, grandstream, cisco, snom, polycom)
KNOWN: Final = (
    "TOML, account lines of baresip, files of Yealink, Grandstream, Snom, Cisco SPA and Polycom telephones"
)


def understand(text: str, first: str = "") -> Draft:
    """What `text` says, without secrets that were taken over before; nothing is raised: faults are notes in the draft.
    `first` names a telephone's first account.
    """
    draft = _understood(text, first)
    for path, value in list(leaves(draft.tree)):
        if is_taken_over(value):
            drop(draft.tree, list(path))
        elif is_secret(path[-1]) and isinstance(value, int):
            # A PIN without quotes is as secret as one with them.
            place(draft.tree, list(path), str(value))
    return draft


def _understood(text: str, first: str) -> Draft:
    text = text.removeprefix("\ufeff")
    if len(text) > LONGEST:
        return _refused("is too long", f"at most {LONGEST // 1024} KiB")
    if not text.strip():
        return _refused("is empty", f"these are understood: {KNOWN}")
    for maker in PHONES:
        if maker.looks_like(text):
            try:
                return read(maker.givens(text), maker.TABLE, maker.SOURCE, first)
            except NotXml as error:
                return _refused(
                    str(error), "mend this line, or export the file anew", error.line, maker.SOURCE
                )
    if baresip.looks_like(text):
        return baresip.parse(text, first)
    if text.lstrip().startswith("<"):
        return _refused("is XML of a kind that is not known here", f"these are understood: {KNOWN}")
    return parse_settings(text)


def _refused(message: str, hint: str, line: int = 0, source: str = "") -> Draft:
    draft = Draft(source=source)
    draft.fault(message, line=line, hint=hint)
    return draft
