"""How fast leads are claimed from a large table whose head is ineligible: leads/s of all claimers, p99 of a claim.

`HOPPER_LEADS` rows (10,000,000 is the full size) in 200 lists. In the order of calling the first 95 % can't be called:
a third have no consent, a third have had their four attempts, a third live where the window is shut. Four daemons, a
site and a campaign each, claim from the same lists for `HOPPER_SECONDS`, `HOPPER_BATCH` leads at a time: first one
alone and then all as fast as they can, at last all together `HOPPER_RATE` leads a second, each claim timed from the
instant it was due. Every lead claimed is judged by `may_call` at the instant of the claim, and must be allowed; a
sample of the rest must not be. The peer is a queue table as many diallers have one: the same rows, read in order
through the lists' leads, conditions looked at lead by lead, `FOR UPDATE SKIP LOCKED`.

Rows are made by SQL without indexes, which are built after; PostgreSQL is durable, as in production. `HOPPER_DATA`
names a folder that is kept, so that a second run needs no rows made. The daemons' seconds of processor are told too:
other work on the machine makes claims wait, and them much less so dearer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from daemon.calls.records import Campaign, Client, Group, LeadList
from daemon.clock import SystemClock
from daemon.compliance import CampaignRules, facts_of, load_rule_sets, may_call, open_groups, rules_of, tz_group
from daemon.store import EmbeddedPostgres, PostgresStore

LEADS = int(os.environ.get("HOPPER_LEADS", "1000000"))
BATCH = int(os.environ.get("HOPPER_BATCH", "150"))
RATE = float(os.environ.get("HOPPER_RATE", "5000"))
SECONDS = float(os.environ.get("HOPPER_SECONDS", "20"))
CLAIMERS = int(os.environ.get("HOPPER_CLAIMERS", "4"))
LISTS = 200
WARM = 3
"""Claims of each daemon before the measured ones."""
NOW = datetime(2026, 11, 23, 13, 30, tzinfo=UTC)  # Monday: 14:30 in Paris, 09:30 in the Antilles, 17:30 in Réunion
STRIDE = max(7, LEADS // 2000)
"""Of the leads at the head, each of these is looked up and judged."""

# How a number begins, how many digits follow; its zone group is worked out from it.
CALLABLE = (("+336", 8), ("+262692", 6), ("+262639", 6))
SHUT = (("+596696", 6), ("+596697", 6), ("+590690", 6))

_FILL = f"""
INSERT INTO leads (list_id, group_id, created_at, e164, tz_group, first_name, last_name, consent_at, eligible_at,
    blocked_by)
SELECT ($1::bigint[])[1 + i % {LISTS}], $2, $3::timestamptz,
    (CASE WHEN shut THEN $5::text[] ELSE $4::text[] END)[1 + place]
        || lpad((i % (10 ^ digits)::bigint)::text, digits, '0'),
    (CASE WHEN shut THEN $7::text[] ELSE $6::text[] END)[1 + place], 'First' || i % 1000, 'Last' || i,
    CASE WHEN kind <> 0 THEN $3::timestamptz - interval '60 days' END,
    CASE WHEN kind = 1 THEN $3::timestamptz + interval '20 days' END,
    CASE kind WHEN 0 THEN 'consent' WHEN 1 THEN 'attempts' ELSE '' END
FROM (
    SELECT i, kind, kind = 2 AS shut, place, CASE WHEN kind <> 2 AND place = 0 THEN 8 ELSE 6 END AS digits
    FROM generate_series($9::bigint, $10::bigint) AS i
    CROSS JOIN LATERAL (SELECT CASE WHEN i <= $8 THEN (i / {LISTS}) % 3 ELSE 3 END AS kind) k
    CROSS JOIN LATERAL (SELECT CASE WHEN kind = 1 THEN 0 ELSE i % 3 END AS place) p) made"""
# Those with four attempts have numbers that are nobody else's: no callable lead is the same person as one of them.

_HISTORY = """
INSERT INTO attempts (id, site, fence, kind, group_id, campaign_id, client_id, lead_id, line_id, agent_id, e164,
    caller_id, rule_set, at, ended_at, outcome, counted)
