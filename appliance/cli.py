"""The command `handset`: the tree of verbs, and what their endings mean to a shell.

A verb's code is imported when it is called, so that `handset status` does not load a speech engine.
"""

import argparse
import difflib
import importlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from appliance.errors import (
    ApplianceError,
    ConfigurationInvalid,
    Forbidden,
    LineBusy,
    NotRunning,
    RequestInvalid,
    UnknownName,
)

DONE: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
NOT_RUNNING: Final = 3
REFUSED: Final = 4

_CODES: Final = "Exit codes: 0 done, 1 failed, 2 wrong use, 3 no daemon answers, 4 refused."
_WRONG: Final = frozenset({"request_invalid", "unknown_command"})
_REFUSED: Final = frozenset({"forbidden", "line_busy"})


class _Parser(argparse.ArgumentParser):
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
    parser = _Parser(
        prog="handset",
        description="A voice-agent appliance: a kiosk that people talk to and a desk phone that people dial.",
        epilog="example: handset run",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    verbs = parser.add_subparsers(metavar="VERB", required=True, dest="verb", parser_class=_Parser)
    _daemon_verbs(verbs)
    _audio_verbs(verbs)
    _client_verbs(verbs)
    _call_verbs(verbs)
    _pair_verb(verbs)
    _update_verb(verbs)
    _setup_verb(verbs)
    _provision_verb(verbs)
    _portal_verb(verbs)
    _fetch_verb(verbs)
    _keeping_verbs(verbs)
    _verb(verbs, "version", "appliance.cli:version", "print the version", "handset version")
    return parser


def version(_: argparse.Namespace) -> int:
    """Print the version of the installed distribution."""
    from importlib.metadata import version as installed

    print(f"handset {installed('handset')}")
    return DONE


def _call(args: argparse.Namespace) -> int:
    module, _, name = args.target.partition(":")
    function: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), name)
    return function(args)


def _verb(verbs: Any, name: str, target: str, what: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", epilog=f"example: {example}"
    )
    parser.set_defaults(target=target)
    return parser


