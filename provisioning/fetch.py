"""The verb `fetch`: settings from the server that the configuration or the network names, checked as all others are."""

import argparse
import hashlib
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPMessage
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from appliance import clock, plugins
from appliance.config.load import load
from appliance.config.schema import Control, Provisioning
from appliance.errors import ApplianceError, ConfigurationInvalid, NotPossible
from appliance.interfaces.network import Network
from provisioning import identity, remote, settings
from provisioning.actions import Run, WriteFile
from provisioning.draft import LONGEST, Tree
from provisioning.effects import Effects
from provisioning.fetched import allowed
from provisioning.release.quiet import LATEST_SECONDS, Around, quiet
from provisioning.release.service import SystemdService, own_page
from provisioning.remote import NotBelieved, Source
from provisioning.settings import Place
from provisioning.setup import put_in_force
from provisioning.sources import understand

REMEMBERED: Final = PurePosixPath("/etc/handset/fetched.json")
_SECONDS: Final = 20.0
_WRITTEN: Final = "written"
"""When settings were written that the daemon does not have yet, in Unix seconds."""
WAIT_SECONDS: Final = 600.0
"""How long one attempt waits for the end of calls and of talk; the next one follows after minutes."""
_RESTART: Final = Run(("systemctl", "--no-block", "try-restart", "handset.service"), needed=True)
"""A reload would leave some settings, and every credential, for the next start."""


def fetch(args: argparse.Namespace) -> int:
    """0 where there is nothing to fetch, nothing new, or it is in force; 1 where the server cannot be reached, 2 for a
    file with faults, 4 for one that is not believed: nothing has changed then."""
    effects = Effects.on(Path(args.root))
    configured = load(environ={}, root=effects.root).sound
    chosen = configured.provisioning if configured else Provisioning()
    if args.url:
        chosen = chosen.model_copy(update={"url": args.url})
    offered = "" if chosen.url or chosen.dhcp == "off" else _offered()
    try:
        page = own_page(configured.control if configured else Control())
        daemon = SystemdService(page) if effects.root == Path("/") else None
        print(take(chosen, offered, effects, daemon, dry=args.dry_run))
    except UnicodeDecodeError as error:
        raise ConfigurationInvalid(
            "the file that was fetched is not text", hint="it must be UTF-8"
        ) from error
    return 0


def _offered() -> str:
    network: Network = plugins.load("appliance.networks", "nmcli")()
    try:
        return network.provisioning_server()
    except ApplianceError as error:
        print(f"the network could not be asked for a server: {error.message}")
        return ""


def take(
    chosen: Provisioning, offered: str, effects: Effects, daemon: Around | None = None, *, dry: bool = False
) -> str:
    """Fetch, check and put in force; return a sentence for the log. Raise what `fetch` makes an exit code of.

    The daemon is started anew only where a setting is another one, and only once nobody calls or talks. NotPossible
    where somebody does for WAIT_SECONDS, or where systemd does not do it: the settings are written then, and the next
    attempt goes on from there. A tree that no daemon runs in has none.
    """
    known = _remembered(effects)
    if _WRITTEN in known and not dry:
        _start_anew(known, effects, daemon)
    mac = identity.hardware_address(effects.root)
    found = remote.source(chosen, offered, mac, str(known.get("host", "")))
    if found is None and chosen.url and not mac:
        return (
            f"{chosen.url} was not asked: no network interface, by whose address it would know the appliance"
        )
    if found is None:
        return "no server is named, neither in the configuration nor by the network"
    url, data = _download(found, chosen)
    digest = hashlib.sha256(data).hexdigest()
    if digest == known.get("sha256") and not dry:
        return f"{url}: nothing new"
    draft, refused = allowed(understand(data.decode("utf-8")))
    left = "".join(f"\nleft out: {note}" for note in refused)
    where = Place.here(effects.root)
    before = settings.read_before(effects.place(where.settings))
    checked = settings.check(draft, effects.root)
    faults = [note for note in (*draft.notes, *checked.notes) if note.kind == "fault"]
    if faults or not checked.tree:
        told = ("\n".join(map(str, faults)) or "there is nothing in it to be set") + left
        raise ConfigurationInvalid(
            f"{url} has faults, and nothing of it was taken:\n{told}", hint="correct the file"
        )
    if dry:
        return f"{url}: {len(checked.tree)} sections, no fault; nothing was changed{left}"
    meant = _digest_of(checked.tree)
    remember = {"host": found.host, "sha256": digest, "settings": meant}
    if meant == known.get("settings"):
        _remember(remember, effects)
        return f"{url}: another file, and the same settings{left}"
    tree = settings.overlay(before, settings.completed(checked.tree, before))
    put_in_force(tree, draft, where, effects)
    _start_anew({**remember, _WRITTEN: daemon.now() if daemon else 0.0}, effects, daemon)
    return f"{url}: in force ({', '.join(checked.tree)}){left}"


