"""Coverage-guided fuzzing with atheris: `make fuzz`, or `python -m tests.fuzz.guided TARGET [libFuzzer options]`.

atheris is no dependency of ours: without it `make fuzz` says so and ends well. The same properties are tried with
random examples in every test run (tests/unit/ami/test_fuzz.py, tests/unit/test_settings_fuzz.py,
tests/leads/test_fuzz.py, tests/api/test_schema.py); here the search follows the code. What it finds is kept in
`.cache/fuzz/TARGET`, a crash beside it; each crash becomes a test.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".cache" / "fuzz"
BANNER = b"Asterisk Call Manager/11.0.0\r\n"
ONE = Callable[[bytes], None]


def codec() -> ONE:
    """Any split of the bytes gives the same messages, or the same refusal."""
    from daemon.ami.codec import AmiCodec
    from daemon.errors import PbxProtocolError

    def read(pieces: list[bytes]) -> tuple[list[tuple[str, str]], bool]:
        reader, found = AmiCodec(), []
        try:
            for piece in pieces:
                found += [(message.event, message.text) for message in reader.receive_data(piece)]
        except PbxProtocolError:
            return found, True
        return found, False

    def one(data: bytes) -> None:
        cut, stream = (data[0] if data else 0), data[1:] if data[:1] == b"\0" else BANNER + data[1:]
        middle = cut * len(stream) // 255
        assert read([stream]) == read([stream[:middle], stream[middle:]])

    return one


def translator() -> ONE:
    """No message breaks the translator; no leg ends twice in a row."""
    from daemon.ami.channels import Channels
    from daemon.ami.codec import AmiCodec
    from daemon.ami.translate import ModernTranslator
    from daemon.calls import events as ev
    from daemon.calls.devices import Devices
    from daemon.errors import PbxProtocolError

    def one(data: bytes) -> None:
        try:
            messages = AmiCodec().receive_data(BANNER + data)
        except PbxProtocolError:
            return
        heard: list[ev.PbxEvent] = []
        made = ModernTranslator(
            Channels("par"),
            deliver=heard.append,
            react=lambda leg, step, detail: None,
            device=Devices("PJSIP/{extension}", ()).changed,
        )
        for number, message in enumerate(messages):
            made.handle(message, 100.0 + number)
            if (deadline := made.next_deadline()) is not None:
                made.on_deadline(deadline)
        said: dict[str, list[str]] = {}
        for event in heard:
            if isinstance(event, ev.LegEvent):
                said.setdefault(event.leg, []).append(type(event).__name__)
        assert not any(a == b == "LegHungUp" for names in said.values() for a, b in pairwise(names))

    return one


def settings() -> ONE:
    """A settings file is taken, or refused with SettingsError."""
    from daemon.errors import SettingsError
    from daemon.settings_file import load

    file = Path(tempfile.mkdtemp()) / "cadran.toml"

    def one(data: bytes) -> None:
        file.write_bytes(data)
        with suppress(SettingsError):
            load(file)
            tomllib.loads(data.decode("utf-8"))

    return one


def leads() -> ONE:
    """A file of leads (text or workbook) is read, or refused with ImportFailed."""
    from daemon.leads.errors import ImportFailed
    from daemon.leads.reading import COLUMNS_MAX, rows, sniff

    file = Path(tempfile.mkdtemp()) / "leads"

    def one(data: bytes) -> None:
        file.write_bytes(data)
        with suppress(ImportFailed):
            for _, cells in islice(rows(file, sniff(file)), 200):
                assert len(cells) <= COLUMNS_MAX

    return one


def bodies() -> ONE:
    """The body of any request is taken, or refused with CommandError; the first byte chooses the route."""
    import msgspec

    from daemon.api import app  # noqa: F401 - brings all routes
    from daemon.api.decode import convert
    from daemon.errors import CommandError

    modules = [module for name, module in list(sys.modules.items()) if name.startswith("daemon.api.")]
    tables = [module.routes for module in modules if hasattr(module, "routes")]
    kinds = [route.body for table in tables for route in table.table if route.body is not None]
    assert len(kinds) > 20

    def one(data: bytes) -> None:
        try:
            parsed = msgspec.json.decode(data[1:])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        with suppress(CommandError):
            convert(parsed, kinds[data[0] % len(kinds)])

    return one


TARGETS: dict[str, Callable[[], ONE]] = {
    "codec": codec, "translator": translator, "settings": settings, "leads": leads, "bodies": bodies
}  # fmt: skip


def seeds(target: str, folder: Path) -> None:
    """What the search begins with: real AMI, the shipped settings, small files, an example of each."""
    folder.mkdir(parents=True, exist_ok=True)
    if target in ("codec", "translator"):
        for path in sorted((ROOT / "tests/recordings").glob("*.ami")):
            data = path.read_bytes().partition(b"\r\n")[2].replace(b"\n", b"\r\n").replace(b"\r\r\n", b"\r\n")
            head = b"\x80" if target == "codec" else b""
            (folder / path.stem).write_bytes(head + re.sub(rb"Uniqueid: lab-", b"Uniqueid: par-", data)[:6000])
    elif target == "settings":
        (folder / "shipped").write_bytes((ROOT / "config/cadran.toml").read_bytes())
    elif target == "leads":
        (folder / "text").write_bytes("Nom;Téléphone\nDurand;0199000001\n".encode())
        (folder / "latin").write_bytes('Nom,Téléphone\r\n"D, é";0199000001\r\n'.encode("cp1252"))
        _workbooks(folder)
    else:
        for n, text in enumerate(("{}", '{"name": "x", "id": 1, "e164": "+33199000001"}', '{"ids": [1], "on": true}')):
            (folder / f"body{n}").write_bytes(bytes([n * 20]) + text.encode())


def _workbooks(folder: Path) -> None:
    from tests.leads.workbooks import write_xls, write_xlsx

    table: dict[str, Sequence[Sequence[str | int | float | None]]] = {
        "Feuille": [["Nom", "Téléphone"], ["Durand", "0199000001"]]
    }
    for write, name in ((write_xlsx, "leads.xlsx"), (write_xls, "leads.xls")):
        write(folder / name, table)


def main() -> None:
    """One target, with libFuzzer's own options behind its name."""
    try:
        atheris = importlib.import_module("atheris")
    except ModuleNotFoundError:
        print("fuzz: skipped, atheris is not installed here (an optional tool: pip install atheris)")
        return
    target = sys.argv[1]
    with atheris.instrument_imports(include=["daemon"]):
        one = TARGETS[target]()
    folder = KEPT / target
    seeds(target, folder)
    atheris.Setup([sys.argv[0], f"-artifact_prefix={KEPT}/{target}-", "-max_len=8192", *sys.argv[2:], str(folder)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
