"""One side of the card before a sound server that begins streams anew, moves them, is slow, or goes."""

from collections.abc import Callable

import pytest

from drivers.audio_pyaudio.library import SERVER_DEVICE
from drivers.audio_pyaudio.place import NOWHERE, place_of
from drivers.audio_pyaudio.side import (
    ENDED,
    FIRST_BLOCK_SECONDS,
    GONE,
    MISSING_SECONDS,
    MOVED,
    SILENT_SECONDS,
    STALLED,
    UNTOLD,
    UNTOLD_SECONDS,
    Side,
    Target,
)
from drivers.audio_pyaudio.taps import Counts, MicrophoneTap, SpeakerTap
from drivers.pulse_watch import Kind, PulseWatch, ServerEvent

RATE = 48_000
FRAMES = 960
DEVICE, MONITOR = 4, 5
FACILITY = {"input": "source-output", "output": "sink-input"}
DEVICE_FACILITY = {"input": "source", "output": "sink"}
TIMES = {"current_time": 9.0, "input_buffer_adc_time": 8.98, "output_buffer_dac_time": 9.06}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    clock = Clock()
    monkeypatch.setattr("drivers.audio_pyaudio.side.time.monotonic", lambda: clock.now)
    monkeypatch.setattr("drivers.audio_pyaudio.side.time.sleep", clock.go)
    monkeypatch.setattr("drivers.audio_pyaudio.side.sound_cards", lambda: clock.cards)
    return clock


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.cards = "0 [USB]"

    def go(self, seconds: float) -> None:
        self.now += seconds


class Server(PulseWatch):
    """Lists the `present` streams, unless it is too `busy` to answer within 2 s; `meanwhile` happens as it answers."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(lambda event: None)
        self.clock = clock
        self.present: dict[int, int] = {}
        self.busy = False
        self.running = True
        self.meanwhile: list[Callable[[], None]] = []

    @property
    def up(self) -> bool:
        return self.running

    def streams(self, kind: Kind) -> dict[int, int] | None:
        if self.busy:
            self.clock.go(2.0)
            return None
        listed = dict(self.present)
        self.clock.go(0.01)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return listed


class Port:
    """A stream of PortAudio's."""

    active = True

    def __init__(self, started: Callable[[], None]) -> None:
        self.start_stream = started

    def is_active(self) -> bool:
        return self.active

    def close(self) -> None:
        self.active = False