def _with_config(parser: argparse.ArgumentParser, *, json: bool = False) -> argparse.ArgumentParser:
    parser.add_argument("--config", metavar="F", help="a TOML file that stands in for those of the system")
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _remote(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    _with_config(parser, json=True)
    parser.add_argument("--address", metavar="HOST:PORT", help="the control API (or HANDSET_ADDRESS)")
    parser.add_argument("--token", metavar="T", help="the control token (better: HANDSET_TOKEN)")
    parser.description = f"{parser.description} {_CODES}"
    return parser


def _daemon_verbs(verbs: Any) -> None:
    _with_config(
        _verb(verbs, "run", "appliance.process:run", "run the daemon in the foreground", "handset run")
    )
    check = _verb(
        verbs,
        "check",
        "appliance.config.check:check",
        "validate the configuration",
        "handset check --config my.toml",
    )
    _with_config(check, json=True)
    show = _verb(
        verbs,
        "config",
        "appliance.config.check:show",
        "print the configuration in force, secrets masked, each value with its origin",
        "handset config | grep sip",
    )
    _with_config(show)
    _talk_verb(verbs)
    doctor = _verb(
        verbs,
        "doctor",
        "appliance.doctor:doctor",
        "check the box and say what to do",
        "handset doctor --json",
    )
    _with_config(doctor, json=True)


def _talk_verb(verbs: Any) -> None:
    talk = _verb(
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
    _with_config(talk, json=True)


def _audio_verbs(verbs: Any) -> None:
    audio = verbs.add_parser(
        "audio", help="list, test and measure the sound devices", epilog="example: handset audio list"
    )
    below = audio.add_subparsers(metavar="WHAT", required=True, dest="what", parser_class=_Parser)
    listing = _verb(
        below,
        "list",
        "appliance.soundcheck:list_devices",
        "list the devices by stable name",
        "handset audio list",
    )
    _with_config(listing, json=True)
    test = _verb(
        below,
        "test",
        "appliance.soundcheck:test",
        "play a beep and listen for it",
        "handset audio test --json",
    )
    _with_config(test, json=True)
    level = _verb(
        below,
        "level",
        "appliance.soundcheck:level",
        "show the microphone's level",
        "handset audio level --seconds 5",
    )
    level.add_argument("--seconds", type=float, metavar="S", help="stop after so long; else at Ctrl-C")
    _with_config(level, json=True)
    calibrate = _verb(
        below,
        "calibrate",
        "appliance.calibrate:calibrate",
        "measure delay, drift, echo and noise, and choose the duplex mode that follows from them",
        "handset audio calibrate",
    )
    calibrate.add_argument("--no-speech", action="store_true", help="chirps only: no trial with a sentence")
    _with_config(calibrate, json=True)


def _client_verbs(verbs: Any) -> None:
    _remote(_verb(verbs, "status", "appliance.commands.lines:status", "show the state", "handset status"))
    say = _verb(verbs, "say", "appliance.commands.lines:say", "say a text", 'handset say "dinner is ready"')
    say.add_argument("text", metavar="TEXT", type=_filled)
    _with_line(_remote(say))
    ask = _verb(
        verbs,
        "ask",
        "appliance.commands.ask:ask",
        "print the answer to a question",
        'handset ask "what time is it"',
    )
    ask.add_argument("text", metavar="TEXT", type=_filled)
    ask.add_argument("--agent", metavar="NAME", default="", help="who answers")
    ask.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds to wait (60)")
    ask.add_argument("--yes", action="store_true", help='say "yes" to what it asks back, as before a call')
    _remote(ask)
    mute = _verb(
        verbs, "mute", "appliance.commands.lines:mute", "switch the microphone off or on", "handset mute on"
    )
    mute.add_argument("state", choices=("on", "off"))
    _with_line(_remote(mute))
    volume = _verb(verbs, "volume", "appliance.commands.lines:volume", "set the volume", "handset volume 60")
    volume.add_argument("level", type=_level, metavar="N", help="0 to 100")
    _with_line(_remote(volume))
    tail = _verb(
        verbs,
        "tail",
        "appliance.commands.tail:tail",
        "print what happens",
        "handset tail --topics call.,transcript",
    )
    tail.add_argument("--topics", metavar="LIST", default="", help="prefixes of event names, with commas")
    _remote(tail)


def _call_verbs(verbs: Any) -> None:
    call = _verb(
        verbs,
        "call",
        "appliance.commands.calls:call",
        "call somebody",
        "handset call sip:100@pbx.example --wait",
    )
    call.add_argument(
        "to", metavar="URI", type=_filled, help="a SIP URI, an extension, a number or a contact"
    )
    call.add_argument("--agent", metavar="NAME", default="", help="who speaks")
    call.add_argument("--account", metavar="NAME", default="", help="the SIP account to call through")
    call.add_argument("--room", action="store_true", help="the person in the room speaks")
    call.add_argument("--wait", action="store_true", help="print each state until the call has ended")
    _remote(call)
    answer = _verb(
        verbs, "answer", "appliance.commands.calls:answer", "answer the ringing call", "handset answer"
    )
    who = answer.add_mutually_exclusive_group()
    who.add_argument(
        "--room", action="store_true", help="the person in the room talks on it; also once it is answered"
    )
    who.add_argument("--agent", action="store_true", help="the agent does")
    hang_up = _verb(verbs, "hangup", "appliance.commands.calls:hang_up", "end the call", "handset hangup")
    record = _verb(
        verbs,
        "record",
        "appliance.commands.calls:record",
        "record the call, or no longer",
        "handset record on",
    )
    record.add_argument("state", choices=("on", "off"))
    for parser in (answer, hang_up, record):
        parser.add_argument("call", metavar="CALL", nargs="?", help="its id, where there are several")
        _remote(parser)


def _pair_verb(verbs: Any) -> None:
    pair = _verb(
        verbs,
        "pair",
        "appliance.commands.pairing:pair",
        "make a token for the control API and show it once, with a QR code",
        "handset pair --scope talk --name kitchen",
    )
    scopes = ("observe", "talk", "control", "admin")
    pair.add_argument("--scope", choices=scopes, default="control", help="what it allows (control)")
    pair.add_argument("--name", metavar="N", type=_filled, default="unnamed", help="whose it is")
    pair.add_argument("--list", action="store_true", help="list the tokens")
    pair.add_argument(
        "--revoke", metavar="TOKEN", type=_filled, help="take back the token of that id or name"
    )
    pair.add_argument("--directory", metavar="D", help="the state directory, in place of storage.directory")
    _with_config(pair, json=True)


def _setup_verb(verbs: Any) -> None:
    setup = _verb(
        verbs,
        "setup",
        "provisioning.setup:setup",
        "ask for what is missing and write it; or take a file: TOML, account lines of baresip, files of desk phones",
        "handset setup --from yealink.cfg",
    )
    setup.add_argument(
        "--from", dest="source", metavar="FILE", help="read FILE and ask nothing; - is standard input"
    )
    setup.add_argument(
        "--account", metavar="NAME", default="", help="a further SIP account of that name, not the first"
    )
    setup.add_argument("--dry-run", action="store_true", help="tell what would be set, and write nothing")
    setup.add_argument(
        "--root", metavar="D", default="/", help="the tree to set up: a card that is mounted there"
    )
    setup.add_argument("--json", action="store_true", help="print JSON")


def _portal_verb(verbs: Any) -> None:
    _verb(
        verbs,
        "portal",
        "provisioning.portal.visit:portal",
        "while there is no network, open one of its own with a set-up page, as handset-setup.service does",
        "handset portal",
    )


def _fetch_verb(verbs: Any) -> None:
    fetch = _verb(
        verbs,
        "fetch",
        "provisioning.fetch:fetch",
        "fetch settings from the server that the configuration or the network (DHCP option 66) names",
        "handset fetch --url https://pbx.example.org/phones/ --dry-run",
    )
    fetch.add_argument("--url", metavar="U", default="", help="in place of provisioning.url")
    fetch.add_argument(
        "--dry-run", action="store_true", help="tell what is wrong with it, and change nothing"
    )
    fetch.add_argument("--root", metavar="D", default="/", help="the tree to set up")


def _keeping_verbs(verbs: Any) -> None:
    backup = _verb(
        verbs,
        "backup",
        "provisioning.backup:backup",
        "write settings, secrets and history to one file, sealed with a passphrase",
        "handset backup kitchen.handset",
    )
    backup.add_argument("file", metavar="F", help="where to; - is standard output")
    backup.add_argument("--recordings", action="store_true", help="recorded calls too")
    how = backup.add_mutually_exclusive_group()
    how.add_argument("--passphrase-file", metavar="P", help="the passphrase stands in this file")
    how.add_argument(
        "--without-secrets", action="store_true", help="no passwords, keys and tokens, and not sealed"
    )
    restore = _verb(
        verbs,
        "restore",
        "provisioning.restore:restore",
        "put a backup in force; what is there now is kept beside it",
        "handset restore kitchen.handset",
    )
    restore.add_argument("file", metavar="F", help="what `handset backup` wrote")
    restore.add_argument("--passphrase-file", metavar="P", help="the passphrase stands in this file")
    reset = _verb(
        verbs,
        "factory-reset",
        "provisioning.reset:factory_reset",
        "take away settings, secrets, history and networks, as before the first start",
        "handset factory-reset",
    )
    reset.add_argument("--yes", action="store_true", help="do not ask")
    reset.add_argument("--keep-network", action="store_true", help="leave Wi-Fi and addresses as they are")
    for parser in (backup, restore, reset):
        parser.add_argument(
            "--root", metavar="D", default="/", help="the tree that it is about: a mounted card"
        )


def _provision_verb(verbs: Any) -> None:
    provision = _verb(
        verbs,
        "provision",
        "provisioning.boot:provision",
        "take over what is new on the boot partition, as handset-firstboot.service does at each start",
        "handset provision --boot /boot/firmware",
    )
    provision.add_argument(
        "--boot",
        metavar="D",
        default="/boot/firmware",
        help="where the boot partition is mounted (/boot/firmware)",
    )
    provision.add_argument("--root", metavar="D", default="/", help="the tree to set up")


def _update_verb(verbs: Any) -> None:
    update = _verb(
        verbs,
        "update",
        "appliance.commands.update:update",
        "put a signed release in force, and take it back where it does not do; without a file, say what is in force",
        "handset update handset-0.2.0-aarch64.tar.xz",
    )
    update.add_argument("file", metavar="FILE", nargs="?", type=Path, help="the release")
    update.add_argument("--back", action="store_true", help="go back to the version before")
    update.add_argument("--older", action="store_true", help="take an older version, too")
    update.add_argument(
        "--wait", type=float, metavar="MIN", help="minutes to wait for the end of a call (10)"
    )
    update.add_argument("--address", metavar="HOST:PORT", help="the control API (or HANDSET_ADDRESS)")
    for hidden in ("--here", "--settle", "--restart"):
        update.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    _with_config(update, json=True)


def _with_line(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--line", default="room", metavar="LINE", help="which line (room)")


def _filled(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def _level(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 100")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
