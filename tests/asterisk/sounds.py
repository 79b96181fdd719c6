"""Sounds for the test bed, made here so that none has to be shipped: tones, and noise that an answering-machine
detector takes for speech."""

from __future__ import annotations

import math
import random
import struct
import wave
from pathlib import Path

RATE_HZ = 8000
ULAW_SILENCE = b"\xff"
"""Silence in G.711 µ-law: the code of amplitude zero."""


def tone(path: Path, frequency_hz: float, seconds: float) -> None:
    """A sine tone as 16-bit mono WAV, which every Asterisk can play."""
    count = int(RATE_HZ * seconds)
    samples = (int(6000 * math.sin(2 * math.pi * frequency_hz * n / RATE_HZ)) for n in range(count))
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(struct.pack(f"<{count}h", *samples))


def silence(seconds: float) -> bytes:
    """µ-law bytes of `seconds` without sound."""
    return ULAW_SILENCE * int(RATE_HZ * seconds)


def speech(rng: random.Random, seconds: float) -> bytes:
    """µ-law bytes of loud noise: codes of either sign whose magnitude is in the upper segments."""
    return bytes(rng.choice((0x00, 0x80)) | rng.randrange(0x30) for _ in range(int(RATE_HZ * seconds)))


def write_all(data: Path) -> None:
    """What a campaign plays (safe message of 3 s, beep of 1 s) and the waiting music, under Asterisk's data folder."""
    tone(data / "sounds/en/cadran-safe-harbour.wav", 600, 3)
    tone(data / "sounds/en/cadran-beep.wav", 800, 1)
    tone(data / "moh/waiting.wav", 440, 10)


def write_voices(folder: Path) -> None:
    """What far ends say over RTP, as raw µ-law: a short hello, an answering machine's greeting, a conversation."""
    rng = random.Random(7)  # any seed: the sounds must only be the same each time
    words = [speech(rng, 0.45) + silence(0.09) for _ in range(12)]
    (folder / "hello.ulaw").write_bytes(silence(0.3) + speech(rng, 0.5) + silence(6))
    (folder / "machine.ulaw").write_bytes(silence(0.2) + b"".join(words) + silence(5))
    (folder / "talk.ulaw").write_bytes(b"".join(speech(rng, 0.8) + silence(0.4) for _ in range(5)))
