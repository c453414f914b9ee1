"""From the first sound of somebody who talks over the appliance to silence: on a call (RTP to RTP) and in the room."""

import asyncio
import functools
import os
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.rig.appliance import Handset
from tests.rig.control_client import ControlClient
from tests.rig.room_person import RoomPerson
from tests.rig.sound_server import SPEAKER, SoundServer
from tests.rig.spoken import speech
from tests.rig.telephone_sound import LOUD, RATE, Talker, calling, from_mu_law

Figure = dict[str, Any]
TRIALS = 24
UNPAUSED = "one two three four five six seven eight nine ten " * 4
"""One sentence: the voice makes no pause of its own that could be taken for the effect."""
INTERRUPTION = "alright wait a moment please i have heard enough"
FLAT = 100
ECHO_DB = -20.0
ABOVE_ECHO = 4_000
"""The person is louder than this, the echo is not."""
PIECE_SECONDS = 0.01


def measure() -> list[Figure]:
    """All figures; about seven minutes."""
    return [*asyncio.run(_phone()), *asyncio.run(_room()), *asyncio.run(_room(echo_db=ECHO_DB))]


def _figures(name: str, delays: list[float]) -> list[Figure]:
    return [
        {
            "name": f"barge_in_{name}_p50",
            "value": round(float(np.percentile(delays, 50)), 1),
            "unit": "ms",
            "goal": "<= 180",
        },
        {
            "name": f"barge_in_{name}_p95",
            "value": round(float(np.percentile(delays, 95)), 1),
            "unit": "ms",
            "goal": "<= 250",
        },
        {"name": f"barge_in_{name}_worst", "value": round(max(delays), 1), "unit": "ms", "goal": ""},
        {"name": f"barge_in_{name}_trials", "value": len(delays), "unit": "trials", "goal": ">= 20"},
    ]


def silent_from(pieces: list[tuple[float, bool]], onset: float, until: float) -> float:
    """When the first piece came after `onset` from which on nothing sounds until `until`; `pieces` are (came, loud)."""
    loud = [came for came, sounds in pieces if sounds and onset <= came <= until]
    last = max(loud, default=onset)
    return min((came for came, sounds in pieces if came > last), default=last)


async def _phone() -> list[Figure]:
    delays: list[float] = []
    async with Handset(sip={}) as handset, calling(handset.sip_port) as caller:
        talker = Talker(caller)
        client = handset.client
        await client.event("call", state="connected")
        session = (await client.state())["sessions"][0]["id"]
        for _ in range(TRIALS):
            since = len(caller.arrived)
            await client.ask("say", session=session, text=UNPAUSED)
            await talker.sounds(for_seconds=1.0, since=since)
            sent = len(caller.sent)
            lasts = talker.say(INTERRUPTION)
            await asyncio.sleep(lasts)
            onset = _first_loud(caller.sent[sent:])
            pieces = [(came, bool(_peak(payload) > FLAT)) for came, payload in caller.arrived[since:]]
            delays.append((silent_from(pieces, onset, onset + lasts - 0.1) - onset) * 1000)
            await _calm(client, session)
            await talker.quiet()
    return _figures("phone", delays)


def _first_loud(packets: list[tuple[float, bytes]]) -> float:
    return next(came for came, payload in packets if _peak(payload) > LOUD)


def _peak(payload: bytes) -> int:
    return int(np.abs(from_mu_law(payload).astype(int)).max())


async def _calm(client: ControlClient, session: str, seconds: float = 30.0) -> None:
    """Have enough of whatever it says now; wait until it has nothing more to say."""
    await client.ask("session.interrupt", session=session)
    deadline = time.monotonic() + seconds
    calm_since = time.monotonic()
    while time.monotonic() - calm_since < 1.0:
        turns = client.of("turn", session=session)
        if turns and turns[-1]["state"] != "idle":
            calm_since = time.monotonic()
        if time.monotonic() > deadline:
            raise TimeoutError("the session does not come to rest")
        await asyncio.sleep(0.05)


class _Monitor:
    """What a sink sounds, in pieces of 10 ms with the time they came: the same delay for all sinks."""

    def __init__(self, server: SoundServer, source: str) -> None:
        command = ["parec", f"--device={source}", "--raw", "--format=s16le", f"--rate={RATE}", "--channels=1"]
        self._process = subprocess.Popen(
            [*command, "--latency-msec=10", "--process-time-msec=10"],
            env={**os.environ, **server.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.pieces: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def loud_pieces(self, since: int, *, above: int = LOUD) -> int:
        return sum(peak > above for _, peak in self.pieces[since:])

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        size = round(RATE * PIECE_SECONDS) * 2
        while len(piece := self._process.stdout.read(size)) == size:
            peak = int(np.abs(np.frombuffer(piece, dtype="<i2").astype(int)).max())
            self.pieces.append((time.monotonic(), peak))


async def _room(echo_db: float | None = None) -> list[Figure]:
    """With `echo_db`, the microphone hears the speaker as well, so much louder or quieter than it plays."""
    delays: list[float] = []
    clear = ABOVE_ECHO if echo_db is not None else LOUD
    with SoundServer() as server, RoomPerson(server) as person:
        air, speaker = _Monitor(server, "auto_null.monitor"), _Monitor(server, f"{SPEAKER}.monitor")
        if echo_db is not None:
            server.play_echo(latency_ms=60, level_db=echo_db)
        async with Handset(sound=server) as handset:
            client = handset.client
            for _ in range(TRIALS):
                since = len(speaker.pieces)
                said = await client.ask("say", line="room", text=UNPAUSED)
                await _until(functools.partial(speaker.loud_pieces, since), more_than=100)
                begin = len(air.pieces)
                lasts = person.say(INTERRUPTION)
                await _until(functools.partial(air.loud_pieces, begin, above=clear), more_than=0)
                await asyncio.sleep(lasts + 0.2)
                onset = next(came for came, peak in air.pieces[begin:] if peak > clear) - _rise(clear)
                pieces = [(came, peak > FLAT) for came, peak in speaker.pieces[since:]]
                delays.append((silent_from(pieces, onset, onset + lasts - 0.1) - onset) * 1000)
                await _calm(client, said["session"])
        air.stop()
        speaker.stop()
    return _figures("room" if echo_db is None else "room_with_echo", delays)


def _rise(level: int) -> float:
    """Seconds from the interruption's first sound to where it is louder than `level`."""
    loudness = np.abs(speech(INTERRUPTION, RATE).astype(int))
    first, clear = (int(np.argmax(loudness > least)) for least in (LOUD, level))
    return (clear - first) / RATE


async def _until(count: Callable[[], int], *, more_than: int, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while count() <= more_than:
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come about")
        await asyncio.sleep(0.01)
