"""The text of Chromium's own PDF, page by page: what its subset fonts say each glyph stands for."""

from __future__ import annotations

import re
import zlib

_OBJECT = re.compile(rb"(\d+) 0 obj(.*?)endobj", re.S)
_TEXT = re.compile(rb"/(F\d+) [\d.]+ Tf|<([0-9A-F]+)> Tj|(\bET\b)|(\bBT\b)|[\d.-]+ [\d.-]+ Td|T[mj]")


def _stream(body: bytes) -> bytes:
    head, _, rest = body.partition(b"stream")
    found = re.search(rb"/Length (\d+)", head)
    assert found is not None
    data = rest.lstrip(b"\r\n")[: int(found[1])]
    return zlib.decompress(data) if b"FlateDecode" in head else data


def _meanings(cmap: bytes) -> dict[str, str]:
    """Glyph (4 hex digits) -> character, of a ToUnicode map with its bfchar and bfrange blocks."""

    def text(code: str) -> str:
        return bytes.fromhex(code).decode("utf-16-be", "replace")

    found: dict[str, str] = {}
    for block in re.findall(r"beginbfchar(.*?)endbfchar", cmap.decode("ascii"), re.S):
        found |= {glyph: text(code) for glyph, code in re.findall(r"<(\w+)> <(\w+)>", block)}
    for block in re.findall(r"beginbfrange(.*?)endbfrange", cmap.decode("ascii"), re.S):
        for first, last, code in re.findall(r"<(\w+)> <(\w+)> <(\w+)>", block):
            for step in range(int(last, 16) - int(first, 16) + 1):
                found[f"{int(first, 16) + step:04X}"] = chr(int(code, 16) + step)
    return found


def pages(pdf: bytes) -> list[str]:
    """What is written on each page, pieces in drawing order, spaces left out (words are placed, not spaced)."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    order = next(body for body in objects.values() if b"/Type /Pages" in body and b"/Parent" not in body)
    kids = re.search(rb"/Kids \[([^\]]*)\]", order)
    assert kids is not None
    written = []
    for number in re.findall(rb"(\d+) 0 R", kids[1]):
        body = objects[int(number)]
        fonts = {}
        for name, font in re.findall(rb"/(F\d+) (\d+) 0 R", body):
            meaning = re.search(rb"/ToUnicode (\d+) 0 R", objects[int(font)])
            fonts[name] = _meanings(_stream(objects[int(meaning[1])])) if meaning else {}
        contents = re.search(rb"/Contents (\d+) 0 R", body)
        assert contents is not None
        font, text = {}, ""
        for name, glyphs, *_ in _TEXT.findall(_stream(objects[int(contents[1])])):
            font = fonts.get(name, {}) if name else font
            code = glyphs.decode()
            text += "".join(font.get(code[i : i + 4], "") for i in range(0, len(code), 4))
        written.append(re.sub(r"\s", "", text))
    return written
