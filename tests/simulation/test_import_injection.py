"""Hostile files from import to wire: CSV, TXT, XLSX and XLS with the injection corpus in every cell are imported by the
import service, what it accepts is dialled, and the bytes the PBX was sent are looked at."""

from __future__ import annotations

import asyncio
import csv
import io
import random
import re
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from daemon.engine import commands as c
from daemon.leads.service import ImportService
from fake_asterisk import Behaviour, people
from simulation.loop import VirtualLoop, run
from simulation.world import AMI_PORT, World, pbx
from tests.leads.workbooks import write_xls, write_xlsx

MARK = "ZQ7"
"""Stands in every text of the corpus: where it turns up, a text has got through."""
TEXTS = [
    "a\r\nAction: Originate\r\nChannel: PJSIP/1", "a\nb", "a\rb", "a\x00b", "\x1b[31m", "a\u0085b", "a\u2028b",
    "0612345678,0700000000", "06;rm -rf", "06&07", "${CHANNEL}", "$(id)", "06|07", "x" * 9_000, "٠٦١٢٣٤٥٦٧٨",
    "०६१२३४५६७८", "\u202e06", "' OR 1=1 --", "<script>alert(1)</script>", "Local/1@x", "PJSIP/1&PJSIP/2",
    "=cmd|' /C calc'!A0", "=1+1", "+1-2", "@SUM(A1)", "{{.Secret}}", "%s%n", "\U0001f600",
]  # fmt: skip
HEADINGS = ["telephone", "nom", "prenom", "societe", "email", "adresse", "ville", "code postal", "commentaires", "code"]
HEADINGS += ["couleur"]
BUSY = people.People(fixed={"0": Behaviour(rings=None, answer_after_s=None, fail_sip=486, fail_after_s=0.05)})
HEADER = re.compile(rb"[A-Za-z0-9_-]+: [^\x00-\x1f\x7f]*")
CHANNEL = re.compile(rb"PJSIP/(0[1-9][0-9]{8}@trunk|[0-9]{4})|Cadran/are-calls-heard")


def rows_of(texts: list[str]) -> list[list[str]]:
    """Each text as a telephone number, and in each other cell beside a number that is good."""
    rows = [[text, f"Refuse{place}", *[""] * (len(HEADINGS) - 2)] for place, text in enumerate(texts)]
    for place, text in enumerate(texts):
        good, hostile = f"01990{place:05d}", text + MARK
        rows.append([good, hostile, hostile, hostile, hostile, hostile, hostile, "75001", hostile, hostile, hostile])
    return rows


def as_text(delimiter: str) -> Callable[[Path, list[list[str]]], bytes]:
    def made(path: Path, rows: list[list[str]]) -> bytes:
        file = io.StringIO(newline="")
        csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([HEADINGS, *rows])
        return file.getvalue().encode()

    return made


def as_xlsx(path: Path, rows: list[list[str]]) -> bytes:
    """The last row's name is a real formula, whose kept result is a text of ours."""
    source = zipfile.ZipFile(write_xlsx(path, {"S": [HEADINGS, *rows, ["0199012345", "FORMULA", *[""] * 9]]}))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in source.namelist():
            cell = b'<c t="inlineStr"><is><t xml:space="preserve">FORMULA</t></is></c>'
            formula = b'<c t="str"><f>HYPERLINK("http://x.example",A1)</f><v>=cmd' + MARK.encode() + b"</v></c>"
            archive.writestr(name, source.read(name).replace(cell, formula))
    return out.getvalue()


def as_xls(path: Path, rows: list[list[str]]) -> bytes:
    return write_xls(path, {"S": [HEADINGS, *rows]}).read_bytes()


XML_HAS_NO = re.compile(r"[\x00\x1b]")
FILES: dict[str, tuple[Callable[[Path, list[list[str]]], bytes], list[str]]] = {
    "leads.csv": (as_text(";"), TEXTS),
    "leads.txt": (as_text("\t"), TEXTS),
    "leads.xlsx": (as_xlsx, [text for text in TEXTS if not XML_HAS_NO.search(text)]),
    "leads.xls": (as_xls, [text[:2_000] for text in TEXTS]),
}


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for place in range(0, len(content), 4096):
        yield content[place : place + 4096]


async def imported(world: World, folder: Path, name: str, content: bytes) -> tuple[dict[str, Any], str]:
    """The import's report, and its file of what was refused and why."""
    assert world.store is not None and world.list is not None
    service = ImportService(world.store, world.store, world.clock, random.Random(1), folder)
    columns = {"couleur": "field:Couleur"}
    job = await service.start(pieces(content), name, {"list_id": world.list.id, "columns": columns, "by": "anna"})
    await service.run(job["id"])
    await world.until(lambda: (service.state(job["id"]) or {})["state"] != "running", 60.0)
    state = service.state(job["id"])
    assert state is not None and state["state"] == "done", state
    file = service.report_file(job["id"])
    assert file is not None
    report = file.read_text("utf-8-sig")
    await service.close()
    return state["report"], report


def tapped(loop: VirtualLoop, world: World) -> list[bytes]:
    """All the PBX is sent from now on."""
    heard: list[bytes] = []

    def factory() -> asyncio.Protocol:
        protocol: Any = world.fake.protocol_factory()
        received = protocol.data_received

        def data_received(data: bytes) -> None:
            heard.append(bytes(data))
            received(data)

        protocol.data_received = data_received
        return cast(asyncio.Protocol, protocol)

    loop.network.serve(AMI_PORT, factory)
    return heard


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_puts_nothing_on_the_wire(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", at_once)  # simulated time has no threads
    make, texts = FILES[name]
    content = make(tmp_path / "made", rows_of(texts))

    async def main(loop: VirtualLoop) -> None:
        world = World(loop, seed=3, mode="dialplan", pbx_config=pbx(3, BUSY))
        heard = tapped(loop, world)
        campaign = await world.furnish(agents=3, leads=0, lines=(30,))
        report, rejected = await imported(world, tmp_path / "imports", name, content)
        assert world.store is not None
        leads = list(world.store.tables.leads.values())
        assert report["inserted"] == len(leads) > 10
        why = {row["row"]: row["reason"] for row in csv.DictReader(io.StringIO(rejected), delimiter=";")}
        for place, text in enumerate(texts):
            assert why[str(place + 2)].startswith("phone_"), (text[:40], why[str(place + 2)])
        assert not any(lead.last_name.startswith("Refuse") for lead in leads)
        await world.start()
        await world.staff(campaign)
        await world.until(lambda: all(desk.state == "ready" for desk in world.live.desks.values()), 30.0)
        await world.submit(c.StartCampaign(campaign_id=campaign.id))
        wanted = {"0" + lead.e164[3:] for lead in leads}
        await world.until(lambda: wanted <= {leg.number for leg in world.fake.ledger.legs.values()}, 600.0)
        await world.stop()
        wire = b"".join(heard)
        assert MARK.encode() not in wire
        for action in wire.removesuffix(b"\r\n\r\n").split(b"\r\n\r\n"):
            lines = action.split(b"\r\n")
            assert all(HEADER.fullmatch(line) for line in lines), action
            assert sum(line.startswith(b"Action: ") for line in lines) == 1, action
            for line in lines:
                if b"Action: Originate" in lines and line.startswith(b"Channel: "):
                    assert CHANNEL.fullmatch(line.removeprefix(b"Channel: ")), line
        dialled = {leg.number for leg in world.fake.ledger.legs.values() if len(leg.number) > 4}
        assert dialled == wanted

    run(main, seed=3)
