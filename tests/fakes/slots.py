"""Two systems on one card, in virtual time: RAUC, the boot loader's counters, and a machine that starts anew."""

from dataclasses import replace
from pathlib import Path

from appliance.errors import ReleaseRefused
from provisioning.release.gate import Reading
from provisioning.slots.trial import SlotPlaces, Slots
from tests.fakes.release_service import WELL

TRIES = 3


class FakeBoard:
    """Implements provisioning.slots.update.Loader and provisioning.release.update.Service.

    `systems` says how each slot's system behaves: well; dead (does not start); deaf; mute_sip; no_provider; refuses
    (the configuration). `power_on` does what the boot loader's script does.
    """

    def __init__(self, directory: Path) -> None:
        self.places = SlotPlaces(
            directory, directory / "cmdline", directory / "boot_id", directory / "os-release"
        )
        self.systems = {"A": "well", "B": "empty"}
        self.versions = {"A": "1", "B": ""}
        self.order = ["A", "B"]
        self.left = {"A": TRIES, "B": 0}
        self.slot = ""
        self.boots = 0
        self.restarts = 0
        self.time = 1000.0
        self.calls_until = 0.0
        self.failing: tuple[str, ...] = ()
        self.doctor: tuple[str, ...] = ()
        self.power_on()

    def power_on(self) -> str:
        """The slot that runs then."""
        while True:
            for slot in self.order:
                while self.left[slot] > 0:
                    self.left[slot] -= 1
                    if self.systems[slot] not in ("dead", "empty"):
                        return self._run(slot)
            self.left = {"A": TRIES, "B": TRIES}

    def _run(self, slot: str) -> str:
        self.slot, self.boots = slot, self.boots + 1
        self.places.command_line.write_text(f"ro root=PARTUUID=x rauc.slot={slot} quiet\n")
        self.places.boot_id.write_text(f"boot-{self.boots}\n")
        self.places.os_release.write_text(f'ID=debian\nIMAGE_VERSION="{self.versions[slot]}"\n')
        return slot

    def write(self, version: str, behaviour: str) -> None:
        """What RAUC does between its handlers."""
        slot = "B" if self.slot == "A" else "A"
        self.systems[slot], self.versions[slot] = behaviour, version
        self.first(slot)

    def slots(self) -> Slots:
        return Slots(self.places)

    def good(self) -> None:
        self.left[self.slot] = TRIES

    def bad(self) -> None:
        self.left[self.slot] = 0
        self.order = [slot for slot in self.order if slot != self.slot]

    def first(self, slot: str) -> None:
        if self.systems[slot] == "empty":
            raise ReleaseRefused("nothing is there")
        self.order = [slot, *(name for name in self.order if name != slot)]
        self.left[slot] = TRIES

    def reading(self) -> Reading:
        now = replace(WELL, busy=self.time < self.calls_until, failing=frozenset(self.failing))
        now = replace(now, ready=not self.failing)
        match self.systems[self.slot]:
            case "deaf":
                return replace(now, stale=frozenset({"capture"}))
            case "mute_sip":
                reasons = ("sip: the registrar refuses",)
                return replace(now, ready=False, failing=now.failing | {"sip"}, reasons=reasons)
            case "refuses":
                return Reading(active=False, refused=True)
        return now

    def failures(self, release: Path) -> list[str]:
        return [*self.doctor, *(["provider openai"] if self.systems[self.slot] == "no_provider" else [])]

    def rejects(self, release: Path) -> str:
        return ""

    def restart(self) -> None:
        self.restarts += 1
        self.calls_until = 0.0
        self.power_on()

    def now(self) -> float:
        return self.time

    def steady(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