SELECT gen_random_uuid(), 's1', 1, 'campaign', $1, $2, $3, l.id, 1, 0, l.e164, '', 'fr-b2c-2026',
    $4::timestamptz - n * interval '2 days', $4::timestamptz - n * interval '2 days', 'no_answer', true
FROM leads l CROSS JOIN generate_series(1, 4) AS n
WHERE (l.id > $5 AND l.id % 5 = 0 AND n = 1) OR (l.blocked_by = 'attempts' AND (l.id % 40 = 0 OR l.id % $6 = 1))"""

_COUNTS = """
INSERT INTO lead_counts (list_id, state, reason, n)
SELECT list_id, CASE WHEN eligible_at IS NOT NULL THEN 'waiting' WHEN blocked_by <> '' THEN 'blocked' ELSE 'ready' END,
    blocked_by, count(*) FROM leads GROUP BY 1, 2, 3"""


async def _fill(dsn: str, group: Group, lists: list[LeadList], campaign: Campaign) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET maintenance_work_mem = '1GB'; SET synchronous_commit = off")
    indexes = await connection.fetch("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'leads'")
    made = [row for row in indexes if row["indexname"] != "leads_pkey"]
    for row in made:
        await connection.execute(f"DROP INDEX {row['indexname']}")
    await connection.execute("ALTER TABLE leads DISABLE TRIGGER USER")
    groups = [[tz_group(f"{prefix}{'1' * digits}") for prefix, digits in kind] for kind in (CALLABLE, SHUT)]
    prefixes = [[prefix for prefix, _ in kind] for kind in (CALLABLE, SHUT)]
    head, step = int(LEADS * 0.95), 500_000
    for first in range(1, LEADS + 1, step):
        last = min(LEADS, first + step - 1)
        arguments = ([each.id for each in lists], group.id, NOW, *prefixes, *groups, head, first, last)
        await connection.execute(_FILL, *arguments, timeout=3600)
        print(f"  {last:,} leads", end="\r", file=sys.stderr, flush=True)
    for row in made:
        await connection.execute(row["indexdef"], timeout=3600)
        print(f"  index {row['indexname']}    ", end="\r", file=sys.stderr, flush=True)
    await connection.execute(_HISTORY, group.id, campaign.id, campaign.client_id, NOW, head, STRIDE, timeout=3600)
    await connection.execute(_COUNTS, timeout=3600)
    await connection.execute("ALTER TABLE leads ENABLE TRIGGER USER")
    await connection.execute("VACUUM (ANALYZE) leads, attempts, lead_counts", timeout=3600)
    await connection.execute("CHECKPOINT", timeout=3600)
    await connection.close()


_PEER = """
SELECT id FROM leads WHERE list_id = ANY($1) AND claimed_by IS NULL AND consent_at IS NOT NULL
    AND blocked_by NOT IN ('attempts', 'dnc') AND tz_group = ANY($2)
ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED"""


async def claim(dsn: str, campaign_id: int, zones: list[str], every_s: float) -> None:
    """One daemon's claiming, in a process of its own: each claim `every_s` after the one before, or at once if 0.
    Prints {"took": [seconds of each claim], "ids": [...], "cpu": [processor seconds of all],
    "lasted": [seconds]}."""
    store = PostgresStore(dsn, SystemClock(), statement_timeout_s=60.0)
    await store.open()
    campaign = await store.get(Campaign, campaign_id)
    assert campaign is not None
    rules = rules_of(campaign, load_rule_sets()["fr-b2c-2026"])
    for _ in range(WARM):  # connections and plans warm, as after the first second of a day
        await store.claim_leads(campaign.id, BATCH, NOW, zones, campaign.site, 1)
    took, leads = [], []
    began, cpu = time.perf_counter(), time.process_time()
    due = began + every_s * (campaign_id % CLAIMERS) / CLAIMERS
    while (now := time.perf_counter()) < began + SECONDS:
        if every_s and now < due:
            await asyncio.sleep(due - now)
        start = due if every_s else now
        claimed = await store.claim_leads(campaign.id, BATCH, NOW, zones, campaign.site, 1)
        took.append(time.perf_counter() - start)
        due += every_s
        leads += claimed
        if not claimed:
            break
    spent, lasted = time.process_time() - cpu, time.perf_counter() - began
    forbidden = [verdict for lead in leads if not (verdict := may_call(facts_of(lead), rules, NOW)).allowed]
    assert not forbidden, f"{len(forbidden)} claimed leads may not be called, the first: {forbidden[0]}"
    await store.close()
    print(json.dumps({"took": took, "ids": [lead.id for lead in leads], "cpu": [spent], "lasted": [lasted]}))


async def _apart(dsn: str, campaign: Campaign, zones: list[str], every_s: float) -> dict[str, list[float]]:
    """`claim` in another process; what it printed."""
    words = [sys.executable, "-m", "benchmarks.hopper", dsn, str(campaign.id), json.dumps(zones), str(every_s)]
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, limit=1 << 28)
    output, _ = await process.communicate()
    if process.returncode:
        sys.exit(process.returncode)
    found: dict[str, list[float]] = json.loads(output)
    return found


async def _peer(dsn: str, campaign: Campaign, zones: list[str]) -> None:
    """One claim of the peer's, rolled back."""
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    began = time.perf_counter()
    found = await connection.fetch(_PEER, campaign.list_ids, zones, BATCH, timeout=3600)
    took = time.perf_counter() - began
    await transaction.rollback()
    await connection.close()
    print(f"peer, a queue table read in order: one claim of {len(found)} leads {took * 1000:,.0f} ms", flush=True)


