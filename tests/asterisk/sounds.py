"""Sounds for the test bed, made here so that none has to be shipped: tones, and noise that an answering-machine
detector takes for speech."""

from __future__ import annotations

import math
import random
import shutil
import struct
import subprocess
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


LOW_HZ, HIGH_HZ = 500.0, 1300.0
"""Tones told apart easily after any codec; whole periods in a second, so that repeating them makes no click."""

PERSONS = ("Allô ?", "Oui, bonjour.", "Allô oui, qui est à l'appareil ?", "Bonjour.", "Martin, j'écoute.")
MACHINES = (
    "Bonjour, vous êtes bien sur la messagerie de Jean Martin. Je ne suis pas disponible pour le moment. Merci de"
    " laisser un message après le signal sonore.",
    "Vous êtes sur le répondeur du zéro six douze trente-quatre. Veuillez laisser un message après le bip.",
    "Votre correspondant n'est pas disponible. Laissez-lui un message, il vous rappellera dès que possible.",
    "Bonjour, c'est Sophie, je suis absente jusqu'à lundi, parlez après le bip et je vous rappelle.",
    "La personne que vous demandez ne peut pas répondre à votre appel. Merci de rappeler plus tard ou de parler.",
)


def ulaw_byte(sample: int) -> int:
    """G.711 µ-law of a 16-bit sample (ITU-T G.711, §3.2)."""
    sign, value = (0x80, -sample) if sample < 0 else (0, sample)
    value = min(value, 32_635) + 132
    exponent = value.bit_length() - 8
    return ~(sign | exponent << 4 | (value >> (exponent + 3)) & 0x0F) & 0xFF


def ulaw_tone(frequency_hz: float, seconds: float) -> bytes:
    """A loud sine tone."""
    count = int(RATE_HZ * seconds)
    return bytes(ulaw_byte(int(12_000 * math.sin(2 * math.pi * frequency_hz * n / RATE_HZ))) for n in range(count))


def write_spoken(folder: Path) -> None:
    """People who answer and machines that greet, spoken by espeak-ng; left out where that or sox is not installed."""
    if shutil.which("espeak-ng") is None or shutil.which("sox") is None:
        return
    for kind, texts in (("person", PERSONS), ("machine", MACHINES)):
        for n, text in enumerate(texts):
            wav, raw = folder / f"{kind}{n}.wav", folder / f"{kind}{n}.ulaw"
            voice = ("fr", "fr+f3", "fr+m3", "fr+f2", "fr+m7")[n]
            subprocess.run(
                ["espeak-ng", "-v", voice, "-s", "150", "-w", str(wav), text], check=True, capture_output=True
            )
            words = ["sox", str(wav), "-r", "8000", "-c", "1", "-e", "mu-law", "-t", "ul", str(raw), "norm", "-3"]
            subprocess.run(words, check=True, capture_output=True)
            raw.write_bytes(silence(0.3) + raw.read_bytes() + silence(10 if kind == "person" else 4))


CNG_HZ = 1100.0
"""What a fax that calls sounds like: half a second of this tone, three seconds of silence (ITU-T T.30, §4.1)."""

CED_HZ = 2100.0
"""What a fax that answers begins with, for three seconds (ITU-T T.30, §4.2)."""

LOST_EVERY, LATE_EVERY, LATE_S = 8, 4, 0.045
"""Of a bad line: each eighth packet is lost, each fourth comes late."""


def write_bad_line(path: Path, seconds: float = 60.0) -> None:
    """A conversation over a bad line, as captured packets (pcap, raw IPv4): RTP of 20 ms with gaps and late ones.
    Addresses are put in by who plays it."""
    frame = ulaw_tone(LOW_HZ, 1.0)
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1))
        for n in range(int(seconds * 50)):
            if n % LOST_EVERY == LOST_EVERY - 1:
                continue
            start = n * 160 % RATE_HZ
            rtp = struct.pack(">BBHII", 0x80, 0, n & 0xFFFF, n * 160, 0x5EED) + frame[start : start + 160]
            udp = struct.pack(">HHHH", 6000, 6000, 8 + len(rtp), 0) + rtp
            ip = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(udp), n & 0xFFFF, 0, 64, 17, 0, 0x7F000001, 0x7F000001)
            packet = b"\0" * 12 + b"\x08\0" + ip + udp
            at = n * 0.02 + (LATE_S if n % LATE_EVERY == 0 else 0.0)
            out.write(struct.pack("<IIII", int(at), int(at % 1 * 1e6), len(packet), len(packet)) + packet)


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
    (folder / "low.ulaw").write_bytes(ulaw_tone(LOW_HZ, 1.0))
    (folder / "high.ulaw").write_bytes(ulaw_tone(HIGH_HZ, 1.0))
    (folder / "fax.ulaw").write_bytes(ulaw_tone(CNG_HZ, 0.5) + silence(3.0))
    (folder / "fax_answers.ulaw").write_bytes(silence(0.5) + ulaw_tone(CED_HZ, 3.0) + silence(8.0))
    write_spoken(folder)
    write_bad_line(folder / "bad_line.pcap")
    (folder / "talk.ulaw").write_bytes(b"".join(speech(rng, 0.8) + silence(0.4) for _ in range(5)))
