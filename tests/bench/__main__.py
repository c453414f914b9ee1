"""`make bench`: prints one JSON object a figure: {"name", "value", "unit", "goal", "met"}.

python -m tests.bench [PART ...]      parts are the modules of this folder with a `measure()`; all without a name
"""

import importlib
import json
import pkgutil
import sys
import traceback
from pathlib import Path
from typing import Any


def parts() -> list[str]:
    """The modules here that measure something, by name."""
    found = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in found if module.name != "__main__")


def met(figure: dict[str, Any]) -> bool | None:
    """Whether a goal like "<= 23" or ">= 4" holds; None where there is no goal."""
    relation, _, bound = str(figure.get("goal") or "").partition(" ")
    if relation not in ("<=", ">="):
        return None
    value, limit = float(figure["value"]), float(bound)
    return value <= limit if relation == "<=" else value >= limit


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(parts()))
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are: {', '.join(parts())}", file=sys.stderr)
        return 2
    failed = False
    for name in names or parts():
        module = importlib.import_module(f"tests.bench.{name}")
        if not hasattr(module, "measure"):
            continue
        try:
            figures = module.measure()
        except Exception:  # noqa: BLE001 - one part that cannot be measured must not hide the others
            traceback.print_exc()
            failed = True
            continue
        for figure in figures:
            print(json.dumps({"part": name, **figure, "met": met(figure)}), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
