"""The `[providers.openai]` section."""

import difflib
import os
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from appliance.config.secrets import reveal
from appliance.errors import ConfigurationInvalid, CredentialsRejected

SECTION: Final = "providers.openai"
DEFAULT_MODEL: Final = "gpt-realtime-2.1"
DEFAULT_VOICE: Final = "marin"
DEFAULT_TRANSCRIPTION: Final = "gpt-transcribe"
DEFAULT_HOST: Final = "api.openai.com"
DEFAULT_KEY: Final = SecretStr("env:OPENAI_API_KEY")


class Settings(BaseModel):
    """Checked and complete. An empty string means the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    model: str = DEFAULT_MODEL
    voice: str = ""
    language: str = ""
    api_key: SecretStr = DEFAULT_KEY
    base_url: str = ""
    turns: Literal["local", "server", "semantic"] = "local"
    """Who ends a turn: the device, the service by silence, or the service by what was said."""
    eagerness: Literal["auto", "low", "medium", "high"] = "auto"
    """Of semantic turns: how soon the service takes a turn for finished."""
    noise_reduction: Literal["auto", "near_field", "far_field", "off"] = "auto"
    """auto: far_field in the room, near_field on a telephone and for clients."""
    transcription_model: str = DEFAULT_TRANSCRIPTION
    """"off": what the person says is not written down."""
    output: Literal["audio", "text"] = "audio"
    """text: the model writes, and something else speaks."""
    reasoning: Literal["", "minimal", "low", "medium", "high", "xhigh"] = ""
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0
    max_output_tokens: Annotated[int, Field(ge=1, le=4096)] | None = None

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError("it must be http(s)://host[:port]/v1")
        return value.rstrip("/")

    @property
    def host(self) -> str:
        """For messages."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2] or DEFAULT_HOST

    @property
    def host_name(self) -> str:
        """Of the service, without a port."""
        return urlsplit(self.base_url).hostname or DEFAULT_HOST

    def key(self, environ: Mapping[str, str] = os.environ) -> str:
        """The key itself. Raise CredentialsRejected where there is none, or one that cannot be one."""
        try:
            key = reveal(self.api_key, environ).strip()
        except ConfigurationInvalid as fault:
            raise CredentialsRejected(f"openai has no key: {fault.message}", hint=fault.hint) from fault
        if not key:
            raise CredentialsRejected(
                "openai has no key", hint="set OPENAI_API_KEY or providers.openai.api_key"
            )
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise CredentialsRejected(
                "the key of openai has characters that no key has", hint="copy the key again, without quotes"
            )
        return key


def read(section: Mapping[str, Any]) -> Settings:
    """Raise ConfigurationInvalid with all faults of the section, each with its key."""
    given = {name: value for name, value in section.items() if not _empty(value)}
    try:
        return Settings.model_validate(given)
    except ValidationError as fault:
        told = [
            _told(error["loc"], error["type"], error["msg"]) for error in fault.errors(include_input=False)
        ]
        raise ConfigurationInvalid("; ".join(told)) from None


def _empty(value: object) -> bool:
    bare = value.get_secret_value() if isinstance(value, SecretStr) else value
    return bare is None or bare == ""


def _told(where: tuple[int | str, ...], kind: str, message: str) -> str:
    key = str(where[0]) if where else ""
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(key, Settings.model_fields, n=1)
        return f"[{SECTION}] has no key {key!r}" + (f": did you mean {near[0]!r}?" if near else "")
    return f"{SECTION}.{key}: {message}"