class Room:
    """A side, its server, and the blocks that pass."""

    def __init__(self, clock: Clock, kind: Kind) -> None:
        self.clock, self.kind = clock, kind
        self.server = Server(clock)
        self.side = Side(kind, "default")
        self.port = Port(lambda: self.begins(1))
        self.heard: list[float] = []

    def take(self, *, device: str = SERVER_DEVICE) -> bool:
        tap: MicrophoneTap | SpeakerTap
        if self.kind == "input":
            tap = MicrophoneTap(Counts(), RATE, lambda pcm, at: self.heard.append(self.clock.now))
        else:
            tap = SpeakerTap(Counts(), RATE, lambda samples: bytes(2 * samples), 0.04)
        self.tap = tap
        target = Target(device, "usb", frozenset({DEVICE}))
        return self.side.take(lambda: self.port, tap, target, self.server)

    def tell(self, change: str, stream: int) -> bool:
        return self.side.hear(ServerEvent(change, FACILITY[self.kind], stream))

    def begins(self, stream: int, device: int = DEVICE) -> None:
        self.server.present[stream] = device
        self.tell("new", stream)

    def ends(self, stream: int) -> None:
        self.server.present.pop(stream)
        self.tell("remove", stream)

    def renews(self, old: int, new: int, device: int = DEVICE) -> None:
        self.ends(old)
        self.begins(new, device)

    def moves(self, stream: int, device: int) -> None:
        self.server.present[stream] = device
        self.tell("change", stream)

    def loses_the_device(self) -> None:
        self.side.hear(ServerEvent("remove", DEVICE_FACILITY[self.kind], DEVICE))

    def block(self) -> bool:
        """Whether a block passes to the appliance or from it, now."""
        before = len(self.heard)
        self.tap(bytes(2 * FRAMES), FRAMES, TIMES, 0)
        return self.kind == "output" or len(self.heard) > before

    def fault(self) -> str:
        return self.side.fault(self.server)

    def fault_within(self, seconds: float, *, blocks: bool) -> str:
        """The first fault of so long, looked for at 4 Hz."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            if blocks:
                self.block()
            if reason := self.fault():
                return reason
            self.clock.go(0.25)
        return ""


@pytest.fixture(params=["input", "output"])
def room(request: pytest.FixtureRequest, clock: Clock) -> Room:
    room = Room(clock, request.param)
    assert room.take()
    assert room.block()
    return room


@pytest.fixture
def microphone(clock: Clock) -> Room:
    room = Room(clock, "input")
    assert room.take()
    assert room.block()
    return room


def test_a_stream_that_the_server_begins_anew_on_the_same_device_is_no_loss(room):
    for stream in range(1, 20):
        room.ends(stream)
        room.begins(stream + 1)
        assert room.fault() == ""
        assert room.block()


def test_a_stream_that_begins_anew_on_another_device_is_moved_and_nothing_of_it_is_heard(microphone):
    microphone.ends(1)
    microphone.begins(2, MONITOR)
    assert not microphone.block()
    assert microphone.fault() == MOVED
    assert not microphone.block()


def test_a_stream_that_is_moved_is_shut_at_once_and_told_as_moved(microphone):
    microphone.moves(1, MONITOR)
    assert not microphone.block()
    assert microphone.fault() == MOVED


def test_a_stream_that_begins_anew_while_the_server_lists_it_is_heard_only_when_its_own_place_is_known(
    microphone,
):
    microphone.ends(1)
    microphone.begins(2)
    microphone.server.meanwhile = [lambda: microphone.renews(2, 3, MONITOR)]
    assert microphone.fault() == ""
    assert not microphone.block()
    assert microphone.fault() == MOVED


def test_between_the_end_of_a_stream_and_the_next_a_microphone_is_shut_and_kept(microphone):
    microphone.ends(1)
    assert microphone.fault() == ""
    assert not microphone.block()
    assert microphone.tell("new", 2)  # woken: it looks again at once
    microphone.server.present[2] = DEVICE
    assert microphone.fault() == ""
    assert microphone.block()


def test_a_stream_that_does_not_come_back_was_ended(microphone):
    microphone.ends(1)
    assert microphone.fault_within(MISSING_SECONDS - 0.1, blocks=True) == ""
    assert microphone.fault_within(0.5, blocks=True) == ENDED


def test_a_device_that_is_removed_with_its_stream_is_gone_at_once(room):
    room.ends(1)
    room.loses_the_device()
    assert room.fault() == GONE


def test_a_device_that_is_removed_after_its_stream_was_moved_is_told_as_moved_at_once(room):
    room.moves(1, MONITOR)
    room.loses_the_device()
    assert room.fault() == MOVED


def test_a_server_too_slow_to_answer_shuts_a_microphone_and_loses_none(microphone):
    microphone.tell("change", 1)
    microphone.server.busy = True
    assert microphone.fault_within(4, blocks=True) == ""
    assert not microphone.block()
    microphone.server.busy = False
    assert microphone.fault() == ""
    assert microphone.block()


def test_a_server_that_never_answers_again_is_told(microphone):
    microphone.tell("change", 1)
    microphone.server.busy = True
    assert microphone.fault_within(UNTOLD_SECONDS + 3, blocks=True) == UNTOLD


def test_a_speaker_sounds_on_while_the_server_does_not_answer(clock):
    room = Room(clock, "output")
    assert room.take()
    room.tell("change", 1)
    room.server.busy = True
    assert room.fault_within(60, blocks=True) == ""


def test_a_stream_that_is_just_being_closed_is_not_taken_for_the_new_one(clock):
    room = Room(clock, "input")
    room.server.present[7] = DEVICE
    room.port.start_stream = lambda: room.begins(8, MONITOR)
    assert not room.take()
    room.server.present[7], room.server.busy = DEVICE, True
    assert not room.take()
    assert not room.side.open


def test_the_first_of_the_two_streams_of_an_opening_is_not_kept(clock):
    room = Room(clock, "input")
    # Before the opening there is nothing to list; the first look after it sees the stream that then ends.
    room.server.meanwhile = [lambda: None, lambda: room.renews(1, 2)]
    assert room.take()
    assert room.block()
    assert room.tell("change", 2)
    assert not room.block()


def test_taking_a_stream_wakes_nobody_to_try_again(clock):
    room = Room(clock, "input")
    woken: list[bool] = []
    room.port.start_stream = lambda: woken.append(room.tell("new", 1))
    assert not room.take()  # it is never listed
    assert woken == [False]


@pytest.mark.parametrize("pause", [0.25, 0.5, 1.0, 2.5])
def test_a_pause_of_a_starved_machine_is_no_loss(room, pause):
    assert room.fault() == ""
    assert room.fault_within(pause, blocks=False) == ""
    room.block()
    assert room.fault() == ""


def test_silence_that_lasts_is_told_as_silence(room):
    assert room.fault_within(SILENT_SECONDS + 1, blocks=False) == STALLED


def test_silence_after_a_card_was_pulled_or_the_server_ended_is_told_soon(room, clock):
    room.fault()
    clock.cards = ""
    assert room.fault_within(0.6, blocks=False) == STALLED
    clock.cards = "0 [USB]"
    assert room.block()
    assert room.fault() == ""
    room.server.running = False
    assert room.fault_within(0.6, blocks=False) == STALLED


def test_a_stream_that_never_begins_to_sound_is_told(clock):
    room = Room(clock, "output")
    assert room.take()
    assert room.fault_within(FIRST_BLOCK_SECONDS + 1, blocks=False) == "no audio came"


def test_a_stream_on_its_way_between_two_devices_is_not_moved_yet():
    assert place_of({3: NOWHERE}, (), {DEVICE}).verdict == "missing"
    assert place_of({3: NOWHERE, 4: DEVICE}, (), {DEVICE}).stream == 4


def test_one_stream_at_a_wrong_device_is_enough_to_be_moved():
    assert place_of({3: DEVICE, 4: MONITOR}, (), {DEVICE}).verdict == "moved"
    assert place_of({3: MONITOR, 4: DEVICE}, {3}, {DEVICE}).verdict == "right"
