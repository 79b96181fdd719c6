"""An engine door without an engine, a clock that is set by hand, and a world of rows: what the API tests stand on."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from daemon.api.auth import hash_of
from daemon.calls.records import (
    Agent,
    ApiToken,
    CallerIdNumber,
    Campaign,
    Client,
    Group,
    LeadList,
    Line,
    LineKind,
    Role,
    TokenKind,
)
from daemon.crm.door import Door
from daemon.crm.http import Outgoing
from daemon.crm.service import CrmService
from daemon.crm.vault import Vault
from daemon.crm.webhooks import WebhookKeys, WebhookSender
from daemon.engine import commands as c
from daemon.engine.views import (
    AgentView,
    AnyView,
    CallView,
    CampaignView,
    CauseView,
    Changes,
    ImportView,
    LineView,
    LinkView,
    SystemView,
    WindowView,
)
from daemon.errors import CommandError
from daemon.settings import OutgoingTable, WebhooksTable
from daemon.store.memory import MemoryStore
from daemon.store.pseudonyms import Pseudonyms

START = datetime(2026, 11, 24, 13, 32, 7, tzinfo=UTC)
TABLES = ("links", "campaigns", "agents", "calls", "lines", "imports", "system")


class HandClock:
    """Time that moves when told to."""

    def __init__(self, utc: datetime = START) -> None:
        self.utc, self.at = utc, 1000.0

    def now(self) -> float:
        return self.at

    def utcnow(self) -> datetime:
        return self.utc

    def advance(self, seconds: float) -> None:
        self.at += seconds
        self.utc += timedelta(seconds=seconds)


class FakeDoor:
    """Records commands and answers them with a few plausible effects; `refuse` makes a command fail."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.views: dict[str, dict[str, AnyView]] = {name: {} for name in TABLES}
        self.commands: list[c.Command] = []
        self.refuse: dict[str, CommandError] = {}
        self.silent = False
        self.listeners: list[Callable[[Changes], None]] = []
        self.numbers = 12344
        self.show(SystemView(version="test", started=START, now=START, store_ok=True, store_since=START,
                             journal_pending=0, leader={"main": True}))  # fmt: skip
        self.show(LinkView(site="main", up=True, since=START, mode="asyncagi", synced=True))

    def view(self) -> Mapping[str, Mapping[str, AnyView]]:
        return self.views

    def listen(self, listener: Callable[[Changes], None], tables: Sequence[str] = ()) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def publish(self, changes: Changes) -> None:
        for table, rows in changes.items():
            for id, view in rows.items():
                if view is None:
                    self.views[table].pop(id, None)
                else:
                    self.views[table][id] = view
        for listener in list(self.listeners):
            listener(changes)

    def show(self, *views: AnyView) -> None:
        changes: dict[str, dict[str, AnyView | None]] = {}
        for view in views:
            changes.setdefault(_table(view), {})[_id(view)] = view
        self.publish(changes)

    def gone(self, table: str, id: str) -> None:
        self.publish({table: {id: None}})

    def change(self, table: str, id: object, **fields: Any) -> None:
        self.show(msgspec.structs.replace(self.views[table][str(id)], **fields))

    async def submit(self, command: c.Command) -> dict[str, object]:
        self.commands.append(command)
        error = self.refuse.get(type(command).__name__)
        if error is not None:
            raise error
        return getattr(self, "_" + type(command).__name__, lambda _: {})(command)

    def of(self, kind: type[c.Command]) -> list[Any]:
        return [command for command in self.commands if type(command) is kind]

    def _CallExtension(self, command: c.CallExtension) -> dict[str, object]:
        if self.silent:
            return {"attempt_id": str(command.attempt_id)}
        self.numbers += 1
        self.show(
            CallView(id=str(command.attempt_id), number=self.numbers, kind="click2call", group_id=command.group_id,
                     campaign_id=0, lead_id=0, agent_id=0, line_id=0, site=command.site, stage="agent_ringing",
                     since=self.clock.utcnow(), started=self.clock.utcnow(), queued=True)
        )  # fmt: skip
        return {"attempt_id": str(command.attempt_id)}

    def _campaign_state(self, campaign_id: int, state: str) -> dict[str, object]:
        if str(campaign_id) in self.views["campaigns"]:
            self.change("campaigns", campaign_id, state=state)
        return {}

    def _StartCampaign(self, command: c.StartCampaign) -> dict[str, object]:
        return self._campaign_state(command.campaign_id, "running")

    def _PauseCampaign(self, command: c.PauseCampaign) -> dict[str, object]:
        return self._campaign_state(command.campaign_id, "paused")

    def _StopCampaign(self, command: c.StopCampaign) -> dict[str, object]:
        return self._campaign_state(command.campaign_id, "stopped")

    def _StopAllCalls(self, command: c.StopAllCalls) -> dict[str, object]:
        for id, view in list(self.views["campaigns"].items()):
            if command.campaign_ids and int(id) not in command.campaign_ids:
                continue
            if isinstance(view, CampaignView) and command.group_id in (0, view.group_id) and view.state == "running":
                self.change("campaigns", id, state="paused")
        return {}

    def _TuneCampaign(self, command: c.TuneCampaign) -> dict[str, object]:
        view = self.views["campaigns"].get(str(command.campaign_id))
        if not isinstance(view, CampaignView):
            return {}
        if command.from_speed is not None and command.from_speed != view.speed:
            raise CommandError("changed_meanwhile", {"speed": view.speed})
        given = {"mode": command.mode, "level": command.level, "speed": command.speed}
        self.change("campaigns", command.campaign_id, **{k: v for k, v in given.items() if v is not None})
        return {}

    def _agent(self, agent_id: int, **fields: Any) -> dict[str, object]:
        if str(agent_id) in self.views["agents"]:
            self.change("agents", agent_id, since=self.clock.utcnow(), **fields)
        return {}

    def _SignIn(self, command: c.SignIn) -> dict[str, object]:
        state = "ready" if command.ready else "paused"
        return self._agent(command.agent_id, state=state, code="", campaign_ids=command.campaign_ids)

    def _SignOut(self, command: c.SignOut) -> dict[str, object]:
        return self._agent(command.agent_id, state="signed_out", code="", campaign_ids=())

    def _SetReady(self, command: c.SetReady) -> dict[str, object]:
        return self._agent(command.agent_id, state="ready", code="")

    def _SetPaused(self, command: c.SetPaused) -> dict[str, object]:
        return self._agent(command.agent_id, state="paused", code=command.code)

    def _Dispose(self, command: c.Dispose) -> dict[str, object]:
        return self._agent(command.agent_id, state=command.then, code=command.pause_code, attempt_id="", lead_id=0)

    def _HangUpCall(self, command: c.HangUpCall) -> dict[str, object]:
        if str(command.attempt_id) not in self.views["calls"]:
            raise CommandError("call_gone")
        self.gone("calls", str(command.attempt_id))
        return {}

    def _SetLine(self, command: c.SetLine) -> dict[str, object]:
        self.change("lines", command.line_id, state="active" if command.enabled else "off")
        return {}


