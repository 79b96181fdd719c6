"""The doors of call handling and supervision: who may, what is asked of the engine, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from daemon.engine import commands as c
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
