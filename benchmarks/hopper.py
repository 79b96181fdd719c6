"""How fast leads are claimed from a large table whose head is ineligible: leads/s, and p99 of a claim.

Rows: `HOPPER_LEADS` (default 1,500,000; 10,000,000 is the full size) in one list; the oldest 95 % can't be called,
half because a reason blocks them, a quarter because they wait for their gap, a quarter because their zone is closed;
the rest is callable, in three zones. Claims of `HOPPER_BATCH` (default 48) leads follow each other through the store,
as the engine's do, with a history of calls to look up; nothing else runs. Rows are made by SQL, then VACUUM ANALYZE.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from daemon.calls.records import Campaign, Client, Group, LeadList
from daemon.clock import SystemClock
from daemon.store import EmbeddedPostgres, PostgresStore

LEADS = int(os.environ.get("HOPPER_LEADS", "1500000"))
BATCH = int(os.environ.get("HOPPER_BATCH", "48"))
SECONDS = float(os.environ.get("HOPPER_SECONDS", "20"))
ZONES = ("Europe/Paris", "Indian/Reunion", "America/Guadeloupe")
CLOSED = "America/Martinique"

_FILL = """
INSERT INTO leads (list_id, group_id, created_at, e164, tz_group, first_name, last_name, eligible_at, blocked_by)
SELECT $1, $2, $3::timestamptz, '+33' || (600000000 + i), CASE WHEN i <= $4 * 0.95 AND i % 4 = 0 THEN $5
        ELSE ($6::text[])[1 + i % 3] END, 'First' || i % 1000, 'Last' || i,
    CASE WHEN i <= $4 * 0.95 AND i % 4 = 1 THEN $3 + interval '4 hours' END,
    CASE WHEN i <= $4 * 0.95 AND i % 4 IN (2, 3) THEN 'attempts' ELSE '' END
FROM generate_series($7::bigint, $8::bigint) AS i"""

_HISTORY = """
INSERT INTO attempts (id, site, fence, kind, group_id, campaign_id, client_id, lead_id, line_id, agent_id, e164,
    caller_id, rule_set, at, ended_at, outcome, counted)
SELECT gen_random_uuid(), 's1', 1, 'campaign', $1, $2, $3, id, 1, 0, e164, '', 'fr-b2c-2026',
    created_at - interval '9 days', created_at - interval '9 days', 'no_answer', true
FROM leads WHERE id % 5 = 0"""


async def _fill(dsn: str, group: Group, listed: LeadList, campaign: Campaign) -> None:
    connection = await asyncpg.connect(dsn)
    now = datetime.now(UTC)
    step = 250_000
    for first in range(1, LEADS + 1, step):
        last = min(LEADS, first + step - 1)
        arguments = (listed.id, group.id, now, LEADS, CLOSED, list(ZONES), first, last)
        await connection.execute(_FILL, *arguments, timeout=3600)
        print(f"  {last:,} leads", end="\r", file=sys.stderr, flush=True)
    await connection.execute(_HISTORY, group.id, campaign.id, campaign.client_id, timeout=3600)
    await connection.execute("VACUUM (ANALYZE) leads, attempts", timeout=3600)
    await connection.close()


async def _measure(store: PostgresStore, campaign: Campaign) -> tuple[int, list[float], float]:
    """Leads claimed, seconds of each claim, seconds of all."""
    took: list[float] = []
    claimed = 0
    for _ in range(5):  # connections and plans warm, as after the first second of a day
        await store.claim_leads(campaign.id, BATCH, datetime.now(UTC), ZONES, "s1", 1)
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        leads = await store.claim_leads(campaign.id, BATCH, datetime.now(UTC), ZONES, "s1", 1)
        took.append(time.perf_counter() - start)
        claimed += len(leads)
        if len(leads) < BATCH:
            break
    return claimed, took, time.perf_counter() - began


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cadran-bench-") as folder:
        os.chmod(folder, 0o711)
        # Durable, as in production: each claim is a commit that waits for the disk.
        async with EmbeddedPostgres(Path(folder) / "pg", tied=True, tuning={"max_wal_size": "8GB"}) as server:
            store = PostgresStore(server.dsn(), SystemClock(), statement_timeout_s=60.0)
            await store.open()
            group = await store.create(Group(code="bench"))
            client = await store.create(Client(group_id=group.id, name="bench"))
            listed = await store.create(LeadList(group_id=group.id, name="bench"))
            campaign = await store.create(
                Campaign(group_id=group.id, client_id=client.id, name="bench", site="s1", list_ids=[listed.id])
            )
            began = time.perf_counter()
            await _fill(server.dsn(), group, listed, campaign)
            print(f"{LEADS:,} leads made in {time.perf_counter() - began:.0f} s; 95 % of them ineligible, at the head")
            claimed, took, seconds = await _measure(store, campaign)
            began = time.perf_counter()
            counts = await store.callable_counts(campaign.id, datetime.now(UTC))
            print(f"due and held counted in {time.perf_counter() - began:.2f} s: {counts}")
            await store.close()
    took.sort()
    p50, p99 = took[len(took) // 2] * 1000, took[min(len(took) - 1, int(len(took) * 0.99))] * 1000
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{len(took)} claims of {BATCH}, p50 {p50:.1f} ms, slowest {took[-1] * 1000:.1f} ms; {load}")
    print(f"bench-hopper: {claimed / seconds:,.0f} leads/s p99 {p99:.1f} ms (goal ≥ 5,000/s, p99 ≤ 50 ms)")


if __name__ == "__main__":
    asyncio.run(main())
