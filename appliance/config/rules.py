"""What a single key's type cannot say: names that must exist, ranges, and settings that only make sense together."""

import base64
import difflib
import ipaddress
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from appliance import plugins
from appliance.config.load import DEFAULT, Fault, Loaded
from appliance.config.phrases import is_phrase
from appliance.config.pins import pin_faults
from appliance.config.schema import FIRST_ACCOUNT, Configuration, Mqtt, Provisioning, Sip, WakeWord
from appliance.config.secrets import reveal
from appliance.config.stages import KINDS
from appliance.config.words import address
from appliance.errors import ConfigurationInvalid, DriverMissing
from appliance.plugins import load

CODECS: Final = ("G722", "opus", "PCMU", "PCMA")
_HOST_PORT: Final = re.compile(r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$")
_CALLABLE: Final = re.compile(
    r"sips?:\S+|[^\s@:]+@[^\s@]+|\+?[0-9*#][0-9*#\s().\-/]*|[\w.*#+\-]+", re.IGNORECASE
)
"""A SIP address, a number as people write it, or an extension."""
_KERNELS: Final = tuple(map(Path, ("/proc", "/sys", "/dev")))
_KEY_BYTES: Final = 32
_LANGUAGE: Final = re.compile(r"(multi|[A-Za-z]{2,3})(-[A-Za-z0-9]{1,8})*")
_TWO_LETTERS: Final = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv "
    "dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie "
    "ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv "
    "mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm "
    "rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr "
    "ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu "
)
"""ISO 639-1; those of three letters are too many to be listed."""
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
MAX_ACCOUNTS: Final = 6
"""The SIP library holds 8: two are left for those that a reload took out while their calls go on."""
_Finding = tuple[str, str, str]
_NEEDED_BY: Final = {"user": "server", "password": "server", "server": "user", "turn_password": "turn"}
"""Of an account's key that is missing, the one that asks for it: that one's file is to be mended."""


def check_rules(loaded: Loaded) -> Loaded:
    """`loaded` with the faults that the rules find added; of a faulty key they would only judge the default."""
    if loaded.sound is None:
        return loaded
    faulty = {fault.key for fault in loaded.faults}
    found = tuple(
        loaded.located(Fault(_origin(key, loaded.origins), key, message, hint))
        for key, message, hint in _findings(loaded.sound)
        if key not in faulty
    )
    faults = (*loaded.faults, *found)
    return replace(loaded, configuration=None if faults else loaded.configuration, faults=faults)


def _origin(key: str, origins: Mapping[str, str]) -> str:
    parts = key.split(".")
    needed_by = _NEEDED_BY.get(parts[-1], "") if parts[0] == "sip" and key not in origins else ""
    if needed_by and (asks := ".".join([*parts[:-1], needed_by])) in origins:
        return origins[asks]
    return next(
        (
            origins[".".join(parts[:end])]
            for end in range(len(parts), 0, -1)
            if ".".join(parts[:end]) in origins
        ),
        DEFAULT,
    )


def _findings(configuration: Configuration) -> Iterator[_Finding]:
    yield from _names(configuration)
    yield from _directories(configuration)
    yield from _contacts(configuration.contacts)
    yield from pin_faults(configuration.gpio)
    if configuration.gpio.driver not in ("auto", "off"):
        known = [*_installed("appliance.panels"), "auto", "off"]
        yield from _unknown("gpio.driver", [configuration.gpio.driver], known)
    yield from _control(configuration)
    yield from _mqtt(configuration.mqtt)
    yield from _sip(configuration)
    yield from _fetched(configuration.provisioning)
    for name, account in configuration.sip.each().items():
        prefix = "sip" if name == FIRST_ACCOUNT else f"sip.accounts.{name}"
        yield from _hosts(prefix, account)
        if account.agent:
            yield from _unknown(f"{prefix}.agent", [account.agent], configuration.agents)
        if configuration.sip.enabled:
            yield from _account(prefix, account)


def _names(configuration: Configuration) -> Iterator[_Finding]:
    conversation = configuration.conversation
    yield from _unknown("conversation.agent", [conversation.agent], configuration.agents)
    yield from _providers(conversation.providers)
    yield from _unknown(
        "room.sound_card",
        [configuration.room.sound_card],
        _installed("appliance.sound_cards"),
    )
    detectors = [*_installed("appliance.voice_detectors"), "auto", "off"]
    yield from _unknown("vad.confirm", [configuration.vad.confirm], detectors)
    tools = _installed("appliance.tools")
    for name, agent in configuration.agents.items():
        yield from _unknown(f"agents.{name}.tools", agent.tools, tools)
        if agent.language and not _is_language(agent.language):
            yield (
                f"agents.{name}.language",
                f"{agent.language!r} is no language",
                'for example "en" or "de-AT"',
            )
    if configuration.room.mode == "wake-word":
        yield from _wake_words(configuration.wake_word)


