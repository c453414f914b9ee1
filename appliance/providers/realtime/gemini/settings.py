"""The `[providers.gemini]` section, as the realtime provider reads it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator

from appliance.config import services
from appliance.config.services import ServiceSettings

SECTION: Final = "providers.gemini"
MODEL: Final = "gemini-3.8-live"
HOST: Final = "generativelanguage.googleapis.com"
KEY_VARIABLES: Final = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
_BASE_URL: Final = re.compile(r"^https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?/?$")


class Settings(ServiceSettings):
    """Checked and complete."""

    model: str = MODEL
    voice: str = ""
    language: str = ""
    """BCP-47 code, as "de-DE", to fix the language; without it the model follows the person."""
    turns: Literal["local", "server"] = "local"
    """Who finds the end of a turn: the appliance's own detector, or the service."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    start_sensitivity: Literal["", "low", "high"] = ""
    end_sensitivity: Literal["", "low", "high"] = ""
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5_000)] | None = None
    silence_ms: Annotated[int, Field(ge=0, le=10_000)] | None = None
    compress_from_tokens: Annotated[int, Field(ge=5_000, le=128_000)] | None = None
    compress_to_tokens: Annotated[int, Field(ge=0, le=128_000)] | None = None

    @field_validator("base_url")
    @classmethod
    def _base(cls, value: str) -> str:
        if value and not _BASE_URL.match(value):
            raise ValueError("write http(s)://host[:port]")
        return value.rstrip("/")


def read(section: Mapping[str, Any]) -> Settings:
    """Raise ConfigurationInvalid with all faults of the section, each with its key."""
    return services.read(Settings, SECTION, section)
