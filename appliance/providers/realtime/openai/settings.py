"""The `[providers.openai]` section, as the realtime provider reads it."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from appliance.config import services
from appliance.config.services import ServiceSettings

SECTION: Final = "providers.openai"
DEFAULT_MODEL: Final = "gpt-realtime-2.1"
DEFAULT_VOICE: Final = "marin"
DEFAULT_TRANSCRIPTION: Final = "gpt-transcribe"
DEFAULT_HOST: Final = "api.openai.com"
KEY_VARIABLES: Final = ("OPENAI_API_KEY",)


class Settings(ServiceSettings):
    """Checked and complete. An empty string means the default."""

    model: str = DEFAULT_MODEL
    voice: str = ""
    language: str = ""
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


def read(section: Mapping[str, Any]) -> Settings:
    """Raise ConfigurationInvalid with all faults of the section, each with its key."""
    return services.read(Settings, SECTION, section)
