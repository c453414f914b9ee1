"""What the settings of all cloud services have in common: the key, the address, and how faults are told."""

import difflib
import os
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, ValidationError

from appliance.config.secrets import reveal
from appliance.errors import ConfigurationInvalid, CredentialsMissing, CredentialsRejected


def _http(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("it should begin with http:// or https://, and name a host")
    return value.rstrip("/")


HttpAddress = Annotated[str, AfterValidator(_http)]
"""Without a slash at its end; empty: the service's own."""


class ServiceSettings(BaseModel):
    """Base of the settings of a cloud service. An empty string means the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    api_key: SecretStr = SecretStr("")
    base_url: HttpAddress = ""

    def host(self, default: str) -> str:
        """For messages: never with what may stand before an @."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2] or default

    def host_name(self, default: str) -> str:
        """Of the service, without a port."""
        return urlsplit(self.base_url).hostname or default

    def key(self, service: str, variables: tuple[str, ...], environ: Mapping[str, str] = os.environ) -> str:
        """The key itself, from the settings or else the first of `variables` that is set.

        Raise CredentialsMissing where there is none, CredentialsRejected for one that cannot be one; the message does
        not hold it.
        """
        try:
            key = reveal(self.api_key, environ).strip()
        except ConfigurationInvalid as fault:
            raise CredentialsMissing(f"{service} has no key: {fault.message}", hint=fault.hint) from fault
        key = key or next((found for name in variables if (found := environ.get(name, "").strip())), "")
        if not key:
            hint = f"set {' or '.join((*variables, f'api_key in [providers.{service}]'))}"
            raise CredentialsMissing(f"{service} has no key", hint=hint)
        if not (key.isascii() and key.isprintable() and " " not in key):
            hint = "copy the key again, without quotes"
            raise CredentialsRejected(f"the key of {service} has characters that no key has", hint=hint)
        return key


SettingsT = TypeVar("SettingsT", bound=BaseModel)


def read(model: type[SettingsT], section: str, given: Mapping[str, Any]) -> SettingsT:
    """Raise ConfigurationInvalid with all faults of `section`, each with its key, and no value."""
    try:
        return model.model_validate({key: value for key, value in given.items() if not empty(value)})
    except ValidationError as fault:
        told = [_told(model, section, error) for error in fault.errors(include_input=False)]
        raise ConfigurationInvalid("; ".join(told)) from None


def empty(value: object) -> bool:
    """Whether it stands for the default."""
    bare = value.get_secret_value() if isinstance(value, SecretStr) else value
    return bare is None or bare == ""


def _told(model: type[BaseModel], section: str, error: Any) -> str:
    key = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, model.model_fields, n=1)
        return f"[{section}] has no key {key!r}" + (f": did you mean {near[0]!r}?" if near else "")
    return f"{section}.{key}: {error['msg'].removeprefix('Value error, ')}"