def _wake_words(wanted: WakeWord) -> Iterator[_Finding]:
    group = "appliance.wake_detectors"
    yield from _unknown("wake_word.detector", [wanted.detector], _installed(group))
    if wanted.detector not in _installed(group):
        return
    try:
        detector: Any = load(group, wanted.detector)
    except DriverMissing as fault:
        yield "room.mode", fault.message, "install the package pymicro-wakeword, or use open or push-to-talk"
        return
    stops = [word for word in wanted.stop_words if not is_phrase(word, detector.words())]
    for key, words in (("wake_word.words", wanted.words), ("wake_word.stop_words", stops)):
        yield from _unknown(key, [word for word in words if not word.endswith(".json")], detector.words())
        for word in words:
            if word.endswith(".json") and not Path(word).is_file():
                yield (
                    key,
                    f"there is no file {word}",
                    "the .json of a microWakeWord model, its .tflite beside it",
                )


def _is_language(tag: str) -> bool:
    first = tag.partition("-")[0].lower()
    return bool(_LANGUAGE.fullmatch(tag)) and (len(first) != 2 or first in _TWO_LETTERS.split())


def _providers(names: Iterable[str]) -> Iterator[_Finding]:
    """A service of the chain answers nobody by itself."""
    installed = _installed("appliance.providers")
    left = []
    for name in names:
        kind = next((kind for kind in KINDS if name in _installed(f"appliance.{kind}")), "")
        if kind and name not in installed:
            hint = f'write providers = ["chain"], and in [providers.chain] {kind} = "{name}"'
            yield "conversation.providers", f"{name!r} is a part of a chain, and no provider by itself", hint
        else:
            left.append(name)
    yield from _unknown("conversation.providers", left, installed)


def _directories(configuration: Configuration) -> Iterator[_Finding]:
    """A relative one is left only where a variable set it: it would depend on where the command is called."""
    storage, recording = configuration.storage.directory, configuration.recording.directory
    for key, directory in (("storage.directory", str(storage)), ("recording.directory", recording)):
        path = Path(directory)
        if directory and not path.is_absolute():
            yield key, f"{directory!r} is relative", f"for example {path.absolute()}"
        elif directory and (reason := _no_place(path)):
            yield key, f"nothing can be stored in {directory!r}: {reason}", "name a directory on a disk"


def _no_place(directory: Path) -> str:
    """Why no file could ever be made there, as far as that can be seen without trying; doctor looks further."""
    kernel = next((tree for tree in _KERNELS if directory.is_relative_to(tree)), None)
    if kernel is not None:
        return f"{kernel} is the kernel's own"
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    return "" if nearest.is_dir() else f"{nearest} is a file"


def _contacts(contacts: Mapping[str, str]) -> Iterator[_Finding]:
    for name, number in contacts.items():
        if not name.strip():
            yield "contacts", "a contact has no name", 'for example kitchen = "210"'
        if not _CALLABLE.fullmatch(number.strip()):
            message = f"{number!r} cannot be called" if number.strip() else "there is no number"
            yield f"contacts.{name}", message, "a number, an extension, or sip:user@host"


def _unknown(key: str, names: Iterable[str], known: Iterable[str]) -> Iterator[_Finding]:
    known = sorted(known)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"
            yield key, f"{name!r} does not exist", hint


def _installed(group: str) -> list[str]:
    return plugins.names(group)


def _control(configuration: Configuration) -> Iterator[_Finding]:
    control = configuration.control
    if bool(control.tls_certificate) != bool(control.tls_key):
        yield (
            "control.tls_key",
            "tls_certificate and tls_key go together",
            "set both, or neither",
        )
    files = {"tls_certificate": control.tls_certificate, "tls_key": control.tls_key}
    missing = [key for key, value in files.items() if value and not Path(value).is_file()]
    for key in missing:
        yield f"control.{key}", f"there is no file {files[key]}", "correct the path"
    if all(files.values()) and not missing:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files.values())
        except OSError as error:
            yield "control.tls_certificate", f"cannot be used: {error}", "PEM files that belong together"
    if not is_loopback(control.bind) and not control.tls_certificate and not control.allow_plain:
        hint = "set tls_certificate and tls_key, or allow_plain = true on a network that you trust"
        yield (
            "control.bind",
            f"{control.bind} is reachable from outside, and there is no TLS",
            hint,
        )


