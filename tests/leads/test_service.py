"""Imports as jobs: upload, mapping and try, run; what is left when things go wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.calls.records import LeadList
from daemon.errors import CommandError
from daemon.leads.errors import ImportFailed
from daemon.leads.report import ReportFile
from daemon.leads.service import ImportService
from tests.leads.sink import Base
from tests.leads.test_running import StillClock

FILE = b"tel;nom;couleur\n0612345678;Durand;bleu\n0612345679;Martin;vert\n112;Secours;rouge\n"


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for place in range(0, len(content), 10):
        yield content[place : place + 10]


async def broken(content: bytes) -> AsyncIterator[bytes]:
    yield content
    raise ConnectionResetError("the browser is gone")


class Lists:
    """The one thing an import asks of the store."""

    async def get(self, kind: type[Any], key: int) -> Any:
        assert kind is LeadList
        return SimpleNamespace(id=7, group_id=1) if key == 7 else None


@pytest.fixture
def base() -> Base:
    return Base()


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


@pytest.fixture
async def service(tmp_path: Path, base: Base, told: list[dict[str, Any]]) -> AsyncIterator[ImportService]:
    made = ImportService(
        Lists(),
        base,
        StillClock(),
        random.Random(1),
        tmp_path / "imports",
        announce=told.append,  # type: ignore[arg-type]
    )
    yield made
    await made.close()
    assert base.open == 0


async def ended(service: ImportService, key: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            state = service.state(key)
            assert state is not None
            if state["state"] in ("done", "failed"):
                return state
            await asyncio.sleep(0.001)


def files_of(service: ImportService) -> list[str]:
    return sorted(path.name for path in service._directory.iterdir())


async def test_from_upload_to_leads(service: ImportService, base: Base, told: list[dict[str, Any]]) -> None:
    first = await service.start(pieces(FILE), "leads.csv", {"list_id": 7, "by": "anne"})
    assert first["state"] == "uploaded"
    assert first["file"]["headings"] == ["tel", "nom", "couleur"]
    assert first["file"]["columns"] == {"0": "phone", "1": "last_name", "2": ""}
    assert first["file"]["rows"][0] == ["0612345678", "Durand", "bleu"]
    tried = await service.configure(first["id"], {"columns": {"couleur": "field:Couleur"}})
    assert (tried["state"], tried["report"]["good"], tried["report"]["rejected"]) == ("checked", 2, 1)
    assert base.leads == {}
    assert (await service.run(first["id"]))["state"] == "running"
    last = await ended(service, first["id"])
    assert (last["state"], last["report"]["inserted"], last["error"]) == ("done", 2, None)
    assert [draft.fields for draft in base.drafts()] == [{"Couleur": "bleu"}, {"Couleur": "vert"}]
    assert told[-1]["state"] == "done"
    report = service.report_file(first["id"])
    assert report is not None and "phone_emergency" in report.read_text("utf-8-sig")


async def test_an_import_runs_once(service: ImportService, base: Base) -> None:
    key = (await service.start(pieces(FILE), "a.csv", {"list_id": 7}))["id"]
    await service.run(key)
    with pytest.raises(CommandError, match="running"):
        await service.run(key)
    with pytest.raises(CommandError, match="running"):
        await service.configure(key, {})
    await ended(service, key)
    with pytest.raises(CommandError, match="done"):
        await service.run(key)
    assert len(base.leads) == 2


async def test_a_run_that_fails_says_why_and_can_be_tried_again(service: ImportService, base: Base) -> None:
    key = (await service.start(pieces(FILE), "a.csv", {"list_id": 7}))["id"]
    base.fail_at = "finish"
    await service.run(key)
    state = await ended(service, key)
    assert (state["state"], state["error"]["code"]) == ("failed", "store_unavailable")
    assert base.leads == {}
    base.fail_at = ""
    await service.run(key)
    assert (await ended(service, key))["report"]["inserted"] == 2


async def test_a_broken_file_fails_with_its_row(service: ImportService, base: Base) -> None:
    rows = b"".join(b"06%08d;Nom\n" % n for n in range(3000))
    key = (await service.start(pieces(b"tel;nom\n" + rows + b'0612345678;"A\n'), "a.csv", {"list_id": 7}))["id"]
    await service.run(key)
    state = await ended(service, key)
    assert (state["state"], state["error"]["row"]) == ("failed", 3002)
    assert base.leads == {}


async def test_what_can_not_be_read_is_not_kept(service: ImportService) -> None:
    with pytest.raises(ImportFailed):
        await service.start(pieces(b""), "a.csv", {"list_id": 7})
    with pytest.raises(ImportFailed):
        await service.start(pieces(b"PK\x03\x04 nonsense"), "a.xlsx", {"list_id": 7})
    with pytest.raises(ConnectionResetError):
        await service.start(broken(FILE), "a.csv", {"list_id": 7})
    with pytest.raises(CommandError, match="not_found"):
        await service.start(pieces(FILE), "a.csv", {"list_id": 8})
    assert files_of(service) == []


async def test_a_mapping_is_saved_and_used_again(service: ImportService, base: Base) -> None:
    odd = b"A;B\n0612345678;Durand\n"
    first = (await service.start(pieces(odd), "a.csv", {"list_id": 7}))["id"]
    state = await service.configure(first, {"columns": {"A": "phone", "B": "last_name"}, "profile": "maison"})
    assert state["report"]["good"] == 1 and state["profiles"] == ["maison"]
    second = (await service.start(pieces(odd), "b.csv", {"list_id": 7}))["id"]
    assert (await service.configure(second, {"columns": {}, "profile": "maison"}))["report"]["good"] == 1
    with pytest.raises(ImportFailed, match="no mapping"):
        await service.configure(second, {"profile": "ailleurs"})


async def test_uploads_that_nobody_runs_do_not_pile_up(service: ImportService) -> None:
    keys = [(await service.start(pieces(FILE), "a.csv", {"list_id": 7}))["id"] for _ in range(15)]
    assert len([name for name in files_of(service) if not name.endswith(".csv")]) <= 10
    assert service.state(keys[0]) is None and service.state(keys[-1]) is not None


async def test_stopping_the_daemon_leaves_neither_leads_nor_files(service: ImportService, base: Base) -> None:
    rows = b"".join(b"06%08d;Nom\n" % n for n in range(5000))
    key = (await service.start(pieces(b"tel;nom\n" + rows), "a.csv", {"list_id": 7}))["id"]
    await service.run(key)
    await asyncio.sleep(0)
    await service.close()
    assert base.leads == {} and files_of(service) == []


async def test_files_of_a_daemon_that_died_are_removed(tmp_path: Path, base: Base) -> None:
    directory = tmp_path / "imports"
    directory.mkdir()
    (directory / "import-0123").write_bytes(FILE)
    (directory / "profiles.json").write_text('{"1": {"maison": {}}}')
    made = ImportService(Lists(), base, StillClock(), random.Random(1), directory)  # type: ignore[arg-type]
    assert files_of(made) == ["profiles.json"]
    assert list(made.profiles.all(1)) == ["maison"]


async def test_a_full_disk_is_told_and_nothing_is_half_done(
    service: ImportService, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report could not be written: the import was "running" for ever, and could not be tried again."""
    key = (await service.start(pieces(FILE), "a.csv", {"list_id": 7}))["id"]

    def full(self: ReportFile) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ReportFile, "flush", full)
        await service.run(key)
        state = await ended(service, key)
        with pytest.raises(ImportFailed, match="No space left"):
            await service.configure(key, {})
    assert (state["state"], state["error"]["code"]) == ("failed", "import_failed")
    assert "No space left" in state["error"]["reason"] and base.leads == {}
    await service.run(key)
    assert (await ended(service, key))["report"]["inserted"] == 2


async def test_an_upload_that_finds_no_room_is_told_as_such(
    service: ImportService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(self: Path, *how: Any, **more: Any) -> Any:
        if how == ("xb",):
            raise OSError(28, "No space left on device")
        return opened(self, *how, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ImportFailed, match="No space left"):
        await service.start(pieces(FILE), "a.csv", {"list_id": 7})
    assert files_of(service) == []


async def test_an_import_that_meets_a_bug_of_ours_has_failed(
    service: ImportService, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = (await service.start(pieces(FILE), "leads.csv", {"list_id": 7, "by": "anne"}))["id"]
    await service.configure(key, {})

    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("an odd row")

    monkeypatch.setattr("daemon.leads.service.run_import", broken)
    await service.run(key)
    state = await ended(service, key)
    assert state["state"] == told[-1]["state"] == "failed" and state["error"]["code"] == "import_failed"
