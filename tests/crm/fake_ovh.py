"""OVHcloud as a line's client sees it: the events' long poll and the API call that makes a token, over real HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

TOKEN = "0a1b2c3d-aaaa-bbbb-cccc-0123456789ab"
LINE = "0033184880000"


def event(name: str, number: int = 1, **data: Any) -> dict[str, Any]:
    """An envelope in OVHcloud's shape; `number` makes its stamp."""
    stamp = 1_795_425_300_000_000_000 + number
    known = {"CallId": f"call-{number}", "Calling": "0033612345678", "Called": LINE, "Dialed": LINE, "Cseq": number}
    return {
        "Event": name, "Ressource": LINE, "Service": LINE, "Timestamp": stamp, "Date": "2026-11-23T09:15:00+00:00",
        "Token": TOKEN, "Details": {"Type": "sipCirpack"}, "Data": {**known, "Event": name, **data},
    }  # fmt: skip


class FakeOvh:
    """`script`: what the next polls get, instead of their events: a status, "html" or "cut" (the events are
    handed out, and the answer never arrives)."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.polls: list[dict[str, str]] = []
        self.script: list[int | str] = []
        self.tokens = [TOKEN]
        self.made: list[dict[str, Any]] = []
        self.api_status = 200
        self._more = asyncio.Event()
        app = web.Application()
        app.router.add_get("/", self._events)
        app.router.add_get("/1.0/auth/time", self._time)
        app.router.add_post("/1.0/telephony/{account}/service/{service}/eventToken", self._make)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/"))

    def happen(self, *events: dict[str, Any]) -> None:
        self.log += events
        self._more.set()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self.polls.append(dict(request.query))
        step = self.script.pop(0) if self.script else ""
        if isinstance(step, int):
            return web.Response(status=step)
        if step == "html":
            return web.Response(text="<html>maintenance</html>", content_type="text/html")
        if request.query.get("token") not in self.tokens:
            return web.Response(status=403)
        at = int(request.query.get("session", "s0")[1:])
        while len(self.log) <= at:
            self._more.clear()
            await self._more.wait()
        found = self.log[at:]
        if step == "cut":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"Session": f"s{at + len(found)}", "Events": found})

    async def _time(self, request: web.Request) -> web.Response:
        return web.json_response(1_795_425_301)

    async def _make(self, request: web.Request) -> web.Response:
        call = {**request.match_info, "headers": dict(request.headers), "body": await request.text()}
        self.made.append(call)
        if self.api_status != 200:
            return web.json_response({"message": "This credential is not valid"}, status=self.api_status)
        token = f"made-{len(self.made)}"
        self.tokens = [token]
        return web.json_response(token)
