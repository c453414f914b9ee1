"""What a GPT-Live session begins with: its configuration, which cannot be changed later, and the history. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from appliance.interfaces import CalledTool, HistoryItem, Setup
from appliance.voice_names import openai_voice, wished

RATE: Final = 16_000
HISTORY_MESSAGES: Final = 128
"""The service takes no more at the start."""

Message = Mapping[str, Any]


def start_message(
    setup: Setup, *, model: str, voice: str, language: str, tool_model: str, store: bool = False
) -> Message:
    """`session.start`: what cannot be changed later, and the history, which is neither answered nor spoken."""
    session: dict[str, Any] = {
        "model": model,
        "instructions": _instructions(setup.instructions, language or setup.language),
        "audio": {"format": {"type": "audio/pcm", "rate": RATE}},
        "store": store,
    }
    if chosen := wished(setup.voice, "openai") or voice:
        session["audio"]["output"] = {"voice": openai_voice(chosen)}
    if setup.tools:
        session["delegation"] = {"type": "responses", "responses": _backend(setup, tool_model)}
    if setup.history:
        session["input"] = [_message(item) for item in list(setup.history)[-HISTORY_MESSAGES:]]
    return {"type": "session.start", "session": session}


def _instructions(instructions: str, language: str) -> str:
    return (
        f"{instructions}\n\nSpeak the language with the code {language}.".strip()
        if language
        else instructions
    )


def _backend(setup: Setup, model: str) -> Mapping[str, Any]:
    tools = [
        {
            "type": "function",
            "name": one.name,
            "description": one.description,
            "parameters": dict(one.parameters),
        }
        for one in setup.tools
    ]
    return {"model": model, "instructions": setup.instructions, "tools": tools}


def _message(item: HistoryItem | CalledTool) -> Message:
    if isinstance(item, CalledTool):
        outcome = f" The result: {item.outcome}" if item.outcome is not None else " The result is to come."
        text = f"The tool {item.tool} was called with {item.arguments}.{outcome}"
        return {"role": "developer", "content": [{"type": "input_text", "text": text}]}
    kind = "output_text" if item.role == "assistant" else "input_text"
    return {"role": item.role, "content": [{"type": kind, "text": item.text}]}
