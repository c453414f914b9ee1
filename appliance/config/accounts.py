"""The `[sip]` section as a telephone takes it: every account with all of its keys, secrets in the clear."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from appliance.config.schema import FIRST_ACCOUNT, Sip
from appliance.config.secrets import reveal

OF_AN_ACCOUNT: Final = frozenset(
    (
        *(
            "server",
            "user",
            "auth_user",
            "password",
            "display_name",
            "transport",
            "outbound_proxy",
            "expiry",
            "srtp",
        ),
        *("ca", "ice", "turn", "turn_user", "turn_password", "agent", "auto_answer", "ring_time"),
    )
)
"""Keys that a reload puts in force."""


def plain(sip: Sip) -> dict[str, Any]:
    """Raise ConfigurationInvalid where a secret's reference leads nowhere."""
    return {**_account(sip), "accounts": {name: _account(sip.of(name)) for name in sip.accounts}}


def reloadable(before: Sip, after: Sip) -> bool:
    """Whether only accounts differ."""
    left = {*OF_AN_ACCOUNT, "accounts"}
    return before.model_dump(exclude=left) == after.model_dump(exclude=left)


def open_keys(sip: Sip) -> Iterator[tuple[str, str, str]]:
    """Key, message and hint of each account that sends the keys of its SRTP where they can be read."""
    for name, account in sip.each().items() if sip.enabled else ():
        if account.srtp == "off" or account.transport == "tls":
            continue
        message = f"with transport {account.transport}, the keys of srtp travel in plain text"
        if name == FIRST_ACCOUNT:
            yield "sip.srtp", message, 'transport = "tls"'
            continue
        own = sip.accounts[name]
        if own.srtp is not None or own.transport is not None:
            key = "srtp" if own.srtp is not None else "transport"
            yield f"sip.accounts.{name}.{key}", message, 'transport = "tls"'


def without_password(sip: Sip) -> Iterator[tuple[str, str, str]]:
    """Key, message and hint of each account at a server that will most likely ask for one."""
    for name, account in sip.each().items() if sip.enabled else ():
        if account.server and not account.password.get_secret_value():
            prefix, reference = (
                ("sip", "sip") if name == FIRST_ACCOUNT else (f"sip.accounts.{name}", f"sip-{name}")
            )
            message = f"{account.server} will hardly register {account.user or 'it'}: there is no password"
            yield f"{prefix}.password", message, f'password = "credential:{reference}", or "file:PATH"'


def switched_off(sip: Sip) -> Iterator[tuple[str, str, str]]:
    """Key, message and hint where an account stands there and the telephone is off."""
    if not sip.enabled and (sip.server or sip.accounts):
        yield "sip.enabled", "an account is set, and the telephone is off", "enabled = true in [sip]"


def over_tls(sip: Sip) -> list[str]:
    """The keys that have an account use TLS, unless an outdated library may serve for it."""
    if not sip.enabled or sip.force_old_tls:
        return []
    keys = ["sip.transport"] if sip.server and sip.transport == "tls" else []
    return keys + [
        f"sip.accounts.{name}.transport"
        for name, account in sip.accounts.items()
        if account.transport == "tls"
    ]


def _account(sip: Sip) -> Mapping[str, Any]:
    return {
        **sip.model_dump(exclude={"accounts"}),
        "password": reveal(sip.password) if sip.server else "",
        "turn_password": reveal(sip.turn_password) if sip.turn else "",
    }