def _table(view: AnyView) -> str:
    kinds = {
        LinkView: "links",
        CampaignView: "campaigns",
        AgentView: "agents",
        CallView: "calls",
        LineView: "lines",
        ImportView: "imports",
    }
    return kinds.get(type(view), "system")


def _id(view: AnyView) -> str:
    if isinstance(view, LinkView):
        return view.site
    return "cadran" if isinstance(view, SystemView) else str(view.id)


def campaign_view(id: int, group_id: int, name: str, **fields: Any) -> CampaignView:
    """A campaign that dials, calm."""
    causes = tuple(CauseView(name=n, ok=True, code="ok") for n in
                   ("links", "campaign", "agents", "leads", "lines", "pacing"))  # fmt: skip
    windows = tuple(
        WindowView(name=name, abandoned=a, live=live, room=room, ceiling=0.03)
        for name, a, live, room in (("hour", 4, 212, 2), ("day", 18, 724, 3), ("30d", 402, 17980, 137))
    )
    values: dict[str, Any] = {
        "site": "main", "state": "running", "mode": "predictive", "level": 2, "speed": 6, "rule_set": "fr-b2c-2026",
        "version": 1, "since": START - timedelta(minutes=32),
        "stages": {"dialling": 6, "ringing": 9, "answered": 2, "waiting": 0, "talking": 19},
        "agents": {"on_call": 19, "ready": 2, "wrap_up": 2, "paused": 1},
        "outcomes": {"connected": 706, "no_answer": 1240, "machine": 388, "busy": 96, "abandoned": 18},
        "answer_rate": 0.31, "occupancy": 0.84, "wait_s": 21.0, "windows": windows, "causes": causes,
        "binding": "pacing", "why": "placing 7: 2 ready, 2.3 expected free, 31 % answer, risk 2.1 % ≤ 3.4 %",
        "why_fr": "7 appels lancés : 2 prêts, 2,3 attendus, réponse 31 %, risque 2,1 % ≤ 3,4 %",
        "pacing": {"count": 7}, "leads": {"due": 3114, "recycling": 9366},
    }  # fmt: skip
    return CampaignView(id=id, group_id=group_id, name=name, **{**values, **fields})


