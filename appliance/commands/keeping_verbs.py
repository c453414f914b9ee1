"""The verbs that set a box up, keep it, and take it back to the beginning."""

import argparse
from pathlib import Path
from typing import Any

from appliance.commands.parser import filled, verb, with_config


def keeping_verbs(verbs: Any) -> None:
    _pair_verb(verbs)
    _update_verb(verbs)
    _setup_verb(verbs)
    _provision_verb(verbs)
    _portal_verb(verbs)
    _fetch_verb(verbs)
    _backup_verbs(verbs)


def _pair_verb(verbs: Any) -> None:
    pair = verb(
        verbs,
        "pair",
        "appliance.commands.pairing:pair",
        "make a token for the control API and show it once, with a QR code",
        "handset pair --scope talk --name kitchen",
    )
    scopes = ("observe", "talk", "control", "admin")
    pair.add_argument("--scope", choices=scopes, default="control", help="what it allows (control)")
    pair.add_argument("--name", metavar="N", type=filled, default="unnamed", help="whose it is")
    pair.add_argument("--list", action="store_true", help="list the tokens")
    pair.add_argument("--revoke", metavar="TOKEN", type=filled, help="take back the token of that id or name")
    pair.add_argument("--directory", metavar="D", help="the state directory, in place of storage.directory")
    with_config(pair, json=True)


def _setup_verb(verbs: Any) -> None:
    setup = verb(
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
    verb(
        verbs,
        "portal",
        "provisioning.portal.visit:portal",
        "while there is no network, open one of its own with a set-up page, as handset-setup.service does",
        "handset portal",
    )


def _fetch_verb(verbs: Any) -> None:
    fetch = verb(
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


def _backup_verbs(verbs: Any) -> None:
    backup = verb(
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
    restore = verb(
        verbs,
        "restore",
        "provisioning.restore:restore",
        "put a backup in force; what is there now is kept beside it",
        "handset restore kitchen.handset",
    )
    restore.add_argument("file", metavar="F", help="what `handset backup` wrote")
    restore.add_argument("--passphrase-file", metavar="P", help="the passphrase stands in this file")
    reset = verb(
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
    provision = verb(
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
    update = verb(
        verbs,
        "update",
        "appliance.commands.update:update",
        "put a signed release, or system, in force, and take it back where it fails; without a file: what is in force",
        "handset update handset-0.2.0-aarch64.tar.xz",
    )
    update.add_argument("file", metavar="FILE", nargs="?", type=Path, help="the release: .tar.xz, or .raucb")
    update.add_argument("--back", action="store_true", help="go back to the version before")
    update.add_argument("--older", action="store_true", help="take an older version, too")
    update.add_argument(
        "--wait", type=float, metavar="MIN", help="minutes to wait for the end of a call (10)"
    )
    update.add_argument("--address", metavar="HOST:PORT", help="the control API (or HANDSET_ADDRESS)")
    for hidden in ("--here", "--settle", "--restart"):
        update.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    update.add_argument(
        "--slot", choices=("prepare", "installed", "restart", "start"), help=argparse.SUPPRESS
    )
    with_config(update, json=True)
