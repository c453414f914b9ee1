"""GPT-Live (`client.live` of OpenAI's SDK): a full-duplex model, which decides itself when to speak and to stop."""

from appliance.providers.realtime.gpt_live.provider import GptLive

__all__ = ["GptLive"]
