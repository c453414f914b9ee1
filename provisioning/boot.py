"""The verb `provision`: the boot partition's settings at a start. Its exit code says whether the system can be set up
at all, not whether the files are sound: that is told on the partition, and aloud."""

import argparse
import secrets
from datetime import UTC, datetime
from pathlib import Path

from provisioning import restore
from provisioning.belongings import Belongings
from provisioning.effects import Effects
from provisioning.first_boot import Partition
from provisioning.first_boot import provision as take_over


def provision(args: argparse.Namespace) -> int:
    """Carry out, and print one line for the log of the service: counts and places, never a setting."""
    root = Path(args.root)
    try:
        if restore.finish(Belongings.here(root)):
            print("a restore that was cut off was made good")
    except OSError as error:
        print(f"not done: a restore that was cut off: {error.strerror}")
    effects = Effects.on(root)
    outcome = take_over(Partition.at(Path(args.boot)), effects, datetime.now(UTC), secrets.token_hex(8))
    name = f"its name is {outcome.host_name}" if outcome.host_name else "it has no name yet"
    if not outcome.asked:
        print(f"nothing new on {args.boot}; {name}")
        return 0
    print(f"{args.boot}: {len(outcome.taken)} taken over, {len(outcome.faults)} faults; {name}")
    for fault in outcome.faults:
        print(f"fault: {fault}")
    for failure in outcome.undone:
        print(f"not done: {failure}")
    return 0
