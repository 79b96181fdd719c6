"""What is on the PBX, read from a long listing: whole, and without stopping everything else meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.ami.codec import Message
from daemon.ami.snapshot import READ_AT_ONCE, read_snapshot

CALL = "s-{:032x}"


def _item(unique_id: str, **headers: str) -> Message:
    lines = {"Channel": f"PJSIP/{unique_id}", "ChannelState": "6", "Uniqueid": unique_id, "Seconds": "3", **headers}
    return Message("Status", "", "Event: Status" + "".join(f"\r\n{name}: {value}" for name, value in lines.items()))


class _Pbx:
    """A client that lists what it is given."""

    def __init__(self, items: list[Message]) -> None:
        self._items = items

    async def collect(self, action: Any) -> list[Message]:
        return self._items


async def _read(items: list[Message]) -> Any:
    pbx: Any = _Pbx(items)
    return {leg.id: leg for leg in (await read_snapshot(pbx, "s"))[0]}


@pytest.mark.feature("RELY-10", clause="an audit of thousands of channels lets calls go on meanwhile")
async def test_others_run_while_a_long_listing_is_read() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    legs = await _read([_item(CALL.format(n)) for n in range(1000)])
    task.cancel()
    assert len(legs) == 1000
    assert turns >= 1000 // READ_AT_ONCE - 1


async def test_what_belongs_together_may_stand_far_apart() -> None:
    """A room's bridge is told by whoever is in it already; a channel that was optimised away by the one that took its
    variables; a pair by its bridge."""
    others = [_item(f"strange-{n}") for n in range(2 * READ_AT_ONCE)]
    early, late, lost = (CALL.format(n) for n in (1, 2, 3))
    heir = {"Variable": f"DIALER_CALL={lost}", "Application": "AGI", "BridgeID": "b2"}
    legs = await _read(
        [
            _item(early, Application="ConfBridge", Data="room,profile"),
            _item("177.1", **heir),
            *others,
            _item("177.2", Application="ConfBridge", Data="room", BridgeID="b1"),
            _item(late, Application="AGI", BridgeID="b2"),
        ]
    )
    assert set(legs) == {early, late, lost}
    assert legs[early].listed_bridge == "b1"
    assert legs[lost].channel == "177.1"
    assert legs[lost].peer is legs[late]
    assert not legs[late].parked
