"""A template's logo (YPT-02): a PNG or JPEG below 500 KB, told from its first bytes and never decoded here.

In: the bytes. Out: type and size in pixels; kept as text beside the template, shown on the control page only.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Final

BYTES_MAX: Final = 500 * 1024 - 1
PIXELS_MAX: Final = 1024
"""A side. The source suggests 150 x 150; a browser must not be made to unpack a picture of gigabytes."""
SUGGESTED: Final = (150, 150)
_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG's SOF markers, which tell the size; C4, C8 and CC mean other things."""


class LogoRefused(ValueError):
    """What is wrong with the file, in words."""


@dataclass(frozen=True, slots=True)
class Logo:
    media: str
    width: int
    height: int

    @property
    def suggested(self) -> bool:
        return (self.width, self.height) == SUGGESTED


def look_at(data: bytes) -> Logo:
    """Raises LogoRefused."""
    if len(data) > BYTES_MAX:
        raise LogoRefused(f"the logo has more than {BYTES_MAX} bytes")
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= 33:
        logo = Logo("image/png", *struct.unpack(">II", data[16:24]))
    elif data.startswith(b"\xff\xd8\xff"):
        logo = Logo("image/jpeg", *_jpeg_size(data))
    else:
        raise LogoRefused("the logo is neither a PNG nor a JPEG")
    if not (0 < logo.width <= PIXELS_MAX and 0 < logo.height <= PIXELS_MAX):
        raise LogoRefused(f"the logo has {logo.width} x {logo.height} pixels; at most {PIXELS_MAX} a side")
    return logo


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """From the frame's header, segment by segment. Raises LogoRefused."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + max(2, length)
    raise LogoRefused("the logo is a JPEG without a frame")


def kept(data: bytes, logo: Logo) -> str:
    """As it is kept: a data URL."""
    return f"data:{logo.media};base64,{base64.b64encode(data).decode()}"


def opened(text: str) -> tuple[str, bytes]:
    """Type and bytes of what `kept` made."""
    media, _, content = text.removeprefix("data:").partition(";base64,")
    return media, base64.b64decode(content)
