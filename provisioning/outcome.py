"""What came of the files on the boot partition: told in a file, in JSON, and in a sentence to be spoken. Pure."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from provisioning.draft import Note


@dataclass(slots=True)
class Outcome:
    """`taken` names in words what was carried out, `notes` the rest; `host_name` is the appliance's name now."""

    taken: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    host_name: str = ""
    undone: list[str] = field(default_factory=list)
    """Programs that failed and are not needed: for the log."""
    asked: bool = False
    """Whether there was anything new to do."""

    @property
    def faults(self) -> list[Note]:
        return [note for note in self.notes if note.kind == "fault"]


def report(outcome: Outcome, now: datetime) -> list[str]:
    """Lines for people: what was taken over, what is wrong and what to do, and how to reach the appliance."""
    faults = [f"  {note}" for note in outcome.faults]
    left = [f"  {note}" for note in outcome.notes if note.kind == "left"]
    return [
        f"Handset read this card on {now:%Y-%m-%d at %H:%M} UTC (by its own clock).",
        "",
        f"Taken over: {', '.join(outcome.taken) or 'nothing'}.",
        *(["", "Wrong, and not taken over:", *faults] if faults else []),
        *(["", "Left as it is:", *left] if left else []),
        "",
        f"Its name on the network is {outcome.host_name}.local."
        if outcome.host_name
        else "It has no name yet.",
        "Passwords and keys that were taken over are # signs now. Correct what is wrong, and start it again.",
    ]


_MORE: Final = "The file handset result on the card says more."


def sentence(outcome: Outcome) -> str:
    """What is said aloud: no more than somebody can keep in mind."""
    count = len(outcome.faults)
    if not count:
        return f"I am set up. My name on the network is {outcome.host_name or 'not known'}."
    first = outcome.faults[0]
    where = " ".join(
        filter(None, [f"line {first.line}" if first.line else "", f"of {first.file}" if first.file else ""])
    )
    many = "One thing is" if count == 1 else f"{count} things are"
    took = "The rest is in force." if outcome.taken else "Nothing was taken over."
    place = f", first in {where}" if where else ""
    return f"{many} wrong with the settings on my card{place}. {took} {_MORE}"


def told(outcome: Outcome, now: datetime) -> dict[str, Any]:
    """What the daemon is told: `at` in Unix seconds, `ok`, the sentence, the faults with file, line, message, hint."""
    faults = [
        {
            key: value
            for key, value in asdict(note).items()
            if key in ("file", "line", "key", "message", "hint")
        }
        for note in outcome.faults
    ]
    return {"at": now.timestamp(), "ok": not faults, "sentence": sentence(outcome), "faults": faults}
