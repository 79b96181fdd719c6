"""A CRM for tests: five dialects over one state, real HTTP on loopback, faults on demand. It keeps its own count of
what it was told, so that the daemon's word is never taken for it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HTML = "<html><body>Sign in to continue</body></html>"


@dataclass
class FakeCrm:
    """`fault`: "" | html | html_recorded | 500 | lost (done, the answer never comes) | slow (done, answered late)."""

    users: list[dict[str, Any]] = field(default_factory=list)
    contacts: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    tickets: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    refresh: set[str] = field(default_factory=set)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens_given: int = 0
    expires_in: int = 3600
    fault: str = ""
    slow_s: float = 1.8
    in_flight: int = 0
    in_flight_max: int = 0
    latency_s: float = 0.0
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application(middlewares=[self._middleware])
        for method, path, handler in self._routes():
            app.router.add_route(method, path, handler)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Nobody listens any more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.text()
        self.requests.append((request.method, request.path_qs, dict(request.headers), body))
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            return await self._with_fault(request, handler)
        finally:
            self.in_flight -= 1

    async def _with_fault(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.fault == "500":
            return web.json_response({"error": "internal"}, status=500)
        writes = self._writes_a_call(request)
        if self.fault == "html" and writes:
            return web.Response(text=HTML, content_type="text/html")
        answer = await handler(request)
        if writes and self.fault == "html_recorded":
            return web.Response(text=HTML, content_type="text/html")
        if writes and self.fault == "slow":
            await asyncio.sleep(self.slow_s)
        if writes and self.fault == "lost" and request.transport is not None:
            request.transport.close()
        return answer

    def _writes_a_call(self, request: web.Request) -> bool:
        if request.path == "/jsonrpc":
            args = json.loads(self.requests[-1][3])["params"]["args"]
            return len(args) > 4 and args[4] == "create" and "call" in args[3]
        return request.method in ("POST", "PUT") and "calls" in request.path.lower()

    # -- state -------------------------------------------------------------------------------------------------------

    def add_contact(self, **values: Any) -> str:
        row = {"id": str(1000 + len(self.contacts)), "first": "", "last": "", "company": "", "phone": "", "mobile": ""}
        self.contacts.append(row | values)
        return str(self.contacts[-1]["id"])

    def matching(self, number: str) -> list[dict[str, Any]]:
        return [row for row in self.contacts if number and number in (row["phone"], row["mobile"])]

    def add_call(self, external: str, **values: Any) -> str:
        self.calls.append({"id": f"J{len(self.calls) + 1}", "external": external} | values)
        return str(self.calls[-1]["id"])

    def token(self) -> str:
        self.tokens_given += 1
        token = f"token-{self.tokens_given}"
        self.tokens = {token}
        return token

    def expire(self) -> None:
        """All tokens are worth nothing from now on."""
        self.tokens = set()

    def authorized(self, request: web.Request, kind: str) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme == kind and token in self.tokens

    # -- dialects ----------------------------------------------------------------------------------------------------

    def _routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/v1/{what}", self._generic_read),
            ("POST", "/v1/{what}", self._generic_write),
            ("GET", "/oauth/v2/auth", self._zoho_auth),
            ("POST", "/oauth/v2/token", self._zoho_token),
            ("*", "/crm/v2/{rest:.*}", self._zoho),
            ("*", "/api/v2/{rest:.*}", self._zendesk),
            ("POST", "/jsonrpc", self._odoo),
            ("POST", "/rest/v11/oauth2/token", self._sugar_token),
            ("*", "/rest/v11/{what}", self._sugar),
        ]

    async def _generic_read(self, request: web.Request) -> web.Response:
        if request.headers.get("X-Api-Key") != "k3y-secret":
            return web.json_response({"error": "forbidden"}, status=403)
        query = request.query
        match request.match_info["what"]:
            case "users":
                rows = [{"id": u["id"], "first_name": u["first"], "last_name": u["last"], "email": u["email"]}
                        for u in self.users]  # fmt: skip
                return web.json_response({"users": rows})
            case "contacts":
                rows = [{"id": c["id"], "first_name": c["first"], "last_name": c["last"], "company": c["company"],
                         "phone": c["phone"], "mobile": c["mobile"], **c.get("more", {})}
                        for c in self.matching(query["phone"])]  # fmt: skip
                return web.json_response({"contacts": rows})
        found = [call for call in self.calls if call["external"] == query.get("external_id")]
        return web.json_response({"calls": found})

    async def _generic_write(self, request: web.Request) -> web.Response:
        body = await request.json()
        if request.match_info["what"] == "contacts":
            id = self.add_contact(first=body["first_name"], last=body["last_name"], phone=body["phone"])
            return web.json_response({"id": id}, status=201)
        id = self.add_call(body["external_id"], user=body["user_id"], contact=body["contact_id"],
                           number=body["number"], status=body["status"], talk_s=body["talk_s"], raw=body)  # fmt: skip
        return web.json_response({"id": id}, status=201)

    async def _zoho_auth(self, request: web.Request) -> web.Response:
        code = f"code-{len(self.codes) + 1}"
        self.codes[code] = dict(request.query)
        back = f"{request.query['redirect_uri']}?code={code}&state={request.query['state']}"
        return web.Response(status=302, headers={"Location": back})

    async def _zoho_token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("client_id") != "cid" or form.get("client_secret") != "s3cr3t":
            return web.json_response({"error": "invalid_client"}, status=401)
        if form["grant_type"] == "authorization_code":
            begun = self.codes.pop(str(form["code"]), None)
            if begun is None or begun["redirect_uri"] != form["redirect_uri"]:
                return web.json_response({"error": "invalid_code"}, status=400)
            self.refresh.add("refresh-1")
            return web.json_response({"access_token": self.token(), "refresh_token": "refresh-1",
                                      "expires_in": self.expires_in})  # fmt: skip
        if form.get("refresh_token") not in self.refresh:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"access_token": self.token(), "expires_in": self.expires_in})

    async def _zoho(self, request: web.Request) -> web.Response:
        if not self.authorized(request, "Zoho-oauthtoken"):
            return web.json_response({"code": "INVALID_TOKEN", "message": "invalid oauth token"}, status=401)
        rest = request.match_info["rest"]
        if rest == "org":
            return web.json_response({"org": [{"zgid": "77"}]})
        if rest == "users":
            rows = [{"id": u["id"], "first_name": u["first"], "last_name": u["last"], "email": u["email"]}
                    for u in self.users]  # fmt: skip
            return web.json_response({"users": rows})
        if rest.endswith("/search"):
            criteria = request.query["criteria"]
            if rest.startswith("Calls"):
                wanted = criteria.partition("equals:")[2].rstrip(")")
                found = [{"id": call["id"]} for call in self.calls if call["external"] == wanted]
            else:
                number = criteria.partition("equals:")[2].partition(")")[0]
                found = [{"id": c["id"], "First_Name": c["first"], "Last_Name": c["last"], "Phone": c["phone"]}
                         for c in self.matching(number) if rest.startswith("Contacts")]  # fmt: skip
            return web.json_response({"data": found}) if found else web.Response(status=204)
        body = (await request.json())["data"][0]
        if rest == "Contacts":
            id = self.add_contact(first=body["First_Name"], last=body["Last_Name"], phone=body["Phone"])
        else:
            who = body.get("Who_Id", {}).get("id", "")
            id = self.add_call(body["External_Id"], user=body["Owner"]["id"], contact=who,
                               talk_s=body["Call_Duration_in_seconds"], status=body["Call_Type"], raw=body)  # fmt: skip
        return web.json_response({"data": [{"code": "SUCCESS", "details": {"id": id}}]}, status=201)

    async def _zendesk(self, request: web.Request) -> web.Response:
        expected = base64.b64encode(b"a@desk.example/token:t0ken-secret").decode()
        if request.headers.get("Authorization") != f"Basic {expected}":
            return web.json_response({"error": "Couldn't authenticate you"}, status=401)
        rest = request.match_info["rest"]
        if rest == "users/search.json":
            number = request.query["query"].partition("phone:")[2]
            rows = [{"id": int(c["id"]), "name": c["first"], "phone": c["phone"]} for c in self.matching(number)]
            return web.json_response({"users": rows})
        if rest == "users.json" and request.method == "GET":
            rows = [{"id": int(u["id"]), "name": u["first"], "email": u["email"]} for u in self.users]
            return web.json_response({"users": rows})
        if found := re.fullmatch(r"users/(\d+)/identities.json", rest):
            mine = next(c for c in self.contacts if c["id"] == found[1])
            numbers = [number for number in (mine["phone"], mine["mobile"]) if number]
            return web.json_response({"identities": [{"type": "email", "value": "x@y"}, *(
                {"type": "phone_number", "value": number} for number in numbers)]})  # fmt: skip
        body = await request.json()
        if rest == "users.json":
            id = self.add_contact(first=body["user"]["name"], phone=body["user"]["phone"])
            return web.json_response({"user": {"id": int(id)}}, status=201)
        if rest == "tickets.json":
            ticket = 500 + len(self.tickets)
            self.tickets[ticket] = {"made": body["ticket"], "updates": []}
            return web.json_response({"ticket": {"id": ticket}}, status=201)
        if found := re.fullmatch(r"tickets/(\d+).json", rest):
            self.tickets[int(found[1])]["updates"].append(body["ticket"])
            return web.json_response({"ticket": {"id": int(found[1])}})
        found = re.fullmatch(r"channels/voice/calls/(.+).json", rest)
        assert found is not None, rest
        call = body["call"]
        old = next((row for row in self.calls if row["external"] == found[1]), None)
        if old is None:
            self.add_call(found[1], user=call["agent_id"], ticket=call["ticket_id"], talk_s=call["talk_time"],
                          status=call["disposition"], raw=call)  # fmt: skip
        return web.json_response({"call": {"id": found[1]}})

    async def _odoo(self, request: web.Request) -> web.Response:
        params = (await request.json())["params"]
        if params["service"] == "common":
            return self._rpc(9 if params["args"] == ["db1", "bot", "odoo-secret"] else False)
        database, uid, key, model, method, args, *_ = params["args"]
        if (database, uid, key) != ("db1", 9, "odoo-secret"):
            return web.json_response({"jsonrpc": "2.0", "error": {"message": "Odoo Server Error", "data": {
                "message": "Access Denied"}}})  # fmt: skip
        if model == "res.users":
            return self._rpc([{"id": int(u["id"]), "name": u["first"], "email": u["email"]} for u in self.users])
        if model == "res.partner" and method == "create":
            return self._rpc(int(self.add_contact(first=args[0]["name"], phone=args[0]["phone"])))
        if model == "res.partner":
            rows = [{"id": int(c["id"]), "name": c["first"], "email": False, "phone": c["phone"],
                     "mobile": c["mobile"] or False} for c in self.matching(args[0][1][2])]  # fmt: skip
            return self._rpc(rows)
        if method == "create":
            call = args[0]
            id = self.add_call(call["x_external_id"], user=str(call["user_id"]), contact=str(call["partner_id"] or ""),
                               talk_s=call["duration"], status=call["state"], raw=call)  # fmt: skip
            return self._rpc(int(id[1:]))
        return self._rpc([{"id": int(c["id"][1:])} for c in self.calls if c["external"] == args[0][0][2]])

    @staticmethod
    def _rpc(result: Any) -> web.Response:
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": result})

    async def _sugar_token(self, request: web.Request) -> web.Response:
        body = await request.json()
        if (body["username"], body["password"]) != ("bot", "sugar-secret"):
            return web.json_response({"error": "need_login"}, status=401)
        return web.json_response({"access_token": self.token(), "expires_in": self.expires_in})

    async def _sugar(self, request: web.Request) -> web.Response:
        if not self.authorized(request, "Bearer"):
            return web.json_response({"error": "invalid_grant"}, status=401)
        what = request.match_info["what"]
        if what == "Users":
            rows = [{"id": u["id"], "first_name": u["first"], "last_name": u["last"], "email1": u["email"]}
                    for u in self.users]  # fmt: skip
            return web.json_response({"records": rows})
        if request.method == "GET" and what == "Calls":
            wanted = request.query["filter[0][external_id]"]
            return web.json_response({"records": [{"id": c["id"]} for c in self.calls if c["external"] == wanted]})
        if request.method == "GET":
            found = self.matching(request.query["filter[0][$or][0][phone_work]"]) if what == "Contacts" else []
            rows = [{"id": c["id"], "first_name": c["first"], "last_name": c["last"], "phone_work": c["phone"],
                     "alt_address_street": "1 rue Basse"} for c in found]  # fmt: skip
            return web.json_response({"next_offset": -1, "records": rows})
        body = await request.json()
        if what == "Contacts":
            id = self.add_contact(first=body["first_name"], last=body["last_name"], phone=body["phone_work"])
        else:
            id = self.add_call(body["external_id"], user=body["assigned_user_id"], contact=body.get("parent_id", ""),
                               talk_s=body["duration_seconds"], status=body["status"], raw=body)  # fmt: skip
        return web.json_response({"id": id})
