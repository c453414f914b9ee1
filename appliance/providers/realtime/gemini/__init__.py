"""Gemini Live through Google's SDK (google-genai), which opens and sets up its one WebSocket."""

from appliance.providers.realtime.gemini.provider import GeminiLive

__all__ = ["GeminiLive"]
