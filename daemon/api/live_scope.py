"""What of the live state a reader may see: which views, and which of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from daemon.api.routes import Principal
from daemon.calls.records import Role
from daemon.engine.views import (
    AgentView,
    AnyView,
    CallView,
    CampaignView,
    EngineDoor,
    ImportView,
    LineView,
    LinkView,
    SystemView,
    for_the_agent,
)

TABLES = ("system", "links", "campaigns", "agents", "calls", "lines", "imports")
"""The tables of a snapshot, in its order: the engine's, and the imports."""

NAMES = ("name", "login", "extension")
"""What of an agent names a person."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a reader may see. Two tokens with equal scopes share every byte."""

    group_id: int
    campaign_ids: frozenset[int] = frozenset()
    agent_id: int = 0
    wall: bool = False

    @classmethod
    def of(cls, who: Principal) -> Scope:
        agent = who.agent_id if who.role is Role.AGENT else 0
        if who.role is Role.AGENT and not agent:
            agent = -1  # an agent's token that names no agent sees nobody
        return cls(0 if who.all_groups else who.group_id, who.campaign_ids, agent, who.role is Role.WALL)

    def fields(self, view: AnyView) -> dict[str, Any]:
        """What is sent of a view: on a wall screen nothing that names a person, to an agent not who listens unseen."""
        if not isinstance(view, AgentView):
            return msgspec.structs.asdict(view)
        if self.wall:
            return {**msgspec.structs.asdict(view), **dict.fromkeys(NAMES, ""), "listeners": ()}
        return msgspec.structs.asdict(for_the_agent(view) if self.agent_id else view)

    def shows(self, view: AnyView) -> bool:
        """Whether the view exists in this scope."""
        if isinstance(view, (LinkView, SystemView)):
            return True
        if self.wall and not isinstance(view, (AgentView, CampaignView)):
            return False
        if self.group_id and view.group_id != self.group_id:
            return False
        if isinstance(view, AgentView):
            return self._agent(view)
        if isinstance(view, CampaignView):
            return self.agent_id == 0 and (not self.campaign_ids or view.id in self.campaign_ids)
        if isinstance(view, CallView):
            if self.agent_id:
                return view.agent_id == self.agent_id
            return not self.campaign_ids or view.campaign_id in self.campaign_ids
        if isinstance(view, ImportView):
            return self.agent_id == 0 and not self.campaign_ids
        return isinstance(view, LineView) and self.agent_id == 0

    def _agent(self, view: AgentView) -> bool:
        if self.agent_id:
            return view.id == self.agent_id
        return not self.campaign_ids or bool(self.campaign_ids.intersection(view.campaign_ids))


def snapshot_for(door: EngineDoor, who: Principal) -> dict[str, dict[str, Any]]:
    """All views the principal may see, by table and id."""
    scope = Scope.of(who)
    shown: Mapping[str, Mapping[str, AnyView]] = door.view()
    return {
        table: {id: scope.fields(view) for id, view in shown.get(table, {}).items() if scope.shows(view)}
        for table in TABLES
    }
