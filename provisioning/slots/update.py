"""An update of the system: what RAUC's handlers do around it, and how the new system is proved after the restart."""

import secrets
from dataclasses import replace
from typing import Final, Protocol

from appliance.errors import ReleaseRefused
from provisioning.release.gate import Gate, Reading, Verdict, new_failures
from provisioning.release.places import Places
from provisioning.release.quiet import LATEST_SECONDS, LOOK_SECONDS, quiet
from provisioning.release.trial import Outcome, Report
from provisioning.release.update import HANG_UP_SECONDS, PATIENCE_SECONDS, Service
from provisioning.slots.trial import STOPPED, Duty, Slots, SlotTrial, Tell, duty, fell_back, gave_up, other

_LENIENT: Final = Reading(active=True)


class Loader(Protocol):
    """The boot loader's choice, through RAUC; blocks. Raise ReleaseRefused where RAUC does not do it."""

    def good(self) -> None:
        """The slot that runs has its tries back."""
        ...

    def bad(self) -> None:
        """The slot that runs is not started again by itself."""
        ...

    def first(self, slot: str) -> None:
        """That slot is started first from now on."""
        ...

    def restart(self) -> None:
        """Have the machine start anew: returns at once."""
        ...


class SystemUpdate:
    """Each method is one moment of an update; `tell` gets each step in words."""

    def __init__(
        self, slots: Slots, service: Service, loader: Loader, tell: Tell, places: Places | None = None
    ) -> None:
        self._slots = slots
        self._service = service
        self._loader = loader
        self._tell = tell
        self._places = places or Places()

    def prepare(self, version: str, patience: float = PATIENCE_SECONDS) -> None:
        """Before RAUC writes: nobody calls, and what works is written down. Raise ReleaseRefused to forbid it."""
        slot = self._slots.slot
        if not slot:
            raise ReleaseRefused("this system was not started from a slot", hint="docs/image.md")
        trial = self._slots.trial()
        if trial is not None and trial.slot == slot:
            raise ReleaseRefused(
                "the system that runs has not proved itself yet", hint="try again in a minute"
            )
        before = quiet(self._service, patience)
        if before.busy:
            raise ReleaseRefused(
                "a call or a conversation went on all the time", hint="try again when it is over"
            )
        failing = self._service.failures(self._places.current.resolve())
        self._slots.begin(
            SlotTrial(
                secrets.token_hex(6),
                other(slot),
                version,
                self._slots.version,
                self._slots.boot,
                before.ready,
                tuple(sorted(before.failing)),
                tuple(failing),
            )
        )

    def installed(self) -> None:
        """After RAUC wrote the slot: it is to be tried."""
        if self._slots.change(installed=True) is None:
            raise ReleaseRefused("it is not known what was installed")

    def restart(self) -> None:
        """Into the slot that was written, as soon as nobody calls or talks; after a day in any case."""
        quiet(self._service, LATEST_SECONDS)
        self._tell("restarting into the new system")
        self._loader.restart()

    def start(self) -> Report | None:
        """After each start of the system: what is due for its slot. The report of an update that ended with it."""
        trial = self._slots.trial()
        due = duty(trial, self._slots.slot, self._slots.boot)
        if due is Duty.PROVE and trial is not None:
            return self._prove(trial)
        if due is Duty.TELL and trial is not None:
            self._loader.first(self._slots.slot)
            report = self._slots.end(fell_back(trial, self._service.now()))
            self._tell(f"system {trial.version} was taken back: {report.reason}")
            self._keep()
            return report
        last = self._slots.report()
        if last is not None and due is Duty.KEEP and gave_up(last, self._slots.version):
            self._loader.first(self._slots.slot)
            now = self._service.now()
            lost = Report(
                f"lost-{now:.0f}", Outcome.STEPPED_BACK, last.version, last.from_version, STOPPED, now
            )
            self._keep()
            return self._slots.end(lost)
        self._keep()
        return None

    def _prove(self, trial: SlotTrial) -> Report | None:
        """The new system is kept when it is as well as the one before for half a minute, and nobody calls."""
        reason = self._watch(trial)
        if not reason:
            self._loader.good()
            self._tell(f"system {trial.version} is good")
            report = Report(
                trial.id, Outcome.UPDATED, trial.version, trial.from_version, "", self._service.now()
            )
            return self._slots.end(report)
        self._tell(f"system {trial.version} is taken back: {reason}")
        self._slots.change(reason=reason)
        self._loader.bad()
        self._loader.first(other(trial.slot))
        if self._service.reading().answers:
            quiet(self._service, HANG_UP_SECONDS)
        self._loader.restart()
        return None

    def _watch(self, trial: SlotTrial) -> str:
        """Why the system is bad; empty when it is good."""
        gate = Gate(trial.before, self._service.steady())
        while True:
            now = self._service.reading()
            verdict = gate.look(now, self._service.steady())
            if verdict is Verdict.BAD:
                return gate.reason
            if verdict is Verdict.GOOD and not now.busy:
                failing = self._service.failures(self._places.current.resolve())
                trouble = new_failures(trial.doctor, failing)
                if not trouble:
                    return ""
                gate.again(f"handset doctor: {trouble}")
            self._service.sleep(LOOK_SECONDS)

    def _keep(self) -> None:
        """A system that proved itself once gets its tries back when its daemon lives, whatever the network does.

        Nor is it to blame for a configuration that the daemon refuses.
        """
        gate = Gate(_LENIENT, self._service.steady())
        while True:
            now = self._service.reading()
            alive = replace(now, failing=frozenset(), ready=True, restarts=0, process=0)
            verdict = gate.look(alive, self._service.steady())
            if now.refused or verdict is Verdict.GOOD:
                self._loader.good()
                return
            if verdict is Verdict.BAD:
                self._tell(f"this start does not count as a good one: {gate.reason}")
                return
            self._service.sleep(LOOK_SECONDS)
