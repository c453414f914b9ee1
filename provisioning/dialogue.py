"""Asking for what is missing: name, network, SIP account, provider's key."""

import getpass
from collections.abc import Mapping
from typing import Any, Final, Protocol

from provisioning import baresip
from provisioning.draft import Draft, merged
from provisioning.system import System, Wifi, sieve

_TRIES: Final = 3
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


def ask_all(asker: Asker, configuration: Any) -> Draft:
    """The draft that the answers make; Enter skips what is not wanted, or there already."""
    draft = Draft(source="your answers")
    asker.tell("Enter keeps what stands in brackets, or leaves a thing as it is.")
    name = configuration.device.name if configuration else "handset"
    if (answer := asker.ask("What is the appliance to be called?", name)) != name:
        draft.put("device.name", answer)
    _network(asker, draft)
    _account(asker, draft, configuration)
    _provider(asker, draft, configuration)
    return draft


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


def _account(asker: Asker, draft: Draft, configuration: Any) -> None:
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
    draft.put("sip.server", text)
    draft.put("sip.user", asker.ask("Extension or user"))
    if login := asker.ask("Name to log in with, where it is another (Enter: the same)"):
        draft.put("sip.auth_user", login)
    draft.put("sip.password", asker.ask_secret("Password"))
    draft.put("sip.transport", asker.ask("Transport: udp, tcp or tls", "udp").lower())


def _provider(asker: Asker, draft: Draft, configuration: Any) -> None:
    for name, what in PROVIDERS.items():
        asker.tell(f"  {name}: {what}")
    there = next((name for name in (configuration.conversation.providers if configuration else ())), "none")
    there = there if there in PROVIDERS else "none"
    name = asker.ask("Who answers?", there).lower()
    if name == "none":
        if there != "none":
            draft.put("conversation.providers", ["offline"])
        return
    if key := asker.ask_secret(f"Key of {PROVIDERS.get(name, name)} (Enter: as it is)"):
        draft.put(f"providers.{name}.api_key", key)
    if name != there:
        draft.put("conversation.providers", [name, "offline"])
