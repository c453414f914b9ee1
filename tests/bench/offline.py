"""The offline provider: what it understands, what it wrongly takes for a command, how soon it answers, what it costs.

Voices of Debian's packages speak 80 commands and 75 other sentences (tests/vectors/offline), as in the
room and as over a telephone.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from appliance.audio.resample import Resampler
from appliance.frames import Frame
from appliance.interfaces import CommitTurn, ResponseAudio, SendAudio, SendText, Setup, ToolDeclaration
from appliance.providers.offline.brain import Brains, SkilledBrain
from appliance.providers.offline.provider import OfflineProvider
from tests.rig.spoken import cough, silence, speech

VOICES = ("espeak-ng:en-us", "espeak-ng:en-gb", "flite:slt", "flite:rms", "flite:awb")
FUNCTIONS = (
    *("get_time", "set_timer", "set_alarm", "cancel_timer", "list_timers", "stop_ringing"),
    *("set_volume", "set_muted", "call", "transfer_call", "hang_up"),
)
CONTACTS = ("alice", "bob", "the front desk")
VECTORS = Path(__file__).parents[1] / "vectors" / "offline"
Figure = dict[str, Any]


def measure() -> list[Figure]:
    """A figure each; the memory is that of a process of its own."""
    figures = [*_understanding(), *asyncio.run(_answering())]
    done = subprocess.run(
        [sys.executable, "-c", "from tests.bench.offline import memory; memory()"],
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    sizes: list[Figure] = json.loads(done.stdout)
    return figures + sizes


def _understanding() -> Iterator[Figure]:
    brain = Brains().build(FUNCTIONS, CONTACTS)
    commands, others = ((VECTORS / name).read_text().splitlines() for name in ("commands.txt", "others.txt"))
    false, spent, count = 0, 0.0, 0
    voices = [voice for voice in VOICES if shutil.which(voice.partition(":")[0])]
    for band in ("room", "telephone"):
        for voice in voices:
            begun = time.process_time()
            right, wrong = _commands(brain, commands, voice, band)
            taken = sum(bool(_hear(brain, text, voice, band)) for text in others)
            spent += time.process_time() - begun
            count += len(commands) + len(others)
            false += taken
            name = f"{voice}, {band}"
            yield _figure(f"commands understood ({name})", 100 * right / len(commands), "%")
            yield _figure(f"commands taken for another ({name})", 100 * wrong / len(commands), "%")
    total = len(others) * len(voices) * 2
    yield _figure("other speech taken for a command", 100 * false / total, "%", "<= 2")
    yield _figure("cpu of recognition", spent / count, "s an utterance")
    yield _figure("noise taken for speech", 100 * _noise(brain), "%", "<= 0")


def _commands(brain: SkilledBrain, commands: list[str], voice: str, band: str) -> tuple[int, int]:
    heard = [(text, _hear(brain, text, voice, band)) for text in commands]
    right = sum(_meaning(brain, text) == _meaning(brain, got) for text, got in heard if got)
    return right, sum(bool(got) for _, got in heard) - right


def _hear(brain: SkilledBrain, text: str, voice: str, band: str) -> str:
    pcm = speech(text, voice=voice, lead=0.3, tail=0.5).tobytes()
    return brain.hear(telephoned(pcm) if band == "telephone" else pcm, "", lambda: False).text


def _meaning(brain: SkilledBrain, text: str) -> tuple[str, str]:
    understood = brain.parse(text, "")
    return (understood.intent.name, repr(sorted(understood.slots.items()))) if understood else ("", "")


def telephoned(pcm: bytes) -> bytes:
    """`pcm` (16 kHz) as a telephone passes it."""
    down, up = Resampler(16_000, 8_000), Resampler(8_000, 16_000)
    narrow = down.process(pcm) + down.flush()
    return up.process(narrow) + up.flush()


def _noise(brain: SkilledBrain) -> float:
    bursts = [(seconds, seed) for seconds in (0.1, 0.2, 0.4, 0.8) for seed in range(5)]
    pcm = (
        silence(0.3).tobytes() + cough(seconds, seed=seed).tobytes() + silence(0.5).tobytes()
        for seconds, seed in bursts
    )
    return sum(brain.hear(sound, "", lambda: False).speech for sound in pcm) / len(bursts)


async def _answering() -> list[Figure]:
    """From the commit of a spoken turn, after the session's hangover, to the first sound of the answer."""
    provider = OfflineProvider({})
    spoken: list[float] = []
    typed: list[float] = []
    for turn in range(1, 11):
        connection = await provider.connect(Setup("bench"))
        if turn == 1:
            await connection.send(SendText(0, "help"))
            await _first_audio(connection)
        pcm = speech("what is twelve times seven", voice="flite:slt", lead=0.3, tail=0.6).tobytes()
        for at in range(0, len(pcm) - 639, 640):
            await connection.send(SendAudio(turn, Frame(pcm[at : at + 640], 16_000, 0.0)))
            await asyncio.sleep(0.02)
        for command, times in ((CommitTurn(turn), spoken), (SendText(100 + turn, "12 times 7"), typed)):
            begun = time.monotonic()
            await connection.send(command)
            await _first_audio(connection)
            times.append((time.monotonic() - begun) * 1000)
        await connection.close()
    await provider.close()
    return [
        _figure("spoken turn committed to first audio, median", sorted(spoken)[5], "ms", "<= 150"),
        _figure("typed turn to first audio, median", sorted(typed)[5], "ms", "<= 100"),
    ]


async def _first_audio(connection: Any) -> None:
    async with asyncio.timeout(20):
        async for event in connection:
            if isinstance(event, ResponseAudio):
                return


def memory() -> None:
    """Print the size of a process that holds one spoken offline conversation, as JSON."""
    tools = [ToolDeclaration(name, "", {}) for name in FUNCTIONS]
    pcm = speech("what is twelve times seven", voice="flite:slt", lead=0.3, tail=0.6).tobytes()

    async def talk() -> None:
        provider = OfflineProvider({})
        connection = await provider.connect(Setup("bench", tools=tools))
        for turn, sound in enumerate((pcm, telephoned(pcm)), start=1):
            await connection.send(SendAudio(turn, Frame(sound, 16_000, 0.0)))
            await connection.send(CommitTurn(turn))
            await _first_audio(connection)
        await connection.close()
        await provider.close()

    asyncio.run(talk())
    size = psutil.Process().memory_info().rss / 1e6
    print(json.dumps([_figure("memory of a process with offline calls in both bands", size, "MB", "<= 150")]))


def _figure(name: str, value: float, unit: str, goal: str = "") -> Figure:
    return {"name": name, "value": round(value, 3), "unit": unit, "goal": goal or None}