def agent_view(id: int, group_id: int, name: str, extension: str, **fields: Any) -> AgentView:
    """An agent, ready."""
    values: dict[str, Any] = {
        "site": "main", "login": extension, "extension": extension, "nailed": True, "state": "ready", "code": "",
        "since": START - timedelta(seconds=17), "campaign_ids": (1,), "campaign_id": 1, "attempt_id": "", "lead_id": 0,
        "phone": "not_inuse", "today": {"calls": 31, "sales": 4, "talk_s": 5400.0},
    }  # fmt: skip
    return AgentView(id=id, group_id=group_id, name=name, **{**values, **fields})


def call_view(id: str, group_id: int = 1, **fields: Any) -> CallView:
    values: dict[str, Any] = {
        "number": 7, "kind": "campaign", "campaign_id": 1, "lead_id": 0, "agent_id": 0, "line_id": 1, "site": "main",
        "stage": "ringing", "since": START, "started": START,
    }  # fmt: skip
    return CallView(id=id, group_id=group_id, **{**values, **fields})


def line_view(id: int, group_id: int, name: str, **fields: Any) -> LineView:
    values: dict[str, Any] = {"site": "main", "kind": "trunk", "state": "active", "capacity": 30, "in_use": 24,
                              "priority": 10, "calls": 2318, "succeeded": 2250}  # fmt: skip
    return LineView(id=id, group_id=group_id, name=name, **{**values, **fields})


@dataclass
class World:
    """Two groups; the first has a client, lists, lines, a campaign, agents, and one token of each role and kind."""

    clock: HandClock
    store: MemoryStore
    door: FakeDoor
    tokens: dict[str, str] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)
    alerts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    """To be closed with the app that was given them: connections that nobody closes are told of in some later test."""
    rng: random.Random = field(default_factory=lambda: random.Random(7))

    async def token(self, key: str, group_id: int, **fields: Any) -> str:
        secret = f"cadran_T_{self.rng.getrandbits(160):040x}"
        values = {"name": key, "created_at": START, **fields}
        row = await self.store.create(ApiToken(group_id=group_id, sha256=hash_of(secret), tail=secret[-4:], **values))
        self.tokens[key] = secret
        self.rows["token_" + key] = row
        return secret

    def auth(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[key]}"}


def _outgoing(world: World) -> Outgoing:
    """Loopback may be reached."""
    made = Outgoing(OutgoingTable(allow_networks=("127.0.0.0/8",)))
    world.outgoing.append(made)
    return made


