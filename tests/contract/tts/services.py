"""The services that speak, and how they differ for the tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.providers.tts.cartesia import CartesiaTts
from appliance.providers.tts.elevenlabs import ElevenLabsTts
from appliance.providers.tts.openai import OpenAiTts
from appliance.providers.tts.terms import Terms
from appliance.stages import TextToSpeech
from tests.fakes import openai_speech
from tests.fakes.cartesia import FakeCartesia
from tests.fakes.elevenlabs import FakeElevenLabs
from tests.fakes.openai_speech import FakeOpenAiSpeech
from tests.fakes.speech_cloud import STEPS

GREETING = "Hello there, this is your handset speaking."
PATIENT = Terms(dial=20.0, patience=20.0, keep=60.0)
HASTY = Terms(dial=0.3, patience=0.3, keep=60.0)


@dataclass(frozen=True)
class Service:
    """How a service differs from the others, for the tests. `rates` are wanted and given."""

    name: str
    cloud: Callable[[], Any]
    stage: Callable[..., TextToSpeech]
    rates: Mapping[int, int]
    variable: str
    steps: tuple[str, ...] = STEPS
    words: bool = True
    socket: bool = True
    """Pieces share a socket that is kept."""
    wrong: Mapping[str, str] = field(default_factory=lambda: {"model": "no-such-model", "voice": "nobody"})
    """Settings that the service refuses."""

    def __str__(self) -> str:
        return self.name


CARTESIA = Service(
    "cartesia",
    FakeCartesia,
    CartesiaTts,
    {8_000: 8_000, 16_000: 16_000, 24_000: 24_000, 48_000: 48_000, 11_025: 16_000, 96_000: 48_000},
    "CARTESIA_API_KEY",
)
ELEVENLABS = Service(
    "elevenlabs",
    FakeElevenLabs,
    ElevenLabsTts,
    {8_000: 8_000, 16_000: 16_000, 24_000: 24_000, 48_000: 24_000, 11_025: 16_000},
    "ELEVENLABS_API_KEY",
)
OPENAI = Service(
    "openai",
    FakeOpenAiSpeech,
    OpenAiTts,
    {8_000: 24_000, 24_000: 24_000, 48_000: 24_000},
    "OPENAI_API_KEY",
    steps=openai_speech.STEPS,
    words=False,
    socket=False,
)
SERVICES = [CARTESIA, ELEVENLABS, OPENAI]
SOCKETS = [service for service in SERVICES if service.socket]
SPOKEN = [service for service in SERVICES if service.words]