def _fetched(settings: Provisioning) -> Iterator[_Finding]:
    if settings.url and not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", settings.url):
        message = f"{address(settings.url)} is no address"
        yield "provisioning.url", message, "for example https://pbx.example.org/phones/"
    elif settings.url.startswith("http:") and not settings.public_key:
        yield (
            "provisioning.url",
            "plain HTTP can be forged",
            "https, or files signed for provisioning.public_key",
        )
    if settings.ca and not Path(settings.ca).is_file():
        yield "provisioning.ca", f"there is no file {settings.ca}", "the authority's certificate, PEM"
    if settings.public_key and not _is_key(settings.public_key):
        yield (
            "provisioning.public_key",
            "it is no Ed25519 key",
            "32 bytes in base64, see docs/provisioning.md",
        )


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _KEY_BYTES
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """True for 127.0.0.0/8, ::1 and localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _sip(configuration: Configuration) -> Iterator[_Finding]:
    sip = configuration.sip
    for name in sip.accounts:
        if not _ACCOUNT.fullmatch(name) or name == FIRST_ACCOUNT:
            yield (
                f"sip.accounts.{name}",
                f"{name!r} cannot name an account",
                "letters, digits, - and _; not default",
            )
        elif not sip.accounts[name].server:
            yield f"sip.accounts.{name}.server", "an account needs a server", "the host name of its PBX"
    if len(sip.accounts) >= MAX_ACCOUNTS:
        yield (
            "sip.accounts",
            f"{len(sip.accounts) + 1} accounts",
            f"at most {MAX_ACCOUNTS}, [sip] itself included",
        )
    yield from _unknown("sip.codecs", sip.codecs, CODECS)
    if not sip.codecs:
        yield "sip.codecs", "no codec is left", f"known: {', '.join(CODECS)}"
    for entry in sip.allow:
        if not _is_network(entry):
            yield (
                "sip.allow",
                f"{entry!r} is neither an address nor a network",
                "for example 192.168.1.0/24",
            )
    for entry in sip.emergency_numbers:
        if not re.fullmatch(r"[0-9*#]{2,12}", entry):
            yield "sip.emergency_numbers", f"{entry!r} is no number", 'for example "112"'
    if port_range(sip.rtp_ports) is None:
        yield (
            "sip.rtp_ports",
            f"{sip.rtp_ports!r} is not LOW-HIGH with at least 4 ports",
            'for example "40000-40100"',
        )
    if sip.bind and not _is_address(sip.bind):
        yield "sip.bind", f"{sip.bind!r} is not an address of this machine", "an IP address, or empty for all"


def _hosts(prefix: str, sip: Sip) -> Iterator[_Finding]:
    for key, hosts in (
        ("server", [sip.server]),
        ("outbound_proxy", sip.outbound_proxy),
        ("turn", [sip.turn]),
        *((("stun", sip.stun), ("dns_servers", sip.dns_servers)) if prefix == "sip" else ()),
    ):
        for host in filter(None, hosts):
            if not _is_host_port(host):
                message = f"{address(host)} is not host or host:port"
                yield f"{prefix}.{key}", message, "for example pbx.example.org:5060"


def _account(prefix: str, sip: Sip) -> Iterator[_Finding]:
    if sip.ca and not Path(sip.ca).is_file():
        yield f"{prefix}.ca", f"there is no file {sip.ca}", "the authority's certificate, PEM"
    if sip.user.lower().startswith(("sip:", "sips:")):
        # What stands behind a second colon is a password.
        user = sip.user.partition(":")[2].partition("@")[0].partition(":")[0]
        yield f"{prefix}.user", "it is an address, and no user", f'user = "{user}"'
    if sip.server and not sip.user:
        yield (
            f"{prefix}.user",
            "a server is set but no user",
            "the extension's name or number",
        )
    if sip.user and not sip.server and prefix == "sip":
        yield f"{prefix}.server", "a user is set but no server", "the host name of the PBX"
    for key, secret, needed in (
        ("password", sip.password, sip.server),
        ("turn_password", sip.turn_password, sip.turn),
    ):
        if needed:
            try:
                reveal(secret)
            except ConfigurationInvalid as error:
                yield f"{prefix}.{key}", error.message, error.hint


def _mqtt(mqtt: Mqtt) -> Iterator[_Finding]:
    if mqtt.enabled and not mqtt.server:
        yield "mqtt.server", "MQTT is on and no broker is set", "host[:port] of the broker"
    if mqtt.server and not _is_host_port(mqtt.server):
        yield (
            "mqtt.server",
            f"{address(mqtt.server)} is no host[:port]",
            'as in "broker.example.org:1883"',
        )
    for key, topic in (("topic", mqtt.topic), ("discovery", mqtt.discovery)):
        if set(topic) & set("#+\0") or topic.startswith(("/", "$")) or topic.endswith("/"):
            yield f"mqtt.{key}", f"{topic!r} is no topic", "levels with / between them, without # and +"
    if not mqtt.topic:
        yield "mqtt.topic", "it must not be empty", 'as "handset"'
    if mqtt.ca and not Path(mqtt.ca).is_file():
        yield "mqtt.ca", f"there is no file {mqtt.ca}", "the authority's certificates as PEM"
    if mqtt.enabled:
        yield from _unknown("mqtt.driver", [mqtt.driver], _installed("appliance.brokers"))
        try:
            reveal(mqtt.password)
        except ConfigurationInvalid as error:
            yield "mqtt.password", error.message, error.hint


def _is_host_port(text: str) -> bool:
    match = _HOST_PORT.match(text)
    return match is not None and (match[2] is None or 0 < int(match[2][1:]) < 1 << 16)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def port_range(text: str) -> tuple[int, int] | None:
    """ "LOW-HIGH" as two ports, or None where it is not a range of at least four."""
    low, dash, high = text.partition("-")
    if not (dash and low.strip().isdigit() and high.strip().isdigit()):
        return None
    ports = int(low), int(high)
    return ports if ports[0] >= 1024 and ports[0] + 3 <= ports[1] <= 65535 else None
