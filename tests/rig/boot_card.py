"""A machine's tree and its boot partition in directories, for the first boot to work on."""

import os
from datetime import UTC, datetime
from pathlib import Path

from appliance.config.load import load
from appliance.config.schema import Configuration
from appliance.errors import NotPossible
from provisioning.actions import Run
from provisioning.effects import Effects
from provisioning.first_boot import Partition, provision
from provisioning.outcome import Outcome

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Programs:
    """Keeps what was to be run; those named in `missing` fail."""

    def __init__(self, *missing: str) -> None:
        self.ran: list[Run] = []
        self.missing = missing

    def __call__(self, run: Run) -> None:
        self.ran.append(run)
        if run.command[0] in self.missing:
            raise NotPossible(f"there is no program {run.command[0]}")


class Card:
    """A machine's tree and its boot partition, in directories."""

    def __init__(self, directory: Path, *missing: str) -> None:
        self.root, self.boot = directory / "root", directory / "boot"
        interface = self.root / "sys/class/net/eth0"
        interface.mkdir(parents=True)
        (interface / "address").write_text("b8:27:eb:12:3f:2a\n")
        (self.root / "etc").mkdir()
        (self.root / "etc/hostname").write_text("handset\n")
        self.boot.mkdir()
        self.programs = Programs(*missing)

    def put(self, **files: str) -> "Card":
        for name, text in files.items():
            (
                self.boot
                / {"settings": "handset.toml", "custom": "custom.toml"}.get(name, name.replace("_", "-"))
            ).write_text(text)
        return self

    def start(self) -> Outcome:
        self.programs.ran.clear()
        effects = Effects(self.root, self.programs)
        return provision(Partition(self.boot), effects, NOW, os.urandom(4).hex())

    @property
    def configuration(self) -> Configuration:
        sound = load(environ={}, root=self.root).sound
        assert sound
        return sound

    def on_the_card(self) -> str:
        return "".join(path.read_text() for path in sorted(self.boot.iterdir()))

    def sip_password(self) -> str:
        reference = self.configuration.sip.password.get_secret_value()
        return (self.root / reference.removeprefix("file:/")).read_text().strip()
