"""Which model of a server of one's own is asked where the configuration names none. Pure.

Source: `GET /v1/models` as llama.cpp, Ollama, vLLM and LM Studio answer it.
"""

import json
import re
from collections.abc import Sequence
from typing import Final

from appliance.errors import SetupRejected
from appliance.providers.llm.openai_settings import DEFAULT_MODEL

NAME_BOUND: Final = 256
_NO_TALKER: Final = re.compile(r"embed|rerank|whisper|tts|(^|[/_-])bge[_-]", re.IGNORECASE)


def offered(body: bytes) -> list[str] | None:
    """The names in a server's list; None for what is no list."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    entries = value.get("data") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        return None
    names = [entry.get("id") for entry in entries if isinstance(entry, dict)]
    return [name for name in names if isinstance(name, str) and 0 < len(name) <= NAME_BOUND]


def chosen(names: Sequence[str], host: str) -> str:
    """The service's own default where a server has it, else the first that talks. Raise SetupRejected without any."""
    if not names:
        raise SetupRejected(
            f"openai: {host} has no model", hint="have it load one, or name one with llm_model"
        )
    talkers = [name for name in names if not _NO_TALKER.search(name)]
    return DEFAULT_MODEL if DEFAULT_MODEL in names else (talkers or list(names))[0]
