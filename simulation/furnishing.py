"""What an operator types before a campaign can dial: group, client, statuses, lines, agents, a list, the campaign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from daemon.calls.lead_records import LeadDraft
from daemon.calls.records import Agent, Campaign, CampaignMode, Client, Group, LeadList, Line, PauseCode, Status
from daemon.store.memory import MemoryStore

STATUSES: tuple[tuple[str, dict[str, bool]], ...] = (
    ("VENTE", {"sale": True, "final": True}),
    ("REFUS", {"not_interested": True}),
    ("RAPPEL", {"callback": True}),
    ("INJOIGN", {}),
)


class Operator:
    """Fills a store. The rows of the last campaign made are `group`, `client`, `agents` and `list`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.group: Group
        self.client: Client
        self.agents: list[Agent]
        self.list: LeadList

    async def campaign(self, *, agents: int, leads: int, lines: Sequence[int], nailed: int, **fields: Any) -> Campaign:
        """A campaign with a group of its own. `lines`: their capacities; `nailed`: so many agents are nailed up."""
        store = self._store
        self.group = await store.create(Group(code="SIM", name="Simulation"))
        self.client = await store.create(Client(group_id=self.group.id, name="Client"))
        await self._codes()
        trunks = [await store.create(self._trunk(n, capacity)) for n, capacity in enumerate(lines)]
        self.agents = [await store.create(self._agent(1001 + n, n < nailed)) for n in range(agents)]
        self.list = await store.create(LeadList(group_id=self.group.id, name="List"))
        people = [LeadDraft(e164=f"+3319900{n:04d}", last_name=f"P{n}") for n in range(leads)]
        await store.add_leads(self.list.id, people)
        usual: dict[str, Any] = {
            "name": "Campaign",
            "mode": CampaignMode.PROGRESSIVE,
            "wrap_up_max_s": 60.0,
            "calls_per_second": 20.0,
            "rule_set": "open",
            "gap_min_s": 0.0,
        }
        return await store.create(
            Campaign(
                group_id=self.group.id,
                client_id=self.client.id,
                site="main",
                list_ids=[self.list.id],
                line_ids=[line.id for line in trunks],
                **(usual | fields),
            )
        )

    async def _codes(self) -> None:
        """What agents can say of a call, and why they may pause."""
        for code, flags in STATUSES:
            status = Status(group_id=self.group.id, code=code, name=code.title())
            await self._store.create(msgspec.structs.replace(status, **flags))
        await self._store.create(PauseCode(group_id=self.group.id, code="PAUSE", name="Pause", expected_s=900.0))

    def _trunk(self, n: int, capacity: int) -> Line:
        return Line(
            group_id=self.group.id, site="main", name=f"T{n}", endpoint="trunk", capacity=capacity, priority=10 - n
        )

    def _agent(self, number: int, nailed: bool) -> Agent:
        extension = str(number)
        return Agent(
            group_id=self.group.id,
            site="main",
            login=extension,
            name=f"Agent {extension}",
            extension=extension,
            nailed=nailed,
        )
