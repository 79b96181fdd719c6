"""A scenario file: what was done while a recording was made, with placeholders for the ids of the run.

In: `NAME.json`. Out: `Scenario`, whose steps `runner` does. Anything in the file that is not known is refused, for a
step that is silently not done would make another conversation.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_asterisk.replay.roles import Roles

SESSIONS = ("main", "other")
SERVER_COMMANDS = ("core stop now", "core stop gracefully", "core abort shutdown", "kill", "boot")
STEP_KINDS = ("connect", "action", "raw_latin1", "drop", "server")
LATER_NEEDS = {"console": "a command outside AMI", "restart": "stopping or starting the server"}


class ScenarioError(Exception):
    """The file is no scenario; the text names the file, the place and what is wrong there."""


class Unresolved(Exception):
    """A placeholder has no value yet: the message that brings it has not been received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing done. `at`: seconds after `main` connected, in the recording; `gap`: seconds after the step before or,
    with `after`, after a message with these headers; a gap of None is the distance of the recording."""

    kind: str
    session: str
    at: float
    gap: float | None
    after: Mapping[str, Any] | None
    content: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    about: str
    manager_user: str
    events_mask: str | None
    needs: tuple[str, ...]
    ids: Mapping[str, Mapping[str, str]]
    bridges: Mapping[str, str]
    steps: tuple[Step, ...]
    source: Mapping[str, Any] = field(repr=False)

    @property
    def boots(self) -> bool:
        """The server is started while the scenario runs: what it says of its phones at the start counts too."""
        return any(step.kind == "server" and step.content == "boot" for step in self.steps)

    @property
    def duration_s(self) -> float:
        return self.steps[-1].at - self.steps[0].at

    def recorded_roles(self) -> Roles:
        """The cast of the recording."""
        chosen = {role: entry["uniqueid"] for role, entry in self.ids.items() if entry["chosen_by"] == "client"}
        made = {role: entry["uniqueid"] for role, entry in self.ids.items() if entry["chosen_by"] == "server"}
        return Roles(chosen, made=made, bridges=self.bridges)

    def new_ids(self, token: str) -> dict[str, str]:
        """Fresh ids for the roles the client chooses; `call-1b`, the other half of `call-1`, is that id and a b."""
        chosen = [role for role, entry in self.ids.items() if entry["chosen_by"] == "client"]
        return {role: new_id(role, chosen, token) for role in chosen}


def new_id(role: str, roles: Sequence[str], token: str) -> str:
    base, half = (role[:-1], "b") if role.endswith("b") and role[:-1] in roles else (role, "")
    return f"{base}.{token}{half}"


def load(path: Path) -> Scenario:
    """Raises ScenarioError; the recording beside it is not read here."""
    try:
        source = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(source, dict) or "timeline" not in source:
            raise ScenarioError("no timeline")
        return parse({**source, "name": path.stem})  # the file's name is what it is called by
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ScenarioError) as error:
        raise ScenarioError(f"{path.name}: {type(error).__name__}: {error}") from error


def parse(source: Mapping[str, Any]) -> Scenario:
    if source.get("format", 1) != 1:
        raise ScenarioError(f"format {source['format']} is not known (1 is)")
    steps = tuple(_step(index, entry) for index, entry in enumerate(source["timeline"]))
    if not steps or steps[-1].kind != "drop" or steps[-1].session != "main":
        raise ScenarioError("the last step must drop main")
    return Scenario(
        name=source["name"],
        about=source.get("about", ""),
        manager_user=source["manager_user"],
        events_mask=source.get("events_mask"),
        needs=tuple(source.get("needs", ())),
        ids=source.get("ids", {}),
        bridges=source.get("bridges", {}),
        steps=steps,
        source=source,
    )


def _step(index: int, entry: Mapping[str, Any]) -> Step:
    kinds = [kind for kind in STEP_KINDS if kind in entry]
    if len(kinds) != 1:
        raise ScenarioError(f"step {index}: must be one of {', '.join(STEP_KINDS)}, is {sorted(entry)}")
    kind = kinds[0]
    session = entry[kind] if kind in {"connect", "drop"} else entry.get("session", "main")
    if session not in SESSIONS:
        raise ScenarioError(f"step {index}: session {session!r} (main and other are known)")
    content = entry.get("how", "close") if kind == "drop" else entry[kind]
    if kind == "server" and content not in SERVER_COMMANDS:
        raise ScenarioError(f"step {index}: server {content!r} (known: {', '.join(SERVER_COMMANDS)})")
    return Step(
        kind=kind,
        session=session,
        at=float(entry.get("at", 0.0)),
        gap=entry.get("gap"),
        after=entry.get("after"),
        content=content,
    )


def resolve(value: Any, roles: Sequence[Roles], secrets: Mapping[str, str], challenge: str | None) -> str:
    """Text of a value with its placeholders filled in. `roles`: the casts as known to the sessions, best first.

    Raises Unresolved if a placeholder has no value yet, ScenarioError if it can never have one."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise ScenarioError(f"a value is text or a placeholder, not {value!r}")
    if "$join" in value:
        return "".join(resolve(part, roles, secrets, challenge) for part in value["$join"])
    if "$md5" in value:
        if challenge is None:
            raise Unresolved("challenge")
        return hashlib.md5((challenge + _secret(value, secrets)).encode(), usedforsecurity=False).hexdigest()
    if "$secret" in value:
        return _secret(value, secrets)
    for placeholder, table in (("$id", "ids"), ("$channel", "channels"), ("$bridge", "bridges")):
        if placeholder in value:
            role = value[placeholder]
            for cast in roles:
                if role in (known := getattr(cast, table)):
                    return str(known[role])
            raise Unresolved(f"{placeholder[1:]} of {role}")
    raise ScenarioError(f"placeholder {value!r} is not known")


def _secret(value: Mapping[str, Any], secrets: Mapping[str, str]) -> str:
    user = value["$secret"]
    if user not in secrets:
        raise ScenarioError(f"no secret is known for user {user!r}")
    return secrets[user]
