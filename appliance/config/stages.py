"""Which keys of `[providers.NAME]` and of `[providers.chain]` concern a stage of the chain.

`[providers.deepgram] model = "nova-3"` is of the one kind of stage that deepgram has. `[providers.openai]` has a
realtime model too: there `llm_model`, `stt_model` and `tts_voice` are of the stages, and what stands without a kind and
is not shared (`shared_keys`) is not. `llm_base_url` in `[providers.chain]` overrules all: a language model on the own
network, beside the cloud's; such an address has a key of its own (`llm_api_key`), or none.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from pydantic import BaseModel

from appliance.config.services import empty

KINDS: Final = ("stt", "llm", "tts")
LAST_VOICE: Final = "espeak"
"""Whoever has an answer should hear it: the device's own voice is the last rung, named or not."""


class StageSettings(Protocol):
    """What is looked at of a stage's class."""

    settings_model: type[BaseModel]
    shared_keys: frozenset[str]


def stage_settings(
    kind: str, stage: StageSettings, section: Mapping[str, Any], chain: Mapping[str, Any]
) -> dict[str, Any]:
    """The keys for a stage's factory: of `section`, and over them those of `chain`, which are the first rung's.

    Of `chain` only keys that the stage has are taken.
    """
    prefix = f"{kind}_"
    own = {key: value for key, value in section.items() if key in stage.shared_keys}
    apart = {key.removeprefix(prefix): value for key, value in section.items() if key.startswith(prefix)}
    over = {key.removeprefix(prefix): value for key, value in chain.items() if key.startswith(prefix)}
    apart |= {key: value for key, value in over.items() if key in stage.settings_model.model_fields}
    apart = {key: value for key, value in apart.items() if not empty(value)}
    if "base_url" in apart:
        # Another address than the service's: its key is not told there.
        own.pop("api_key", None)
    return {key: value for key, value in (own | apart).items() if not empty(value)}
