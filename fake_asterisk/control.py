"""A small TCP port through which a test or a demo commands a fake that runs elsewhere: one JSON object a line.

`{"do": "core stop now"}`, `kill`, `boot`, `core stop gracefully`, `core abort shutdown`, `core restart now`, `cut`,
`half_open` (`on`), `slow` (`delay_s`, `bytes_per_s`), `lose_next_action` (`count`), `lose_next_response` (`count`),
`disturb_events` (`lose_every`, `duplicate_every`, `reorder_every`), `split_utf8` (`on`), `deaf` (`count`), `deafen`,
`clear`, `ledger`, `counts`, `hangup` (`channel`: the far end says goodbye),
`call_in` (`endpoint`, `did`, `caller`). The answer is `{"ok": true, ...}` or `{"ok": false, "error": ...}`.
"""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fake_asterisk.telephone import Telephone

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk

FAULTS = ("half_open", "slow", "lose_next_action", "lose_next_response", "disturb_events", "deaf", "deafen", "clear")


class Control:
    """The commands, for the port and for callers in process."""

    def __init__(self, pbx: "FakeAsterisk") -> None:
        self._pbx = pbx
        self._server: asyncio.Server | None = None

    async def listen(self, port: int, host: str = "127.0.0.1") -> int:
        """Open the port; the one in use."""
        self._server = await asyncio.start_server(self._serve, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self.answer(line)).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def answer(self, line: bytes | str) -> dict[str, Any]:
        """Carry out one line."""
        try:
            request = json.loads(line)
            return {"ok": True, **(self.do(str(request.pop("do")), **request) or {})}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}

    def do(self, what: str, **options: Any) -> dict[str, Any] | None:
        """Carry out one command. Raises ValueError for an unknown one."""
        pbx = self._pbx
        if pbx.power.command(what):
            return None
        faults = pbx.faults
        if what == "cut":
            return {"sessions": faults.cut()}
        if what == "split_utf8":
            faults.split_utf8 = bool(options.get("on", True))
            return None
        if what in FAULTS:
            getattr(faults, what)(**options)
            return None
        if what == "ledger":
            return {"originates": [asdict(o) for o in pbx.ledger.originates],
                    "legs": [asdict(leg) for leg in pbx.ledger.legs.values()]}  # fmt: skip
        if what == "counts":
            return {**pbx.ledger.counts(), "live": len(pbx.channels), "sessions": len(pbx.sessions), **faults.counts}
        if what == "hangup":
            channel = pbx.channel(str(options["channel"]))
            if channel is None or not isinstance(channel.far_end, Telephone):
                raise ValueError(f"no telephone behind {options['channel']!r}")
            channel.far_end.say_goodbye()
            return None
        if what == "call_in":
            channel = pbx.call_in(str(options["endpoint"]), str(options["did"]), str(options.get("caller", "")))
            return {"channel": channel.uniqueid}
        raise ValueError(f"unknown command {what!r}")
