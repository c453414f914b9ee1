"""How a verb of the command line is declared: its help with an example, and the options that many share."""

import argparse
import difflib
import sys
from typing import Any, Final, NoReturn

DONE: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
NOT_RUNNING: Final = 3
REFUSED: Final = 4

_CODES: Final = "Exit codes: 0 done, 1 failed, 2 wrong use, 3 no daemon answers, 4 refused."


class Parser(argparse.ArgumentParser):
    """Says "did you mean" where a verb or a choice is unknown."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(WRONG_USE, f"{self.prog}: {message}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            close = difflib.get_close_matches(str(value), choices, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(choices)}"
            raise argparse.ArgumentError(action, f"there is no {value!r}; {hint}")


def verb(verbs: Any, name: str, target: str, what: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", epilog=f"example: {example}"
    )
    parser.set_defaults(target=target)
    return parser


def with_config(parser: argparse.ArgumentParser, *, json: bool = False) -> argparse.ArgumentParser:
    parser.add_argument("--config", metavar="F", help="a TOML file that stands in for those of the system")
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def remote(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    with_config(parser, json=True)
    parser.add_argument("--address", metavar="HOST:PORT", help="the control API (or HANDSET_ADDRESS)")
    parser.add_argument("--token", metavar="T", help="the control token (better: HANDSET_TOKEN)")
    parser.description = f"{parser.description} {_CODES}"
    return parser


def filled(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text
