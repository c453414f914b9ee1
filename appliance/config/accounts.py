"""The `[sip]` section as a telephone takes it: every account with all of its keys, secrets in the clear."""

from collections.abc import Mapping
from typing import Any, Final

from appliance.config.schema import Sip
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


def _account(sip: Sip) -> Mapping[str, Any]:
    return {
        **sip.model_dump(exclude={"accounts"}),
        "password": reveal(sip.password) if sip.server else "",
        "turn_password": reveal(sip.turn_password) if sip.turn else "",
    }
