"""Screenshots for docs/screenshots, a third of Chromium's own size: 256 colours at most, those of small signs kept."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

from playwright.async_api import Page

SHOTS = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
COLOURS_MAX = 256

# A page of its own draws the picture and reads it back: colours that lie near a more frequent one give way to it, the
# nearest, until few enough are left. Answer: width, height, palette (RGB) and one index a pixel, both as base64.
_INDEXED = """async ([picture, most]) => {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${picture}`)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height);
  const pen = canvas.getContext('2d');
  pen.drawImage(image, 0, 0);
  const { data } = pen.getImageData(0, 0, image.width, image.height);
  const found = new Map();
  for (let i = 0; i < data.length; i += 4) {
    const key = (data[i] << 16) | (data[i + 1] << 8) | data[i + 2];
    found.set(key, (found.get(key) || 0) + 1);
  }
  const distance = (a, b) => ((a >> 16) - (b >> 16)) ** 2 + (((a >> 8) & 255) - ((b >> 8) & 255)) ** 2
    + ((a & 255) - (b & 255)) ** 2;
  const often = [...found].sort((a, b) => b[1] - a[1] || a[0] - b[0]).map(([key]) => key);
  let kept = often;
  for (let apart = 12; kept.length > most; apart *= 1.5) { // the rarest colour stays if none is near it
    kept = [];
    for (const key of often) if (!kept.some((x) => distance(x, key) < apart * apart)) kept.push(key);
  }
  const place = new Map(kept.map((key, at) => [key, at]));
  const nearest = (key) => {
    let [best, least] = [0, Infinity];
    kept.forEach((x, at) => { const far = distance(x, key); if (far < least) [best, least] = [at, far]; });
    place.set(key, best);
    return best;
  };
  const pixels = new Uint8Array(image.width * image.height);
  for (let i = 0; i < pixels.length; i += 1) {
    const key = (data[4 * i] << 16) | (data[4 * i + 1] << 8) | data[4 * i + 2];
    pixels[i] = place.get(key) ?? nearest(key);
  }
  const text = (bytes) => {
    let out = '';
    for (let i = 0; i < bytes.length; i += 32768) out += String.fromCharCode(...bytes.subarray(i, i + 32768));
    return btoa(out);
  };
  const palette = Uint8Array.from(kept.flatMap((key) => [key >> 16, (key >> 8) & 255, key & 255]));
  return [image.width, image.height, text(palette), text(pixels)];
}"""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


async def write(page: Page, name: str) -> None:
    """The page as it looks now, as docs/screenshots/<name>.png."""
    picture = base64.b64encode(await page.screenshot(animations="disabled")).decode()
    blank = await page.context.new_page()
    try:
        width, height, palette, pixels = await blank.evaluate(_INDEXED, [picture, COLOURS_MAX])
    finally:
        await blank.close()
    rows = base64.b64decode(pixels)
    raw = b"".join(b"\0" + rows[at : at + width] for at in range(0, len(rows), width))
    data = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
    data += _chunk(b"PLTE", base64.b64decode(palette)) + _chunk(b"IDAT", zlib.compress(raw, 9)) + _chunk(b"IEND", b"")
    SHOTS.mkdir(parents=True, exist_ok=True)
    (SHOTS / f"{name}.png").write_bytes(data)
