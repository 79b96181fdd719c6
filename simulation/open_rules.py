"""The rule set of simulations, the demo and the measurements: open at every hour, no consent asked."""

from __future__ import annotations

from pathlib import Path

RULES = """
id = "open"
title = "Every hour, no consent asked: for a fake PBX and tests only"
country = "FR"
audience = "business"
valid_from = 2020-01-01

[hours]
clause = "own policy"
source = "this simulation"
mark = "own"
holidays = ""
windows = [{ days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], from = "00:00", to = "24:00" }]

[consent]
clause = "own policy"
source = "this simulation"
mark = "own"
required = false

[abandonment]
clause = "own policy"
source = "this simulation"
mark = "own"
rate_max = 0.03
windows = ["hour", "day"]
connect_deadline_s = 2.0
clock_start = "answer"
ring_time_s_min = 15

[caller_id]
clause = "own policy"
source = "this simulation"
mark = "own"

[automated_message]
clause = "own policy"
source = "this simulation"
mark = "own"
policy = "allowed"

[technical]
clause = "own policy"
source = "this simulation"
mark = "own"
max = 1000
hours = 1
"""


def rules_folder(folder: Path) -> Path:
    """Write the open rule set into `folder`; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open.toml").write_text(RULES)
    return folder