def _server_cpu_s(folder: Path) -> float:
    """Processor seconds of the server's processes that have ended, connections among them."""
    pid = (folder / "pg/data/postmaster.pid").read_text().split()[0]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


async def _sample_refused(store: PostgresStore, rules: CampaignRules) -> dict[str, int]:
    """Why leads of the head can't be called, by rule. Raises AssertionError if one can."""
    found: dict[str, int] = {}
    for lead_id in range(1, int(LEADS * 0.95), STRIDE):
        lead = await store.lead_facts(lead_id)
        assert lead is not None
        verdict = may_call(facts_of(lead), rules, NOW)
        assert not verdict.allowed, f"lead {lead_id} is held, and may be called"
        rule = str(verdict.rule)
        found[rule] = found.get(rule, 0) + 1
    return found


async def _measure(store: PostgresStore, folder: Path, dsn: str, campaigns: list[Campaign]) -> None:
    rules = rules_of(campaigns[0], load_rule_sets()["fr-b2c-2026"])
    groups = await store.tz_groups(campaigns[0].id)
    zones = [group for group, opening in open_groups(groups, rules, NOW).items() if opening.open]
    print(f"zones: {len(zones)} open of {len(groups)}; refused at the head: {await _sample_refused(store, rules)}")
    await _peer(dsn, campaigns[0], zones)
    rate, p99, fastest = 0.0, 0.0, 0.0
    for count, every_s in ((1, 0.0), (CLAIMERS, 0.0), (CLAIMERS, BATCH * CLAIMERS / RATE)):
        before = _server_cpu_s(folder)
        results = await asyncio.gather(*(_apart(dsn, each, zones, every_s) for each in campaigns[:count]))
        server_ms = (_server_cpu_s(folder) - before) * 1000
        ids = [id for result in results for id in result["ids"]]
        assert len(set(ids)) == len(ids), "a lead was claimed twice"
        took = sorted(each for result in results for each in result["took"])
        p50, p99 = took[len(took) // 2] * 1000, took[min(len(took) - 1, int(len(took) * 0.99))] * 1000
        asked = f"{RATE:,.0f} leads/s asked for" if every_s else "as fast as it goes"
        rate = len(ids) / max(result["lasted"][0] for result in results)
        daemon_ms = sum(result["cpu"][0] for result in results) * 1000
        served = len(took) + WARM * count
        print(f"{count} daemons, {asked}: {len(took)} claims, all {len(ids):,} leads allowed by may_call")
        print(
            f"  {rate:,.0f} leads/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, slowest {took[-1] * 1000:.1f} ms a claim of"
            f" {len(ids) / len(took):.0f}; processor a claim: server {server_ms / served:.1f} ms, daemon"
            f" {daemon_ms / len(took):.1f} ms; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
            flush=True,
        )
        if every_s == 0 and count == CLAIMERS:
            fastest = rate
    print(
        f"bench-hopper: {fastest:,.0f} leads/s at most; p99 {p99:.1f} ms at {rate:,.0f}/s (goal ≥ 5,000/s, p99 ≤ 50 ms)"
    )


async def _make(store: PostgresStore, dsn: str) -> list[Campaign]:
    """A site's campaign a claimer, all on the same lists, and the leads in them."""
    group = await store.create(Group(code="bench"))
    client = await store.create(Client(group_id=group.id, name="bench"))
    lists = [await store.create(LeadList(group_id=group.id, name=f"list {n}")) for n in range(LISTS)]
    list_ids = [each.id for each in lists]
    rows = [
        Campaign(group_id=group.id, client_id=client.id, name=f"s{n}", site=f"s{n}", list_ids=list_ids)
        for n in range(1, CLAIMERS + 1)
    ]
    campaigns = [await store.create(row) for row in rows]
    began = time.perf_counter()
    await _fill(dsn, group, lists, campaigns[0])
    made = time.perf_counter() - began
    print(f"{LEADS:,} leads in {LISTS} lists made in {made:.0f} s; 95 % of them ineligible, at the head")
    return campaigns


async def _make_again(store: PostgresStore, dsn: str) -> list[Campaign]:
    """The campaigns of an earlier run on the same folder, its claims given back."""
    campaigns = sorted(await store.find(Campaign), key=lambda campaign: campaign.id)
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE leads SET claimed_by = NULL WHERE claimed_by IS NOT NULL", timeout=3600)
    await connection.execute("VACUUM (ANALYZE) leads", timeout=3600)
    await connection.execute("CHECKPOINT", timeout=3600)
    leads = await connection.fetchval("SELECT count(*) FROM leads", timeout=3600)
    await connection.close()
    assert leads == LEADS, f"the folder has {leads:,} leads, HOPPER_LEADS says {LEADS:,}"
    return campaigns


async def main() -> None:
    with contextlib.ExitStack() as stack:
        kept = os.environ.get("HOPPER_DATA", "")
        folder = kept or stack.enter_context(tempfile.TemporaryDirectory(prefix="cadran-bench-"))
        Path(folder).mkdir(parents=True, exist_ok=True)
        os.chmod(folder, 0o711)
        # Durable, as in production: each claim is a commit that waits for the disk.
        tuning = {"max_wal_size": "16GB", "shared_buffers": "1GB"}  # a server that is given its share of the machine
        async with EmbeddedPostgres(Path(folder) / "pg", tied=True, tuning=tuning) as server:
            store = PostgresStore(server.dsn(), SystemClock(), statement_timeout_s=60.0)
            await store.open()
            made_before = await store.find(Campaign)
            campaigns = await (_make_again if made_before else _make)(store, server.dsn())
            await _measure(store, Path(folder), server.dsn(), campaigns[:CLAIMERS])
            began = time.perf_counter()
            counts = await store.callable_counts(campaigns[0].id, NOW)
            print(f"due and held counted in {time.perf_counter() - began:.2f} s: {counts}")
            await store.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(claim(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), float(sys.argv[4])))
    else:
        asyncio.run(main())