def _digest_of(tree: Tree) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()


def _start_anew(known: Mapping[str, Any], effects: Effects, daemon: Around | None) -> None:
    """Have the daemon take what is written. Raise NotPossible while somebody calls or talks, and where it cannot be
    started anew: then `known` has it tried at the next attempt."""
    _remember(known, effects)
    if daemon is not None and not _late(known[_WRITTEN], daemon.now()) and quiet(daemon, WAIT_SECONDS).busy:
        raise NotPossible(
            "new settings are written, and not in force: a call or a conversation goes on",
            hint="it is tried again by itself; at once: systemctl restart handset",
        )
    effects.carry_out([_RESTART])
    _remember({key: value for key, value in known.items() if key != _WRITTEN}, effects)


def _late(written: Any, now: float) -> bool:
    """Also where the clock was set since."""
    return not (isinstance(written, int | float) and 0 <= now - written < LATEST_SECONDS)


def _remember(known: Mapping[str, Any], effects: Effects) -> None:
    effects.carry_out([WriteFile(REMEMBERED, json.dumps(known) + "\n", 0o600)])


def _remembered(effects: Effects) -> dict[str, Any]:
    try:
        known = json.loads(effects.place(REMEMBERED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _download(found: Source, chosen: Provisioning) -> tuple[str, bytes]:
    """The first file that is there, and where; its signature is checked already where it needs one."""
    opener = _opener(found, chosen.ca)
    for url in found.urls:
        data = _get(opener, url)
        if data is None:
            continue
        if found.signed:
            signature = _get(opener, f"{url}.sig")
            if signature is None:
                raise NotBelieved(f"{url} has no signature beside it", hint=f"sign it: {url}.sig")
            remote.check_signature(data, signature, chosen.public_key)
        return url, data
    raise NotPossible(
        f"{found.host} has no file for this appliance", hint=f"it asked for {', '.join(found.urls)}"
    )


def _get(opener: urllib.request.OpenerDirector, url: str) -> bytes | None:
    """None where there is no such file."""
    try:
        with opener.open(url, timeout=_SECONDS) as response:
            data: bytes = response.read(LONGEST + 1)
    except urllib.error.HTTPError as error:
        if error.code in (403, 404, 410):
            return None
        raise NotPossible(f"{url}: the server says {error.code}", hint="see the server's log") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise doubted(url, error.reason.verify_message, clock.read()) from error
        raise NotPossible(f"{url} cannot be reached: {error.reason}", hint="handset doctor") from error
    except (OSError, ValueError) as error:
        raise NotPossible(
            f"{url} cannot be reached: {type(error).__name__}", hint="handset doctor"
        ) from error
    if len(data) > LONGEST:
        raise NotPossible(f"{url} is too long", hint=f"at most {LONGEST // 1024} KiB")
    return data


def doubted(url: str, reason: str, now: clock.Reading) -> ApplianceError:
    """What a certificate that is not believed comes to. Before the clock is set, that says nothing of the server: it is
    asked again in a while, and not only the next day."""
    message = f"{url}: the server's certificate is not believed: {reason}"
    if clock.believable(now):
        return NotBelieved(message, hint="a certificate for that name, or provisioning.ca")
    return NotPossible(f"{message}; {clock.NOT_SET}", hint="it is tried again once the clock is set")


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows only to the host that is believed, and never down to plain HTTP."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if (new.hostname, new.scheme) != (old.hostname, old.scheme):
            raise NotBelieved(
                f"{old.hostname} sends us on to {new.scheme}://{new.hostname}", hint="name that server itself"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(found: Source, ca: str) -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    context = ssl.create_default_context(cafile=ca or None)
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SameHost(),
    ]
    if found.signed:
        handlers.append(urllib.request.HTTPHandler())
    for handler in handlers:
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "handset")]
    return opener
