"""Asking for what is missing: name, network, SIP account, provider's key."""

import getpass
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from provisioning import baresip
from provisioning.draft import Draft, Note, merged
from provisioning.system import System, Wifi, sieve

_TRIES: Final = 3
_UNASKED: Final = {"sip": {"password": "?"}}
"""An account without a password is not looked at: that comes last."""
PROVIDERS: Final[Mapping[str, str]] = {
    "openai": "OpenAI Realtime",
    "gemini": "Gemini Live",
    "none": "none: the device alone, without the cloud",
}


class Asker(Protocol):
    """Whoever answers."""

    def ask(self, question: str, default: str = "") -> str:
        """One line, without white space around it; `default` where nothing was said."""
        ...

    def ask_secret(self, question: str) -> str:
        """Likewise, unseen."""
        ...

    def tell(self, text: str) -> None:
        """Show a line."""
        ...


class Terminal:
    """Somebody at a keyboard, also over SSH."""

    def ask(self, question: str, default: str = "") -> str:
        shown = f"{question} [{default}]: " if default else f"{question}: "
        return input(shown).strip() or default

    def ask_secret(self, question: str) -> str:
        return getpass.getpass(f"{question} (not shown): ").strip()

    def tell(self, text: str) -> None:
        print(text)


Answer = TypeVar("Answer", str, list[str])
Judge = Callable[[Draft], list[Note]]
"""What `handset check` would say of a draft."""


def ask_all(asker: Asker, configuration: Any, judge: Judge) -> Draft:
    """The draft that the answers make; Enter skips what is not wanted, or there already.

    What `judge` finds wrong with an answer is told at once, and it is asked for again, three times in all.
    """
    draft = Draft(source="your answers")
    asker.tell("Enter keeps what stands in brackets, or leaves a thing as it is.")
    name = configuration.device.name if configuration else "handset"
    _settle(
        draft,
        "device.name",
        lambda: asker.ask("What is the appliance to be called?", name),
        asker,
        judge,
        name,
    )
    _network(asker, draft)
    _account(asker, draft, configuration, judge)
    _provider(asker, draft, configuration, judge)
    return draft


def _settle(
    draft: Draft,
    key: str,
    ask: Callable[[], Answer],
    asker: Asker,
    judge: Judge,
    present: Answer | None = None,
) -> Answer:
    """Put the answer under `key`, unless it is `present` already. The last one stays, right or wrong."""
    answer = ask()
    for left in range(_TRIES - 1, -1, -1):
        if answer == present:
            return answer
        trial = Draft(tree=merged(_UNASKED, draft.tree))
        trial.put(key, answer)
        if not _faulty(asker, judge(trial), key) or not left:
            break
        answer = ask()
    draft.put(key, answer)
    return answer


def _password(draft: Draft, asker: Asker, judge: Judge) -> None:
    """The account's; none where three answers are empty: the check at the end tells it."""
    for _ in range(_TRIES):
        draft.tree.get("sip", {}).pop("password", None)
        if answer := asker.ask_secret("Password"):
            draft.put("sip.password", answer)
        if not _faulty(asker, judge(draft), "sip.password"):
            return


def _faulty(asker: Asker, notes: list[Note], key: str) -> bool:
    """Whether there is a fault of `key`; it is told."""
    faults = [note for note in notes if note.kind == "fault" and note.key == key]
    # What follows from a fault is none of its own: an answer that was struck out is then missing.
    for note in faults[:1]:
        asker.tell("  " + "; ".join(filter(None, [note.message, note.hint])))
    return bool(faults)


def _network(asker: Asker, draft: Draft) -> None:
    ssid = asker.ask("Wi-Fi network to join (Enter: none)")
    for _ in range(_TRIES if ssid else 0):
        country = asker.ask("Country, two letters (for the radio's rules)", draft.system.country).upper()
        system = System(
            country=country, networks=[Wifi(ssid, asker.ask_secret("Its password, Enter for an open one"))]
        )
        sound, findings = sieve(system)
        if not findings:
            draft.system = sound
            return
        for _, message, hint in findings:
            asker.tell(f"  {message}; {hint}")


def _account(asker: Asker, draft: Draft, configuration: Any, judge: Judge) -> None:
    there = configuration.sip.server if configuration else ""
    text = asker.ask("SIP server, or an account line of baresip (Enter: leave it)", there)
    if not text or text == there:
        return
    if baresip.looks_like(text):
        said = baresip.parse(text)
        draft.tree = merged(draft.tree, said.tree)
        draft.notes += said.notes
        return
    draft.put("sip.enabled", value=True)
    first = iter([text])
    _settle(draft, "sip.server", lambda: next(first, "") or asker.ask("SIP server"), asker, judge)
    _settle(draft, "sip.user", lambda: asker.ask("Extension or user"), asker, judge)
    login = "Name to log in with, where it is another (Enter: the same)"
    _settle(draft, "sip.auth_user", lambda: asker.ask(login), asker, judge, "")
    _password(draft, asker, judge)
    transport = "Transport: udp, tcp or tls"
    _settle(draft, "sip.transport", lambda: asker.ask(transport, "udp").lower(), asker, judge)


def _provider(asker: Asker, draft: Draft, configuration: Any, judge: Judge) -> None:
    for name, what in PROVIDERS.items():
        asker.tell(f"  {name}: {what}")
    there = next((name for name in (configuration.conversation.providers if configuration else ())), "none")
    there = there if there in PROVIDERS else "none"

    def ask() -> list[str]:
        return _ladder(asker.ask("Who answers?", there).lower())

    name = _settle(draft, "conversation.providers", ask, asker, judge, _ladder(there))[0]
    if name == "offline":
        return
    if key := asker.ask_secret(f"Key of {PROVIDERS.get(name, name)} (Enter: as it is)"):
        draft.put(f"providers.{name}.api_key", key)


def _ladder(name: str) -> list[str]:
    return ["offline"] if name in {"none", "offline"} else [name, "offline"]
