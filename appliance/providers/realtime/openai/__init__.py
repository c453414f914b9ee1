"""OpenAI Realtime (the GA interface), and servers that speak its protocol."""

from appliance.providers.realtime.openai.provider import OpenAiRealtime

__all__ = ["OpenAiRealtime"]