def sender_of(world: World) -> WebhookSender:
    """The sender of webhooks, which runs only when a test tells it to look."""
    return WebhookSender(
        world.store, _outgoing(world), WebhookKeys(b"w" * 32), world.clock, random.Random(4), WebhooksTable(),
        sites=lambda: ["main"], notify=lambda topic, details: world.alerts.append((topic, dict(details))),
    )  # fmt: skip


def crm_of(world: World) -> Door:
    """Integrations, none of them at work."""
    rng = random.Random(6)
    vault = Vault(bytes(32), rng.randbytes)
    service = CrmService(
        world.store, _outgoing(world), vault, world.clock, rng, sites=lambda: ["main"], random_bytes=rng.randbytes
    )
    return Door(service, world.store)


async def make_world() -> World:
    clock = HandClock()
    store = MemoryStore(clock)
    await store.open()
    await store.use_pseudonyms(Pseudonyms(b"k" * 32))
    world = World(clock, store, FakeDoor(clock))
    create = store.create
    rows = world.rows
    rows["group"] = group = await create(Group(code="OUEST", name="Ouest"))
    rows["other_group"] = other = await create(Group(code="EST", name="Est"))
    rows["client"] = client = await create(Client(group_id=group.id, name="Assureur"))
    rows["other_client"] = await create(Client(group_id=other.id, name="Autre"))
    rows["list"] = list_ = await create(LeadList(group_id=group.id, name="NEW"))
    rows["other_list"] = await create(LeadList(group_id=other.id, name="EST"))
    rows["line"] = line = await create(Line(group_id=group.id, site="main", name="TR-1", endpoint="tr1", capacity=30))
    phones = []
    for number, priority in ((8001, 5), (8002, 10), (8003, 0)):
        phones.append(
            await create(
                Line(group_id=group.id, site="main", name=f"P{number}", endpoint=str(number), kind=LineKind.EXTENSION,
                     priority=priority)
            )
        )  # fmt: skip
    rows["phones"] = phones
    rows["caller_id"] = caller = await create(CallerIdNumber(group_id=group.id, e164="+33162000000"))
    rows["agent"] = agent = await create(
        Agent(group_id=group.id, site="main", login="1001", name="S. Benali", extension="1001")
    )
    rows["agent2"] = await create(Agent(group_id=group.id, site="main", login="1002", name="P. Roy", extension="1002"))
    rows["campaign"] = await create(
        Campaign(group_id=group.id, client_id=client.id, name="Assurance Auto 31", site="main", list_ids=[list_.id],
                 line_ids=[line.id], caller_id_ids=[caller.id])
    )  # fmt: skip
    rows["other_campaign"] = await create(
        Campaign(group_id=other.id, client_id=rows["other_client"].id, name="Autre", site="main")
    )
    for role in Role:
        more = {"agent_id": agent.id} if role is Role.AGENT else {}
        await world.token(role.value, group.id, role=role, **more)
    await world.token("other_admin", other.id, role=Role.ADMINISTRATOR)
    await world.token("root", group.id, role=Role.ADMINISTRATOR, all_groups=True)
    await world.token("c2c", group.id, kind=TokenKind.CLICK2CALL)
    await world.token("leads", group.id, kind=TokenKind.LEADS)
    world.door.show(
        campaign_view(rows["campaign"].id, group.id, "Assurance Auto 31"),
        campaign_view(rows["other_campaign"].id, other.id, "Autre"),
        agent_view(agent.id, group.id, "S. Benali", "1001", campaign_ids=(rows["campaign"].id,)),
        agent_view(rows["agent2"].id, group.id, "P. Roy", "1002", campaign_ids=(rows["campaign"].id,)),
        line_view(line.id, group.id, "TR-1"),
        *(line_view(p.id, group.id, p.name, kind="extension", capacity=1, in_use=0, priority=p.priority)
          for p in phones),
    )  # fmt: skip
    return world
