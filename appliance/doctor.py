"""The verb `doctor`: looks at everything that can be wrong with the box and says what to do about it.

Each check is a function that yields findings; none raises. Exit 1 when one failed.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from appliance import plugins
from appliance.call.admission import host_of
from appliance.config.accounts import over_tls
from appliance.config.check import read
from appliance.config.ladders import CHAIN, accompanied, wanted_stages
from appliance.config.load import Fault
from appliance.config.providers import build, check_providers, key_place, provider_faults
from appliance.config.schema import Configuration, ProviderSection
from appliance.errors import ApplianceError, CredentialsRejected
from appliance.finding import FAILED, OK, WARNING, Finding
from appliance.interfaces import DeviceInfo, Setup
from appliance.machine_checks import MACHINE_CHECKS
from appliance.panel.presence import DRIVER
from appliance.probe import probe_all

_RESOLVE_SECONDS: Final = 3.0
_HANDSHAKE_SECONDS: Final = 10.0
_CLOCK_CODES: Final = frozenset({9, 10})
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_REFUSERS: Final = {
    "credentials_rejected": "credentials",
    "credentials_missing": "credentials",
    "quota_exhausted": "quota",
    "rate_limited": "rate limit",
    "setup_rejected": "model or settings",
    "configuration_invalid": "configuration",
    "driver_missing": "library",
    "provider_unavailable": "network",
}
_REMEDIES: Final = {
    "quota_exhausted": "look at the credit and the limits of the account",
    "rate_limited": "try again later, or look at the limits of the account",
    "setup_rejected": "look at model, voice and base_url of this provider",
    "provider_unavailable": "look at the network, and at the provider's own status page",
}
"""Where the fault itself knows none."""


def doctor(args: argparse.Namespace) -> int:
    """Run all checks and print them; 2 for a faulty configuration, 1 if a check failed, else 0."""
    loaded = read(args.config)
    if loaded.configuration is None:
        loaded = check_providers(loaded)
        findings = [
            Finding("configuration", WARNING if fault.warning else FAILED, _placed(fault), fault.hint)
            for fault in loaded.faults
        ]
    else:
        findings = [finding for check in CHECKS for finding in _guarded(check, loaded.configuration)]
    if args.json:
        print(
            json.dumps({"ok": not _failed(findings), "findings": [_plain(finding) for finding in findings]})
        )
    else:
        for finding in findings:
            print(f"{finding.state:8} {finding.check}: {finding.message}")
            if finding.remedy and finding.state != OK:
                print(f"{'':8} -> {finding.remedy}")
    if loaded.configuration is None:
        return 2
    return 1 if _failed(findings) else 0


def _placed(fault: Fault) -> str:
    return str(replace(fault, hint="", warning=False))


def _plain(finding: Finding) -> dict[str, str]:
    """There is nothing to remedy where all is well."""
    return asdict(replace(finding, remedy="") if finding.state == OK else finding)


def _failed(findings: list[Finding]) -> bool:
    return any(finding.state == FAILED for finding in findings)


def _guarded(check: "Check", configuration: Configuration) -> Iterator[Finding]:
    """A check that fails in a way nobody thought of is a finding, not the end of the others."""
    try:
        yield from check(configuration)
    except ApplianceError as error:
        yield Finding(check.__name__.strip("_"), FAILED, error.message, error.hint)
    except Exception as error:  # noqa: BLE001 - a check must not take the other findings away
        yield Finding(
            check.__name__.strip("_"), FAILED, f"{type(error).__name__}: {error}", "please report this"
        )


def _audio(configuration: Configuration) -> Iterator[Finding]:
    if not configuration.room.enabled:
        yield Finding("audio", OK, "the room line is switched off")
        return
    card: Any = plugins.load("appliance.sound_cards", configuration.room.sound_card)
    devices: list[DeviceInfo] = card.devices()
    for kind, wanted in (("input", configuration.room.input), ("output", configuration.room.output)):
        names = [device.name for device in devices if device.kind == kind]
        if not names:
            yield Finding(
                "audio", WARNING, f"no {kind} device", "plug one in: it is taken at once, without a restart"
            )
        elif wanted not in ("default", *names):
            yield Finding(
                "audio", FAILED, f"room.{kind} {wanted!r} is not there", f"there are: {', '.join(names)}"
            )
        else:
            yield Finding("audio", OK, f"{kind}: {wanted} ({len(names)} there)")


def _echo(configuration: Configuration) -> Iterator[Finding]:
    if not configuration.room.enabled or configuration.room.duplex == "half":
        return
    try:
        plugins.load("appliance.echo_cancellers", "webrtc")().close()
        yield Finding("echo", OK, "echo cancellation is there")
    except ApplianceError as error:
        state = FAILED if configuration.room.duplex == "full" else WARNING
        yield Finding("echo", state, f"no echo cancellation, so half duplex: {error.message}", error.hint)


def _gpio(configuration: Configuration) -> Iterator[Finding]:
    gpio = configuration.gpio
    if gpio.driver == "off":
        yield Finding("gpio", OK, "buttons, switches and lights are switched off (gpio.driver)")
        return
    asked = gpio.driver != "auto"
    panel: Any = plugins.load("appliance.panels", gpio.driver if asked else DRIVER)
    if reason := panel.look(gpio.chip):
        state = FAILED if asked else OK
        yield Finding("gpio", state, f"no buttons, switches and lights: {reason}", "look at gpio.chip")
        return
    # Another pin factory than lgpio's may be asked for.
    needed = ("gpiozero",) if os.environ.get("GPIOZERO_PIN_FACTORY") else ("gpiozero", "lgpio")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        yield Finding("gpio", FAILED, f"no library {' and '.join(missing)}", f"install {' '.join(missing)}")
    else:
        yield Finding("gpio", OK, "GPIO is there")


def _telephone(configuration: Configuration) -> Iterator[Finding]:
    if not configuration.sip.enabled:
        yield Finding("sip", OK, "the SIP line is switched off")
        return
    telephone: Any = plugins.load("appliance.telephones", configuration.sip.telephone)
    report: Mapping[str, Any] = telephone.library_report()
    yield Finding("sip", OK, f"pjsua2 {report['version']}, {report['max_calls']} calls at most")
    if report["old_openssl"]:
        state = FAILED if over_tls(configuration.sip) else WARNING
        yield Finding(
            "sip", state, f"pjsua2 bundles an old OpenSSL ({report['openssl']})", "run: make pjsua2"
        )
    if not report["opus"] and "opus" in configuration.sip.codecs:
        yield Finding(
            "sip",
            WARNING,
            "this pjsua2 has no Opus codec",
            "run: make pjsua2, or take opus out of sip.codecs",
        )
    if configuration.sip.max_calls > report["max_calls"]:
        remedy = f"run: make pjsua2, or set sip.max_calls to {report['max_calls']}"
        yield Finding("sip", WARNING, f"sip.max_calls is {configuration.sip.max_calls}", remedy)


def _daemon(configuration: Configuration) -> Iterator[Finding]:
    control = configuration.control
    bind = "127.0.0.1" if control.bind in ("0.0.0.0", "::") else control.bind  # noqa: S104 - read, not bound
    host = f"[{bind}]" if ":" in bind else bind
    trust = None
    if control.tls_certificate:
        trust = ssl.create_default_context(cafile=control.tls_certificate)
        trust.check_hostname = False  # it is trusted as a file of this machine, not for its name
    url = f"{'https' if trust else 'http'}://{host}:{control.port}/health"
    try:
        with urllib.request.urlopen(url, timeout=2, context=trust) as answer:  # noqa: S310 - http(s), see above
            health = json.load(answer)
    except urllib.error.HTTPError as error:
        yield Finding("daemon", WARNING, f"runs, but does not tell its state: {error}", "see: handset status")
        return
    except OSError:
        yield Finding(
            "daemon",
            WARNING,
            "not running, so its registration was not looked at",
            "start it with: handset run",
        )
        return
    for name, part in health.get("parts", {}).items():
        broken = FAILED if part.get("required") else WARNING
        state = OK if part.get("ok") else broken
        hint = part.get("hint") or "see the log, and handset status"
        yield Finding(f"daemon {name}", state, part.get("reason") or "fine", hint)


def _names(configuration: Configuration) -> Iterator[Finding]:
    sip = configuration.sip
    names = [sip.server, *sip.outbound_proxy, *sip.stun] if sip.enabled else []
    for name in filter(None, names):
        host = host_of(name)
        started = time.monotonic()
        try:
            found = socket.getaddrinfo(host, None)
        except OSError as error:
            yield Finding(
                "names", FAILED, f"{host} does not resolve: {error}", "check the name, and the network's DNS"
            )
            continue
        slow = time.monotonic() - started > _RESOLVE_SECONDS
        yield Finding(
            "names",
            WARNING if slow else OK,
            f"{host} is {found[0][4][0]}",
            "the DNS server is slow" if slow else "",
        )


def _provider(configuration: Configuration) -> Iterator[Finding]:
    faults = tuple(dict.fromkeys(provider_faults(configuration)))
    for fault in faults:
        state = WARNING if fault.warning else FAILED
        yield Finding(
            f"provider {fault.key.split('.')[1]}", state, f"{fault.key}: {fault.message}", fault.hint
        )
    # What is known to be wrong needs no dial, and a dial needs some key.
    wrong = {fault.key.split(".")[1] for fault in faults}
    for name in configuration.conversation.providers:
        composed = name == CHAIN or accompanied(configuration.providers.get(name, ProviderSection()))
        if name != CHAIN and name not in wrong:
            yield from _handshake(name, configuration)
        if composed:
            yield from _stages(name, configuration, wrong)


def _stages(provider: str, configuration: Configuration, wrong: Collection[str]) -> Iterator[Finding]:
    """Each rung of each stage is asked for something small, all side by side."""
    stages = wanted_stages(provider, configuration)
    wanted = [stage for stage in stages if stage.named and stage.table not in wrong]
    language = configuration.agents[configuration.conversation.agent].language
    probes = asyncio.run(probe_all([(one.kind, one.stage, one.settings) for one in wanted], language))
    for stage, outcome in zip(wanted, probes, strict=True):
        check = f"provider {provider}: {stage.kind} {stage.stage.name}"
        if isinstance(outcome, float):
            yield Finding(check, OK, f"answers after {outcome:.1f} s")
            continue
        message, remedy = refusal(outcome, key_place(stage.table, stage.settings.get("api_key")))
        yield Finding(check, FAILED, message, remedy)


def _handshake(name: str, configuration: Configuration) -> Iterator[Finding]:
    started = time.monotonic()
    try:
        provider = build(name, configuration)
        asyncio.run(_shake_hands(provider))
    except ApplianceError as error:
        section = configuration.providers.get(name, ProviderSection())
        message, remedy = refusal(error, key_place(name, section.api_key))
        yield Finding(f"provider {name}", FAILED, message, remedy)
    except TimeoutError:
        yield Finding(
            f"provider {name}", FAILED, f"no answer in {_HANDSHAKE_SECONDS:.0f} s", "check the network"
        )
    else:
        yield Finding(f"provider {name}", OK, f"answers after {time.monotonic() - started:.1f} s")


def refusal(error: ApplianceError, key: str = "") -> tuple[str, str]:
    """What refused, and what to do about it. `key` is where its key comes from."""
    causes = tuple(_causes(error))
    certificate = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if certificate is not None and certificate.verify_code in _CLOCK_CODES:
        return (
            f"clock: {error.message}",
            f"this device says it is {time.strftime('%Y-%m-%d %H:%M')}: set it by NTP",
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"name resolution: {error.message}", error.hint
    remedy = error.hint or _REMEDIES.get(error.code, "")
    if key and error.code == CredentialsRejected.code:
        remedy += f" (this one: {key})"
    return f"{_REFUSERS.get(error.code, error.code)}: {error.message}", remedy


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    # A library may chain an exception to itself by way of others.
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


async def _shake_hands(provider: Any) -> None:
    async with asyncio.timeout(_HANDSHAKE_SECONDS):
        try:
            await provider.warm()
            connection = await provider.connect(Setup(session="doctor"))
            await connection.close()
        finally:
            await provider.close()


Check = Callable[[Configuration], Iterator[Finding]]

CHECKS: Final[tuple[Check, ...]] = (
    *MACHINE_CHECKS, _audio, _echo, _gpio, _telephone, _names, _provider, _daemon,
)  # fmt: skip
