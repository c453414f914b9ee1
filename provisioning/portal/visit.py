"""The verb `portal`: while there is no network, one of the appliance's own, with the set-up page in it."""

import argparse
import json
import secrets
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from appliance import plugins
from appliance.errors import ApplianceError
from appliance.interfaces.network import Network
from provisioning import identity, settings
from provisioning.actions import Remove, Run, WriteFile
from provisioning.draft import Draft, Note, Tree
from provisioning.effects import Effects
from provisioning.hotspot import Hotspot, Phase, Sayings, Seen, Step
from provisioning.portal.requests import Portal
from provisioning.portal.server import PageServer
from provisioning.settings import Place
from provisioning.setup import put_in_force

TOLD: Final = PurePosixPath("/run/handset-setup.json")
_RESTART: Final = Run(("systemctl", "--no-block", "try-restart", "handset.service"))
"""Without a network there is no call that it could end."""
LOOK_SECONDS: Final = 2.0
LINGER_SECONDS: Final = 3.0
"""The last page is to arrive before its network goes away."""
CLOSE_SECONDS: Final = 60.0
"""How long a network of ours is tried to be closed, before that is given up and told; the next run tries it again."""
_PORT: Final = 80


class Page(Protocol):
    """A page that is being served."""

    def close(self) -> None: ...


Serve = Callable[[tuple[str, int], Portal, Callable[[], None], Callable[[Draft], None]], Page]


def portal(_: argparse.Namespace) -> int:
    """Return once there is a network; the timer of the service looks again."""
    network: Network = plugins.load("appliance.networks", "nmcli")()
    attend(Visit(network, Effects.on(Path("/")), time.monotonic()))
    return 0


def attend(visit: "Visit") -> None:
    """Until there is a network, or SIGTERM or SIGINT comes: also then no network of ours stays open."""
    # SIGINT, too: whoever starts us in the background may have had it ignored.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, signal.default_int_handler)
    try:
        visit.sweep()
        while not visit.step(time.monotonic()):
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        print("told to stop")
    finally:
        visit.close()


