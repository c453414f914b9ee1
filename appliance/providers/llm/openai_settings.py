"""Settings of the language model `openai`: the service, or any server that speaks as it does."""

import os
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlsplit

from appliance.providers.llm.exchange import ModelSettings

OFFICIAL_URL: Final = "https://api.openai.com/v1"
OFFICIAL_HOST: Final = "api.openai.com"
DEFAULT_MODEL: Final = "gpt-6-luna"
DEFAULT_EFFORT: Final = "none"
"""Of the default model: who talks waits, and it calls tools over Chat Completions only without thinking."""
KEY_VARIABLES: Final = ("OPENAI_API_KEY",)


class Settings(ModelSettings):
    """The keys of `[providers.openai]` and `[providers.chain]` that concern it, without `llm_`."""

    api: Literal["auto", "responses", "chat"] = "auto"
    """auto: Responses at the official address, Chat Completions at every other."""
    reasoning: Literal["", "none", "minimal", "low", "medium", "high", "xhigh", "max"] = ""
    """How much it thinks; empty: as little as the default model can, and what any other model does by itself."""
    starts_thinking: bool = False
    """The model's chat template opens <think> by itself, so that the answer holds only </think>."""

    @property
    def official(self) -> bool:
        host = urlsplit(self.base_url or OFFICIAL_URL).hostname or ""
        return host == OFFICIAL_HOST or host.endswith(f".{OFFICIAL_HOST}")

    @property
    def model_name(self) -> str:
        return self.model or DEFAULT_MODEL

    @property
    def effort(self) -> str:
        """Empty: not to be sent."""
        return self.reasoning or (
            DEFAULT_EFFORT if self.official and self.model_name == DEFAULT_MODEL else ""
        )

    @property
    def thinks(self) -> bool:
        """It is known to be a model that thinks."""
        return self.effort not in ("", "none")

    @property
    def responses(self) -> bool:
        """It is spoken to over the Responses API."""
        return self.api == "responses" or (self.api == "auto" and self.official)

    def bearer(self, environ: Mapping[str, str] = os.environ) -> str:
        """The key; empty where a server of one's own needs none. Raise CredentialsRejected as `key` does."""
        variables = self.tellable(KEY_VARIABLES)
        wanted = self.api_key.get_secret_value() or any(environ.get(name, "").strip() for name in variables)
        return self.key("openai", variables, environ) if self.official or wanted else ""
