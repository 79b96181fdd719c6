"""How long a large file takes to become leads, and how much memory: seconds, MB, beside COPY alone.

A CSV of `IMPORT_ROWS` rows (default 1,000,000; seven columns, 5 % bad numbers, 5 % doubles) is recognised, checked,
compared with the base and made into leads on a durable PostgreSQL of our own, in this process, as the daemon does it.
"COPY alone" is the same number of ready-made rows into a table of the same columns, without index or check. The
loop's own lag is measured beside it: an import must not keep calls waiting.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from daemon.calls.records import Group, LeadList
from daemon.clock import SystemClock
from daemon.leads.running import Plan, recognise, run_import
from daemon.store import EmbeddedPostgres, PostgresStore

ROWS = int(os.environ.get("IMPORT_ROWS", "1000000"))
SECONDS_MAX, MEGABYTES_MAX = 90.0, 300


def numbers(rng: random.Random) -> Iterator[str]:
    """Telephone cells of a file as they come: mostly good mobiles, some doubles, some bad."""
    last = "0612345678"
    while True:
        chance = rng.random()
        if chance < 0.05:
            yield f"06{rng.randrange(10**6):06d}"
        elif chance < 0.10:
            yield last
        else:
            last = f"06{rng.choice('124578')}{rng.randrange(10**7):07d}"
            yield last


def write_file(path: Path, rng: random.Random) -> None:
    """The file to import."""
    cells = numbers(rng)
    with path.open("w", encoding="utf-8") as file:
        file.write("telephone;prenom;nom;email;adresse;code postal;ville\n")
        for i in range(ROWS):
            file.write(
                f"{next(cells)};Hélène{i % 500};Lefèvre{i % 90_000};p{i}@exemple.fr;{i % 200} rue de la Paix;"
                f"{rng.randrange(1000, 95_999):05d};Ville{i % 3000}\n"
            )


async def copy_alone(dsn: str) -> float:
    """Seconds of COPY for as many ready-made rows."""
    connection = await asyncpg.connect(dsn)
    names = ("e164", "first_name", "last_name", "email", "address1", "postal_code", "city")
    await connection.execute(f"CREATE TABLE bare ({', '.join(f'{name} text' for name in names)})")
    begun = time.monotonic()
    for first in range(0, ROWS, 4000):
        rows = [
            (
                f"+33{600_000_000 + i}",
                f"Hélène{i % 500}",
                f"Lefèvre{i % 90_000}",
                f"p{i}@exemple.fr",
                "rue",
                "75001",
                "V",
            )
            for i in range(first, min(ROWS, first + 4000))
        ]
        await connection.copy_records_to_table("bare", records=rows)
    seconds = time.monotonic() - begun
    await connection.execute("DROP TABLE bare")
    await connection.close()
    return seconds


async def lag(found: list[float]) -> None:
    """How late a timer of 2 ms comes, over and over."""
    while True:
        asked = time.monotonic()
        await asyncio.sleep(0.002)
        found.append(time.monotonic() - asked - 0.002)


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cadran-bench-") as name:
        folder = Path(name)
        os.chmod(folder, 0o711)  # the server's user passes through
        server = EmbeddedPostgres(folder / "pg", tied=True)
        await server.start()
        try:
            await measure(folder, server.dsn())
        finally:
            await server.stop()


async def measure(folder: Path, dsn: str) -> None:
    path = folder / "leads.csv"
    write_file(path, random.Random(1))
    clock = SystemClock()
    store = PostgresStore(dsn, clock)
    await store.open()
    group = await store.create(Group(code="BENCH"))
    listed = await store.create(LeadList(group_id=group.id, name="all"))
    bare = await copy_alone(dsn)
    late: list[float] = []
    watch = asyncio.create_task(lag(late))
    begun, cpu = time.monotonic(), time.process_time()
    form = await recognise(path)
    plan = Plan(list_id=listed.id, group_id=group.id)
    report = await run_import(path, form, plan, store, clock, report_path=folder / "report.csv")
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    watch.cancel()
    await store.close()
    late.sort()
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"  {report.rows:,} rows: {report.inserted:,} leads, {report.rejected:,} rejected,"
        f" {report.duplicates_in_file:,} doubles; {path.stat().st_size / 1e6:.0f} MB"
    )
    print(f"  loop lag p50 {late[len(late) // 2] * 1e3:.1f} ms, p99 {late[int(len(late) * 0.99)] * 1e3:.1f} ms")
    print(f"  COPY alone {bare:.1f} s; our own processor time {cpu:.1f} s of {seconds:.1f} s")
    print(
        f"import: {seconds:.1f} s, {megabytes:.0f} MB, {seconds / bare:.1f} × COPY alone"
        f" (goal ≤ {SECONDS_MAX:.0f} s and {MEGABYTES_MAX} MB for 1,000,000 rows)"
    )


if __name__ == "__main__":
    asyncio.run(main())