class Visit:
    """From the loss of the network to the next one. Not for more than one thread; the page's come in by `_page`."""

    def __init__(
        self, network: Network, effects: Effects, at: float, serve: Serve = PageServer, port: int = _PORT
    ) -> None:
        self._network = network
        self._effects = effects
        self._serve = serve
        self._port = port
        self._hotspot = Hotspot(at)
        self._code = _new_code()
        self._sayings = Sayings()
        self._said_at = 0.0
        """Unix seconds of the invitation that was said last: one that is told with the same is not said again."""
        self._name = identity.own_name(identity.hardware_address(effects.root)) or "handset-setup"
        self._server: Page | None = None
        self._form: Portal | None = None
        self._failure = ""
        self._page = threading.Lock()
        self._used = False
        self._draft: Draft | None = None
        self._leave_at: float | None = None
        self._began = at
        self._close_until: float | None = None
        """While our network is there still, though it should not be."""

    @property
    def server(self) -> Page | None:
        return self._server

    def sweep(self) -> None:
        """A network of ours that an earlier run was killed over goes away: whoever had its password has it still."""
        self._close_network(self._began)

    def step(self, at: float) -> bool:
        """Look, and do what follows; True once there is a network and nothing of ours is open, nor is to be closed."""
        if self._close_until is not None and not self._closed_at_last(at):
            return False
        with self._page:
            draft, self._draft = self._draft, None
            if self._used:
                self._hotspot.used(at)
            self._used = False
        if draft is not None:
            self._take(draft, at)
        if self._leave_at is not None:
            if at < self._leave_at:
                return False
            self._leave_at = None
            self._close(at)
            self._hotspot.submitted(at)
            if self._close_until is not None:
                return False
        try:
            status = self._network.status()
        except ApplianceError as error:
            print(f"no look at the networks: {error.message}")
            return False
        seen = Seen(status.online, status.radio, status.known)
        if seen.online:
            # Whoever heard the one before has no use for it in the next outage.
            self._code, self._sayings = _new_code(), Sayings()
        self._do(self._hotspot.look(seen, at), at)
        return seen.online and self._server is None and self._close_until is None

    def close(self) -> None:
        """Leave no network of ours behind; what is left to be told stays."""
        if self._server is not None:
            self._close(self._began)
        elif self._close_until is not None:
            self._close_network(self._began)

    def _do(self, step: Step, at: float) -> None:
        if step is Step.OPEN:
            self._open(at)
        elif step is Step.REOPEN:
            self._failure = "the network could not be joined: is the password right, and is it in reach?"
            self._open(at, news=True)
        elif step in (Step.CLOSE, Step.DONE):
            self._close(at)
            if step is Step.DONE:
                self._tell(f"I have joined the network. My name there is {self._host_name()}.")

    def _open(self, at: float, *, news: bool = False) -> None:
        try:
            found = self._network.scan()
        except ApplianceError:
            found = ()
        try:
            address = self._network.open_hotspot(self._name, self._code)
            notes = [Note(self._failure, kind="fault")] if self._failure else []
            form = Portal(self._name, address, secrets.token_hex(16), self._check, found, notes)
            self._server = self._serve((address, self._port), form, self._was_used, self._was_taken)
            self._form = form
        except (ApplianceError, OSError) as error:
            print(f"no network of our own: {error}")
            self._hotspot.failed(at)
            self._close(at)
            return
        print(f"open: {self._name}")
        if self._sayings.due(at, news=news):
            self._said_at = time.time()
        self._tell(self._invitation(), waiting=True, at=self._said_at)

    def _close(self, at: float) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._effects.carry_out([Remove(TOLD)])
        self._close_network(at)

    def _close_network(self, at: float) -> None:
        """Until the manager lets it go, whoever heard its password is in it, and no other can be joined."""
        try:
            self._network.close_hotspot()
        except ApplianceError as error:
            if self._close_until is None:
                self._close_until = at + CLOSE_SECONDS
                print(f"our network is not closed yet: {error.message}")
            elif at >= self._close_until:
                self._close_until = None
                print(f"our network could not be closed: {error.message} ({error.hint})")
                self._tell("I could not close the Wi-Fi network that I am set up through.", ok=False)
        else:
            self._close_until = None

    def _closed_at_last(self, at: float) -> bool:
        """Try once more; True where it is done with, well or badly."""
        self._close_network(at)
        if self._close_until is None and self._hotspot.phase is Phase.JOINING:
            self._hotspot.submitted(at)
        return self._close_until is None

    def _was_used(self) -> None:
        with self._page:
            self._used = True

    def _was_taken(self, draft: Draft) -> None:
        with self._page:
            self._draft = draft

    def _check(self, draft: Draft) -> Sequence[Note]:
        settings.recall(draft.tree, self._before(), self._effects)
        return [note for note in settings.check(draft, self._effects.root).notes if note.kind == "fault"]

    def _before(self) -> Tree:
        try:
            return settings.read_before(self._effects.place(Place.here(self._effects.root).settings))
        except ApplianceError:
            return {}

    def _take(self, draft: Draft, at: float) -> None:
        before = self._before()
        tree = settings.check(draft, self._effects.root).tree
        tree = settings.overlay(before, settings.completed(tree, before)) if tree else {}
        try:
            put_in_force(tree, draft, Place.here(self._effects.root), self._effects)
            self._network.reload()
        except ApplianceError as error:
            self._failure = error.message
            if self._form is not None:
                self._form.notes = [Note(error.message, hint=error.hint, kind="fault")]
            sentence = f"What was filled in is not in force: {error.message}. The page is still there."
            self._tell(sentence, waiting=True)
            print(f"not taken: {error.message}")
            return
        self._failure = ""
        if tree:
            self._effects.carry_out([_RESTART])
        print("taken; joining")
        self._leave_at = at + LINGER_SECONDS

    def _invitation(self) -> str:
        spoken = " ".join(self._code)
        name = self._spoken_name()
        lead = "I could not join the network. " if self._failure else "I have no network. "
        return f"{lead}To set me up, join the Wi-Fi network {name}, with the password {spoken}. Then a page opens."

    def _host_name(self) -> str:
        try:
            name = self._effects.place(PurePosixPath("/etc/hostname")).read_text(encoding="utf-8").strip()
        except OSError:
            name = ""
        return self._spoken_name() if name in ("", self._name) else name

    def _spoken_name(self) -> str:
        return f"{self._name.partition('-')[0]} {' '.join(self._name.rpartition('-')[2])}"

    def _tell(
        self, sentence: str, *, ok: bool = True, waiting: bool = False, at: float | None = None
    ) -> None:
        """`waiting`: the page is open, and the light says so. What has the `at` of the one before is not said aloud."""
        told = {
            "at": time.time() if at is None else at,
            "ok": ok and not self._failure,
            "sentence": sentence,
            "faults": [],
            "waiting": waiting,
        }
        with suppress(ApplianceError):
            self._effects.carry_out([WriteFile(TOLD, json.dumps(told) + "\n")])


def _new_code() -> str:
    return f"{secrets.randbelow(10**8):08}"
