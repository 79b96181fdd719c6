"""Makes a recording: a draft scenario is done to a server, and what it says is kept as the other recordings are.

In: a draft, which is a scenario file whose steps have a `gap` (or an `after` and a `gap`) but no `at`, a `wait` where
what comes `after` may take more than a few seconds, and whose `ids` name the client's roles
(`{"call-1": {"chosen_by": "client"}}`). Out: NAME.json, NAME.ami and NAME.md in a folder.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fake_asterisk.replay.roles import Roles
from fake_asterisk.replay.runner import Outcome, Replay, Server
from fake_asterisk.replay.scenario import Scenario, ScenarioError, parse
from fake_asterisk.replay.wire import parse_stream


def load_draft(path: Path) -> Scenario:
    """Raises ScenarioError. The times of the steps are the sums of their gaps, which bounds every wait."""
    try:
        source = json.loads(path.read_text(encoding="utf-8"))
        at = 0.0
        for step in source["timeline"]:
            at += float(step.get("gap", 0.0)) + float(step.pop("wait", 0.0))
            step["at"] = at
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScenarioError(f"{path.name}: {type(error).__name__}: {error}") from error
    return parse({"name": path.stem, "needs": [], "bridges": {}, **source})


async def record(draft: Scenario, server: Server, known: Mapping[str, str], token: str, folder: Path) -> Outcome:
    """Does the draft and writes the three files; nothing if a step could not be done, which `problems` tells."""
    outcome = await Replay(draft, server, known, token).run()
    if outcome.problems:
        return outcome
    roles = Roles(draft.new_ids(token))
    for message in parse_stream(outcome.received).messages:
        roles.observe(message)
    _write(folder, _scenario(draft, outcome, roles), outcome.received)
    return outcome


def _write(folder: Path, source: Mapping[str, Any], data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{source['name']}.ami").write_bytes(data)
    (folder / f"{source['name']}.json").write_text(_json(source), encoding="utf-8")
    (folder / f"{source['name']}.md").write_text(_page(source, data), encoding="utf-8")


def _scenario(draft: Scenario, outcome: Outcome, roles: Roles) -> dict[str, Any]:
    chosen = draft.new_ids("")
    ids = {
        role: {"uniqueid": uniqueid}
        | ({"channel": roles.channels[role]} if role in roles.channels else {})
        | {"chosen_by": "client" if role in chosen else "server"}
        for role, uniqueid in roles.ids.items()
    }
    start = next(
        at
        for step, at in zip(draft.steps, outcome.done_at, strict=True)
        if step.kind == "connect" and step.session == "main"
    )
    *steps, drop = [
        {"at": round(at - start, 3)} | {key: value for key, value in entry.items() if key != "at"}
        for entry, at in zip(draft.source["timeline"], outcome.done_at, strict=True)
    ]
    drop["at"] = round(steps[-1]["at"] + drop.pop("gap", 0.3), 3)  # the rest that was waited for, not the silence
    return {
        "format": 1,
        "name": draft.name,
        "about": draft.about,
        "manager_user": draft.manager_user,
        "events_mask": draft.events_mask,
        "needs": list(draft.needs),
        "ids": ids,
        "bridges": roles.bridges,
        "timeline": [*steps, drop],
    }


def _json(source: Mapping[str, Any]) -> str:
    """One line a key and one a step, so that two versions of a scenario can be read side by side."""
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in source.items() if key != "timeline"]
    steps = ",\n".join(f"  {json.dumps(step)}" for step in source["timeline"])
    return "{\n" + ",\n".join([*lines, f' "timeline": [\n{steps}\n ]']) + "\n}\n"


def _page(source: Mapping[str, Any], data: bytes) -> str:
    """The scenario for a human: what was sent and when, and how many events of each type came."""
    counts = Counter(message.event or "Response" for message in parse_stream(data).messages)
    lines = [f"# {source['name']}", "", source["about"], "", "## Actions sent", ""]
    for step in source["timeline"]:
        what = step.get("action") or {key: step[key] for key in step if key not in {"at", "gap", "after"}}
        lines.append(f"- {step['at']:.3f} s: `{json.dumps(what, ensure_ascii=False)}`")
    lines += ["", "## Messages received", ""]
    lines += [f"- {kind}: {count}" for kind, count in sorted(counts.items())]
    return "\n".join(lines) + "\n"
