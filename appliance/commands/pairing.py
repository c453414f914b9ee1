"""The verb `pair`: makes, lists and revokes the tokens of the control API."""

import argparse
import json
import sys
import time
from pathlib import Path

from appliance.config.load import load
from appliance.config.schema import Control
from appliance.control.admission import is_loopback
from appliance.control.auth import Token, Tokens
from appliance.control.location import page_address
from appliance.control.protocol import Scope


def pair(args: argparse.Namespace) -> int:
    """Make a token and show it once; or, with --list and --revoke, look after those there are."""
    # Only the schema is checked: a missing driver is no reason to refuse a token.
    configuration = load(Path(args.config) if args.config else None).require()
    tokens = Tokens(Path(args.directory or configuration.storage.directory))
    if args.list:
        return _list(tokens.list(), as_json=args.json)
    if args.revoke is not None:
        gone = tokens.revoke(args.revoke)
        print(json.dumps({"revoked": gone.id}) if args.json else f"revoked {gone.id} {gone.name}")
        return 0
    scope = Scope(args.scope)
    secret = tokens.pair(scope, args.name)
    url = f"{page_address(configuration.control)}#token={secret}"
    if args.json:
        print(json.dumps({"token": secret, "scope": str(scope), "name": args.name, "url": url}))
        return 0
    _show(secret, url, scope, configuration.control)
    return 0


def _show(secret: str, url: str, scope: Scope, control: Control) -> None:
    import segno

    print(f"token  {secret}")
    print(f"scope  {scope}")
    print(f"page   {url}")
    if is_loopback(control.bind):
        print("note   the control API listens on this machine only; control.bind opens it to others")
    print("\nIt is shown this once. Scan the code with a phone, or set HANDSET_TOKEN.\n")
    segno.make(url, error="m").terminal(out=sys.stdout, compact=True)


def _list(tokens: tuple[Token, ...], *, as_json: bool) -> int:
    if as_json:
        shown = [
            {
                "id": t.id,
                "name": t.name,
                "scope": t.scope,
                "created": t.created,
                "last_used": t.last_used or None,
            }
            for t in tokens
        ]
        print(json.dumps(shown))
        return 0
    if not tokens:
        print("no tokens")
    for token in tokens:
        used = _day(token.last_used) if token.last_used else "never used"
        print(f"{token.id}  {token.scope:8} {_day(token.created)}  {used:16}  {token.name}")
    return 0


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
