"""The skills: what people say, which tool does it, what is answered. One YAML file each, read once.

The same sentence templates (hassil's notation) make the recogniser's grammar (`grammar.py`) and the parser
(`parser.py`), so the
two never disagree. `call` names a tool's function; `local` names an answer that needs no tool.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that a person may want.

    `sentences` are spoken or typed, `typed` are typed only. `confirm` is asked before the tool runs,
    `answer` is said after it.
    `missing` is an argument that `question` asks for, and an intent with `reply_to` is understood only as
    the reply to such a
    question. One that is `last` is understood only where nothing else is.
    """

    name: str
    sentences: Sequence[str] = ()
    typed: Sequence[str] = ()
    call: str = ""
    local: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""
    confirm: str = ""
    missing: str = ""
    question: str = ""
    reply_to: str = ""
    help: str = ""
    last: bool = False


@dataclass(frozen=True, slots=True)
class Understood:
    """An intent, and what was said for its lists, by list name."""

    intent: Intent
    slots: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Skills:
    """All skills together; `lead` and `tail` are what politeness puts around any sentence."""

    intents: Mapping[str, Intent]
    lists: Mapping[str, Mapping[str, Any]]
    rules: Mapping[str, str]
    lead: str
    tail: str
    typed_lead: str
    typed_tail: str

    def offered(self, functions: Iterable[str]) -> list[Intent]:
        """The intents that need no tool, or one of `functions`."""
        available = set(functions)
        return [intent for intent in self.intents.values() if not intent.call or intent.call in available]


@cache
def load_skills() -> Skills:
    """Read the skill files that are shipped beside this module."""
    import yaml  # here: an idle appliance does without it

    # The C loader takes a tenth of the time; it is as safe as the other.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    intents: dict[str, Intent] = {}
    lists: dict[str, Mapping[str, Any]] = {}
    rules: dict[str, str] = {}
    around = dict.fromkeys(("lead", "tail", "typed_lead", "typed_tail"), "")
    folder = resources.files(__package__) / "skills"
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        document = yaml.load(entry.read_text("utf-8"), Loader=loader)  # noqa: S506
        lists |= document.get("lists", {})
        rules |= document.get("rules", {})
        around |= {key: document[key] for key in around if key in document}
        intents |= {name: Intent(name=name, **body) for name, body in document.get("intents", {}).items()}
    return Skills(intents=intents, lists=lists, rules=rules, **around)
