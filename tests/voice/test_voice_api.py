"""The doors of call handling and supervision: who may, what is asked of the engine, what is refused."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import TestClient

from daemon.engine import commands as c
from daemon.engine.views import CallView
from tests.api.fakes import World

Client = TestClient[Any, Any]


async def post(client: Client, world: World, who: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with client.post(f"/api/v1{path}", headers=world.auth(who), json=body) as response:
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("verb", "body", "kind", "fields"),
    [
        ("hold", None, c.HoldCall, {}),
        ("resume", None, c.ResumeCall, {}),
        ("mute", {"on": True}, c.MuteAgent, {"on": True}),
        ("digits", {"digits": "12#"}, c.SendDtmf, {"digits": "12#"}),
        ("consult", {"extension": "1002"}, c.Consult, {"extension": "1002", "e164": ""}),
        ("consult", {"number": "01 99 00 12 34"}, c.Consult, {"extension": "", "e164": "+33199001234"}),
        ("transfer", {"extension": "1002"}, c.TransferCall, {"extension": "1002"}),
        ("transfer/complete", None, c.CompleteTransfer, {}),
        ("conference", None, c.Conference, {}),
        ("conference/leave", None, c.LeaveConference, {}),
        ("record", {"on": True}, c.RecordCall, {"on": True}),
        ("record/mute", {"on": False}, c.MuteRecordedCall, {"on": False}),
    ],
)
async def test_an_agent_handles_the_own_call(
    client: Client,
    world: World,
    verb: str,
    body: Any,
    kind: type[c.Command],
    fields: dict[str, Any],
) -> None:
    agent = world.rows["agent"].id
    status, answer = await post(client, world, "agent", f"/agents/{agent}/{verb}", body)
    assert (status, answer["accepted"]) == (202, True)
    sent = world.door.commands[-1]
    assert type(sent) is kind and sent.agent_id == agent
    assert {name: getattr(sent, name) for name in fields} == fields


@pytest.mark.parametrize("body", [{}, {"extension": "1002", "number": "0199001234"}])
async def test_a_transfer_names_one_destination(client: Client, world: World, body: Any) -> None:
    status, answer = await post(client, world, "agent", f"/agents/{world.rows['agent'].id}/transfer", body)
    assert (status, answer["code"]) == (400, "field_missing")


@pytest.mark.parametrize("number", ["112", "0899123456", "3949"])
async def test_no_transfer_to_what_is_never_dialled(client: Client, world: World, number: str) -> None:
    before = len(world.door.commands)
    for verb in ("transfer", "consult"):
        path = f"/agents/{world.rows['agent'].id}/{verb}"
        status, answer = await post(client, world, "agent", path, {"number": number})
        assert status in (400, 403) and answer["code"] in ("number_invalid", "call_forbidden"), answer
    assert len(world.door.commands) == before


async def test_no_transfer_to_the_red_list(client: Client, world: World) -> None:
    await world.store.set_dnc(world.rows["client"].id, "+33199000123", True, "anna", "by letter")
    before = len(world.door.commands)
    for verb in ("transfer", "consult"):
        path = f"/agents/{world.rows['agent'].id}/{verb}"
        status, answer = await post(client, world, "agent", path, {"number": "0199000123"})
        assert (status, answer["code"], answer["details"]["rule"]) == (403, "call_forbidden", "red_list")
    assert len(world.door.commands) == before


def shown_call(world: World, **fields: Any) -> CallView:
    """A click-to-call in conversation, as the engine shows it."""
    given = {"id": str(UUID(int=0x0199 << 112)), "number": 4321, "group_id": world.rows["group"].id} | fields
    at = world.clock.utcnow()
    view = CallView(
        kind="click2call", campaign_id=0, lead_id=0, agent_id=0, line_id=world.rows["line"].id, site="main",
        stage="talking", since=at, started=at, **given,
    )  # fmt: skip
    world.door.show(view)
    return view


@pytest.mark.parametrize(
    ("verb", "body", "kind"),
    [
        ("hold", None, c.HoldCall),
        ("resume", None, c.ResumeCall),
        ("transfer", {"extension": "1002"}, c.TransferCall),
        ("transfer", {"number": "0199001234"}, c.TransferCall),
    ],
)
async def test_a_clicked_call_is_handled_by_its_number(
    client: Client, world: World, verb: str, body: Any, kind: type[c.Command]
) -> None:
    view = shown_call(world)
    status, _ = await post(client, world, "supervisor", f"/calls/{view.number}/{verb}", body)
    sent = world.door.commands[-1]
    assert status == 202 and type(sent) is kind and str(sent.attempt_id) == view.id
    before = len(world.door.commands)
    status, answer = await post(client, world, "agent", f"/calls/{view.number}/{verb}", body)
    assert (status, answer["code"]) == (403, "forbidden")
    world.door.gone("calls", view.id)
    status, answer = await post(client, world, "supervisor", f"/calls/{view.number}/{verb}", body)
    assert answer["code"] == "call_gone" and len(world.door.commands) == before


@pytest.mark.feature("SUPV-01", clause="role check: a supervisor may, an agent may not")
@pytest.mark.parametrize(
    ("verb", "body"),
    [("supervise", {"extension": "1003", "mode": "whisper"}), ("supervise/stop", None), ("take-over", {})],
)
async def test_supervising_is_not_an_agent_s_right(client: Client, world: World, verb: str, body: Any) -> None:
    path = f"/agents/{world.rows['agent'].id}/{verb}"
    before = len(world.door.commands)
    status, answer = await post(client, world, "agent", path, body)
    assert (status, answer["code"], len(world.door.commands)) == (403, "forbidden", before)
    status, _ = await post(client, world, "supervisor", path, body)
    assert status == 202 and world.door.commands[-1].agent_id == world.rows["agent"].id
