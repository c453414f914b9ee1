"""The command `handset`: the tree of verbs, and what their endings mean to a shell.

A verb's code is imported when it is called, so that `handset status` does not load a speech engine.
"""

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from appliance.commands.call_verbs import call_verbs
from appliance.commands.keeping_verbs import keeping_verbs
from appliance.commands.parser import (
    DONE,
    FAILED,
    NOT_RUNNING,
    REFUSED,
    WRONG_USE,
    Parser,
    filled,
    remote,
    verb,
    with_config,
)
from appliance.errors import (
    ApplianceError,
    ConfigurationInvalid,
    Forbidden,
    LineBusy,
    NotRunning,
    RequestInvalid,
    UnknownName,
)
from appliance.loading import kept, without_threads

_WRONG: Final = frozenset({"request_invalid", "unknown_command"})
_REFUSED: Final = frozenset({"forbidden", "line_busy"})


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        version(argparse.Namespace())
        parser.exit(DONE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code is contract: 0 done, 1 failed, 2 wrong use, 3 not running, 4 refused."""
    parser = build()
    try:
        args = parser.parse_args(argv)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else WRONG_USE
    try:
        return _call(args)
    except ApplianceError as error:
        hint = hint_of(error, args)
        print(f"handset: {error.message}" + (f"\n  {hint}" if hint else ""), file=sys.stderr)
        return exit_code(error)
    except TimeoutError:
        print("handset: the daemon did not answer in time\n  see its log", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # Whoever read us has gone; the interpreter must not complain about it while it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return FAILED


def hint_of(error: ApplianceError, args: argparse.Namespace) -> str:
    """What to run has to look at the same file."""
    config: str | None = getattr(args, "config", None)
    if config and error.hint == ConfigurationInvalid.default_hint:
        return f"{error.hint} --config {shlex.quote(config)}"
    return error.hint


def exit_code(error: ApplianceError) -> int:
    """What an error means to a shell."""
    code = getattr(error, "refusal", error.code)
    if isinstance(error, NotRunning):
        return NOT_RUNNING
    if isinstance(error, Forbidden | LineBusy) or code in _REFUSED:
        return REFUSED
    if isinstance(error, ConfigurationInvalid) or code in _WRONG:
        return WRONG_USE
    wrong = isinstance(error, RequestInvalid) and not isinstance(error, UnknownName)
    return WRONG_USE if wrong else FAILED


def build() -> argparse.ArgumentParser:
    """The whole tree."""
    parser = Parser(
        prog="handset",
        description="A voice-agent appliance: a kiosk that people talk to and a desk phone that people dial.",
        epilog="example: handset run",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    verbs = parser.add_subparsers(metavar="VERB", required=True, dest="verb", parser_class=Parser)
    _daemon_verbs(verbs)
    _audio_verbs(verbs)
    _client_verbs(verbs)
    call_verbs(verbs)
    keeping_verbs(verbs)
    verb(verbs, "version", "appliance.cli:version", "print the version", "handset version")
    return parser


def version(_: argparse.Namespace) -> int:
    """Print the version of the installed distribution."""
    from importlib.metadata import version as installed

    print(f"handset {installed('handset')}")
    return DONE


def _call(args: argparse.Namespace) -> int:
    module, _, name = args.target.partition(":")
    without_threads()
    with kept():
        function: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), name)
    return function(args)


def _daemon_verbs(verbs: Any) -> None:
    with_config(
        verb(verbs, "run", "appliance.process:run", "run the daemon in the foreground", "handset run")
    )
    check = verb(
        verbs,
        "check",
        "appliance.config.check:check",
        "validate the configuration",
        "handset check --config my.toml",
    )
    with_config(check, json=True)
    show = verb(
        verbs,
        "config",
        "appliance.config.check:show",
        "print the configuration in force, secrets masked, each value with its origin",
        "handset config | grep sip",
    )
    with_config(show)
    _talk_verb(verbs)
    doctor = verb(
        verbs,
        "doctor",
        "appliance.doctor:doctor",
        "check the box and say what to do",
        "handset doctor --json",
    )
    with_config(doctor, json=True)


def _talk_verb(verbs: Any) -> None:
    talk = verb(
        verbs,
        "talk",
        "appliance.talk:talk",
        "hold one conversation without devices: one WAV file is the microphone, another the speaker",
        "handset talk --in question.wav --out answer.wav",
    )
    talk.add_argument("--in", dest="input", metavar="A.wav", required=True, help="what the microphone hears")
    talk.add_argument(
        "--out", dest="output", metavar="B.wav", required=True, help="where the speaker's sound goes"
    )
    talk.add_argument("--provider", metavar="NAME", help="use this provider only")
    with_config(talk, json=True)


def _audio_verbs(verbs: Any) -> None:
    audio = verbs.add_parser(
        "audio", help="list, test and measure the sound devices", epilog="example: handset audio list"
    )
    below = audio.add_subparsers(metavar="WHAT", required=True, dest="what", parser_class=Parser)
    listing = verb(
        below,
        "list",
        "appliance.soundcheck:list_devices",
        "list the devices by stable name",
        "handset audio list",
    )
    with_config(listing, json=True)
    test = verb(
        below,
        "test",
        "appliance.soundcheck:test",
        "play a beep and listen for it",
        "handset audio test --json",
    )
    with_config(test, json=True)
    level = verb(
        below,
        "level",
        "appliance.soundcheck:level",
        "show the microphone's level",
        "handset audio level --seconds 5",
    )
    level.add_argument("--seconds", type=float, metavar="S", help="stop after so long; else at Ctrl-C")
    with_config(level, json=True)
    calibrate = verb(
        below,
        "calibrate",
        "appliance.calibrate:calibrate",
        "measure delay, drift, echo and noise, and choose the duplex mode that follows from them",
        "handset audio calibrate",
    )
    calibrate.add_argument("--no-speech", action="store_true", help="chirps only: no trial with a sentence")
    with_config(calibrate, json=True)


def _client_verbs(verbs: Any) -> None:
    remote(verb(verbs, "status", "appliance.commands.lines:status", "show the state", "handset status"))
    say = verb(verbs, "say", "appliance.commands.lines:say", "say a text", 'handset say "dinner is ready"')
    say.add_argument("text", metavar="TEXT", type=filled)
    _with_line(remote(say))
    ask = verb(
        verbs,
        "ask",
        "appliance.commands.ask:ask",
        "print the answer to a question",
        'handset ask "what time is it"',
    )
    ask.add_argument("text", metavar="TEXT", type=filled)
    ask.add_argument("--agent", metavar="NAME", default="", help="who answers")
    ask.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds to wait (60)")
    ask.add_argument("--yes", action="store_true", help='say "yes" to what it asks back, as before a call')
    remote(ask)
    mute = verb(
        verbs, "mute", "appliance.commands.lines:mute", "switch the microphone off or on", "handset mute on"
    )
    mute.add_argument("state", choices=("on", "off"))
    _with_line(remote(mute))
    volume = verb(verbs, "volume", "appliance.commands.lines:volume", "set the volume", "handset volume 60")
    volume.add_argument("level", type=_level, metavar="N", help="0 to 100")
    _with_line(remote(volume))
    tail = verb(
        verbs,
        "tail",
        "appliance.commands.tail:tail",
        "print what happens",
        "handset tail --topics call.,transcript",
    )
    tail.add_argument("--topics", metavar="LIST", default="", help="prefixes of event names, with commas")
    remote(tail)


def _with_line(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--line", default="room", metavar="LINE", help="which line (room)")


def _level(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 100")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
