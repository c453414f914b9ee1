"""Piper for tests: a program that takes its options, a line a text, and says raw samples on standard output.

    piper = install(directory)                      # the program, and a voice beside it
    PiperTts({"command": piper.command, "model": piper.model})
    piper.will("hang")                              # or "crash", "break off", "say nothing"; "" from then on

It refuses what the real one refuses, and writes down what it was run with.
"""

import argparse
import json
import os
import random
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

RATE = 22_050
MS_PER_CHARACTER = 20


def sound_of(text: str) -> bytes:
    """How a line sounds."""
    return random.Random(zlib.crc32(text.encode())).randbytes(len(text) * MS_PER_CHARACTER * RATE // 1000 * 2)


@dataclass(frozen=True)
class Piper:
    command: str
    model: str

    def will(self, what: str) -> None:
        Path(f"{self.model}.will").write_text(what)

    @property
    def runs(self) -> list[dict[str, object]]:
        """Options and lines of each process that was told something, in the order in which they ended."""
        log = Path(f"{self.model}.log")
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def loaded(self) -> int:
        """Processes that have loaded their voice."""
        log = Path(f"{self.model}.loads")
        return len(log.read_text()) if log.exists() else 0

    def alive(self) -> list[int]:
        """Processes that run now."""
        found = []
        for directory in Path("/proc").iterdir():
            if directory.name.isdigit():
                try:
                    if self.model.encode() in (directory / "cmdline").read_bytes():
                        found.append(int(directory.name))
                except OSError:
                    continue
        return found


def install(directory: Path) -> Piper:
    """The program and a voice in `directory`."""
    command, model = directory / "piper", directory / "voice.onnx"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{Path(__file__).resolve()}" "$@"\n')
    command.chmod(0o755)
    model.write_bytes(b"onnx")
    Path(f"{model}.json").write_text(json.dumps({"audio": {"sample_rate": RATE}}))
    return Piper(str(command), str(model))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("-m", "--model", required=True)
    options.add_argument("--output-raw", "--output_raw", action="store_true")
    options.add_argument("-s", "--speaker", type=int)
    options.add_argument("--length-scale", "--length_scale", type=float)
    args, unknown = options.parse_known_args()
    if unknown or not args.output_raw or not Path(args.model).is_file():
        sys.exit(2)
    with Path(f"{args.model}.loads").open("a") as log:
        log.write(".")
    lines = [line.strip() for line in sys.stdin if line.strip()]
    if not lines:
        return
    told = Path(f"{args.model}.will")
    will = told.read_text() if told.exists() else ""
    if will == "hang":
        time.sleep(60)
    if will == "crash":
        os.abort()
    for line in lines:
        sound = sound_of(line)
        for begin in range(0, len(sound), 3_001):
            sys.stdout.buffer.write(sound[begin : begin + 3_001] if will != "say nothing" else b"")
            sys.stdout.buffer.flush()
            if will == "break off":
                os.abort()
    with Path(f"{args.model}.log").open("a") as log:
        log.write(json.dumps({"speaker": args.speaker, "length": args.length_scale, "lines": lines}) + "\n")


if __name__ == "__main__":
    main()
