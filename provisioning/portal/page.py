"""The set-up page as text: one form, no script, nothing from elsewhere. Pure."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Final

from appliance.interfaces.network import FoundNetwork
from provisioning.draft import Draft, Note
from provisioning.system import System, Wifi, sieve

POLICY: Final = (
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FIELDS: Final = (
    *("ssid", "ssid_other", "wifi_password", "country", "name"),
    *("sip_server", "sip_user", "sip_password", "sip_transport", "provider", "key"),
)
_SECRET: Final = frozenset({"wifi_password", "sip_password", "key"})
_TRANSPORTS: Final = ("udp", "tcp", "tls")
_PROVIDERS: Final = {"": "none: the device alone", "openai": "OpenAI Realtime", "gemini": "Gemini Live"}
STYLE: Final = resources.files("provisioning.portal").joinpath("style.css").read_text(encoding="utf-8")


def draft_of(form: Mapping[str, str]) -> Draft:
    """What was filled in; faults are notes with the field's name as key."""
    said = {name: form.get(name, "").strip() for name in FIELDS}
    draft = Draft(source="the set-up page")
    ssid = said["ssid_other"] or said["ssid"]
    networks = [Wifi(ssid, form.get("wifi_password", ""))] if ssid else []
    draft.system, findings = sieve(System(country=said["country"].upper(), networks=networks))
    for _, message, hint in findings:
        draft.fault(message, key="wifi", hint=hint)
    if not ssid:
        draft.fault("no network was chosen", key="wifi", hint="choose one, or write its name")
    if said["name"]:
        draft.put("device.name", said["name"])
    if said["sip_server"]:
        draft.put("sip.enabled", value=True)
        for key in ("server", "user", "password", "transport"):
            if said[f"sip_{key}"]:
                draft.put(f"sip.{key}", said[f"sip_{key}"])
    if said["provider"] and said["key"]:
        draft.put(f"providers.{said['provider']}.api_key", said["key"])
    return draft


def form_page(
    device: str,
    ticket: str,
    networks: Sequence[FoundNetwork],
    form: Mapping[str, str],
    notes: Sequence[Note] = (),
) -> str:
    """The form, filled with what was said before, without its secrets, and with what was wrong in it."""
    said = {name: "" if name in _SECRET else escape(form.get(name, ""), quote=True) for name in FIELDS}
    wrong = "".join(f"<p class=wrong>{escape(_in_words(note))}</p>" for note in notes)
    options = "".join(
        f'<option value="{escape(one.ssid, quote=True)}"{_chosen(one.ssid == form.get("ssid"))}>'
        f"{escape(one.ssid)} ({one.signal} %{'' if one.secured else ', open'})</option>"
        for one in networks
    )
    transports = "".join(
        f"<option{_chosen(one == form.get('sip_transport'))}>{one}</option>" for one in _TRANSPORTS
    )
    providers = "".join(
        f'<option value="{name}"{_chosen(name == form.get("provider", ""))}>{what}</option>'
        for name, what in _PROVIDERS.items()
    )
    return _document(
        device,
        f"""{wrong}<form method="post" action="/setup"><input type="hidden" name="ticket" value="{ticket}">
<fieldset><legend>Wi-Fi</legend>
<label>Network<select name="ssid"><option value="">(write it below)</option>{options}</select></label>
<label>or its name<input name="ssid_other" value="{said["ssid_other"]}" autocapitalize="none" maxlength="32"></label>
<label>Password<input name="wifi_password" type="password" autocomplete="off" maxlength="64"></label>
<label>Country (two letters)<input name="country" value="{said["country"]}" maxlength="2" size="2"></label></fieldset>
<fieldset><legend>Name</legend><label>What it is called<input name="name" value="{said["name"]}"></label></fieldset>
<fieldset><legend>Telephone (may be left empty)</legend>
<label>SIP server<input name="sip_server" value="{said["sip_server"]}" autocapitalize="none"></label>
<label>Extension or user<input name="sip_user" value="{said["sip_user"]}" autocapitalize="none"></label>
<label>Password<input name="sip_password" type="password" autocomplete="off"></label>
<label>Transport<select name="sip_transport">{transports}</select></label></fieldset>
<fieldset><legend>Who answers (may be left empty)</legend>
<label>Provider<select name="provider">{providers}</select></label>
<label>Its key<input name="key" type="password" autocomplete="off"></label></fieldset>
<button>Set up</button></form>""",
    )


def done_page(device: str, ssid: str) -> str:
    """Shown while it leaves this network for the other one."""
    return _document(
        device,
        f"<p>It joins <strong>{escape(ssid)}</strong> now, and this network goes away. "
        "If it cannot join, this network comes back within a minute, and the page says why.</p>",
    )


def _document(device: str, body: str) -> str:
    title = escape(device)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/style.css">'
        f"</head><body><h1>{title}</h1>{body}</body></html>"
    )


def _chosen(yes: bool) -> str:
    return " selected" if yes else ""


def _in_words(note: Note) -> str:
    return ": ".join(filter(None, [note.key, note.message])) + (f" ({note.hint})" if note.hint else "")
