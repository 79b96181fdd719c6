"""An import told on the live stream: by the daemon itself, over HTTP, to a reader who did not ask for anything else."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import aiohttp
import pytest

from daemon.api.auth import hash_of, new_token
from daemon.app import build
from daemon.calls.records import ApiToken, Group, LeadList, Role, TokenKind
from daemon.clock import SystemClock
from daemon.settings import DaemonTable, HttpTable, Settings
from daemon.store.memory import MemoryStore


@pytest.mark.feature("IMPT-05", clause="progress and counts on the live stream, without anybody's name or number")
async def test_progress_comes_on_the_stream(tmp_path: Path) -> None:
    clock = SystemClock()
    settings = Settings(daemon=DaemonTable(data_dir=str(tmp_path)), http=HttpTable(tcp_port=0, stream_interval_s=0.02))
    store, rng = MemoryStore(clock), random.Random(1)
    await store.open()
    group = await store.create(Group(code="G"))
    listed = await store.create(LeadList(group_id=group.id, name="L"))
    token = new_token(TokenKind.OPERATOR, "G", rng.randbytes)
    await store.create(ApiToken(group_id=group.id, name="m", role=Role.MANAGER, sha256=hash_of(token)))
    app = build(settings, clock=clock, rng=rng, store=store)
    stop, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(app.run(stop, ready.set))
    await asyncio.wait_for(ready.wait(), 60)
    rows = "".join(f"06{n:08d};Durand{n}\n" for n in range(9000))
    headers = {"Authorization": f"Bearer {token}"}
    seen: list[dict[str, object]] = []
    session = aiohttp.ClientSession(app.http_address, headers=headers)
    async with session as http, http.get("/api/v1/stream") as stream:
        listening = asyncio.create_task(_imports(stream, seen))
        query = {"list_id": str(listed.id), "file_name": "durand.csv"}
        async with http.post("/api/v1/imports", params=query, data="TEL;NOM\n" + rows + "12;Petit\n") as reply:
            key = (await reply.json())["id"]
        for step in ("check", "run"):
            async with http.post(f"/api/v1/imports/{key}/{step}", json={} if step == "check" else None) as reply:
                assert reply.status in (200, 202), await reply.text()
        await asyncio.wait_for(listening, 90)
    stop.set()
    await asyncio.wait_for(running, 60)
    states = [state["state"] for state in seen if "state" in state]
    assert states[0] == "uploaded" and states[-1] == "done"
    assert any(0 < float(str(state.get("part", 0))) < 1 for state in seen), "and it is told on the way"
    counts = [state["counts"] for state in seen if state.get("counts")][-1]
    assert isinstance(counts, dict) and (counts["rows"], counts["inserted"]) == (9001, 9000)
    assert "Durand" not in json.dumps(seen) and "durand" not in json.dumps(seen)


async def _imports(stream: aiohttp.ClientResponse, seen: list[dict[str, object]]) -> None:
    """Collect what the stream says of imports until one is done."""
    async for line in stream.content:
        if line.startswith(b"data: "):
            rows = json.loads(line[6:]).get("imports", {})
            seen += [row for row in rows.values() if row]
            if any(row.get("state") == "done" for row in seen):
                return
