"""Draws the life of a call in docs/architecture.md from the table the daemon runs on (daemon/calls/states.py).

`python tools/diagram.py` rewrites the part between the two marks; `--check` exits 1 if it differs from the table.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from daemon.calls.states import TRANSITIONS, CallState  # noqa: E402

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- diagram: tools/diagram.py -->\n", "<!-- end of diagram -->\n"

BY_THE_ENGINE: tuple[tuple[CallState, CallState, str], ...] = (
    (CallState.INTENDED, CallState.AGENT_FIRST, "committed, agent on demand"),
    (CallState.INTENDED, CallState.DIALLING, "committed, Originate"),
    (CallState.AGENT_FIRST, CallState.DIALLING, "agent answered, Originate"),
    (CallState.WAITING, CallState.CONNECTING, "an agent is free"),
    (CallState.CONNECTING, CallState.WAITING, "offer came to nothing"),
    (CallState.WAITING, CallState.MESSAGE, "nobody in time, abandoned"),
    (CallState.TALKING, CallState.HELD, "hold, transfer, take-over"),
    (CallState.HELD, CallState.TALKING, "with the agent, a third party, or in a room"),
    (CallState.HELD, CallState.WAITING, "transfer failed, agent gone"),
    (CallState.TALKING, CallState.CLOSING, "our hang-up"),
    (CallState.MESSAGE, CallState.CLOSING, "message heard"),
)
"""What the engine decides rather than the PBX reports (its callflow.py, answering.py, ending.py); the main ones."""


def diagram() -> str:
    """The diagram as a fenced block: the PBX's events from the table, the engine's own steps from the list above."""
    labels: dict[tuple[str, str], list[str]] = defaultdict(list)
    ends: dict[str, list[str]] = defaultdict(list)
    for (state, event), following in TRANSITIONS.items():
        if following is CallState.ENDED:
            ends[event.__name__].append(state.value)
        elif state is not following:
            labels[state.value, following.value].append(event.__name__)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> intended"]
    lines += [f"    {one.value} --> {other.value}: {what}" for one, other, what in BY_THE_ENGINE]
    lines += [f"    {one} --> {other}: {', '.join(events)}" for (one, other), events in labels.items()]
    lines += [f"    {state} --> ended" for state in next(iter(ends.values()))]
    lines += ["    ended --> [*]", "```", ""]
    lines += [f"Every arrow to `ended` is {' or '.join(f'`{name}`' for name in ends)}.", ""]
    return "\n".join(lines)


def main() -> int:
    """Rewrite, or check."""
    text = PAGE.read_text("utf-8")
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    fresh = text[:start] + "\n" + diagram() + "\n" + text[end:]
    if "--check" in sys.argv[1:]:
        if fresh != text:
            print("docs/architecture.md: the diagram differs from the table; run python tools/diagram.py")
        return int(fresh != text)
    PAGE.write_text(fresh, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
