"""A stand-in with faster-whisper's interface, for machines without it: what it is told is decoded by `Recogniser`.

Put `tests/fakes/modules` on sys.path to import it. It refuses what the library refuses, and looks nothing up.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.rig.coded_speech import Recogniser

COMPUTE_TYPES = frozenset({"default", "auto", "int8", "int8_float16", "int8_float32", "float16", "float32"})
LANGUAGES = frozenset({"en", "de", "fr"})
OPTIONS = frozenset(
    {"language", "beam_size", "hotwords", "temperature", "condition_on_previous_text", "without_timestamps"}
)
instances: list["WhisperModel"] = []
"""All models that were loaded."""


@dataclass(frozen=True)
class Segment:
    text: str
    no_speech_prob: float = 0.0
    avg_logprob: float = -0.1


@dataclass(frozen=True)
class TranscriptionInfo:
    language: str
    duration: float


class WhisperModel:
    def __init__(
        self,
        model_size_or_path: str,
        device: str = "auto",
        device_index: int = 0,
        compute_type: str = "default",
        cpu_threads: int = 0,
        num_workers: int = 1,
        download_root: str | None = None,
        local_files_only: bool = False,
        files: dict[str, Any] | None = None,
    ) -> None:
        if not local_files_only or not Path(model_size_or_path).is_dir():
            raise AssertionError("it would look for the model in the network")
        if compute_type not in COMPUTE_TYPES:
            raise ValueError(f"Invalid compute type: {compute_type}")
        if not (Path(model_size_or_path) / "model.bin").read_bytes():
            raise RuntimeError("Unsupported model binary version")
        self.says = ""
        """Instead of what was said."""
        self.takes = 0.0
        """Seconds."""
        self.asked: list[dict[str, Any]] = []
        self.threads: set[str] = set()
        self.at_once = 0
        instances.append(self)

    def transcribe(
        self, audio: "np.typing.NDArray[np.float32]", **options: Any
    ) -> tuple[Iterator[Segment], TranscriptionInfo]:
        unknown = options.keys() - OPTIONS
        if unknown:
            raise TypeError(f"transcribe() got an unexpected keyword argument {min(unknown)!r}")
        if audio.dtype != np.float32 or audio.ndim != 1:
            raise AssertionError("it takes float32 at 16 kHz")
        if options.get("language") not in {None, *LANGUAGES}:
            raise ValueError(f"'{options['language']}' is not a valid language code")
        self.asked.append(options)
        return self._segments(audio), TranscriptionInfo(options.get("language") or "en", len(audio) / 16_000)

    def _segments(self, audio: "np.typing.NDArray[np.float32]") -> Iterator[Segment]:
        self.threads.add(threading.current_thread().name)
        self.at_once += 1
        assert self.at_once == 1, "one worker"
        time.sleep(self.takes)
        self.at_once -= 1
        ear = Recogniser(16_000)
        ear.hear((audio * 32_768).astype("<i2").tobytes())
        ear.flush()
        words = (self.says or ear.text).split()
        half = (len(words) + 1) // 2
        for part in (words[:half], words[half:]):
            if part:
                yield Segment(f" {' '.join(part)}")
