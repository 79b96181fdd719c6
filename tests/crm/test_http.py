"""The way out: which addresses it never connects to, and what bounds it, against a real server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from daemon.crm.http import Outgoing, OutgoingError, Policy
from daemon.errors import SettingsError
from daemon.settings import OutgoingTable
from daemon.settings_file import parse

NAMES = {
    "crm.example": ["127.0.0.1"],
    "rebound.example": ["169.254.169.254"],
    "both.example": ["10.0.0.1", "127.0.0.1"],
    "mapped.example": ["::ffff:10.0.0.1"],
}


async def resolve(host: str, port: int) -> Sequence[str]:
    if host not in NAMES:
        raise OSError("no such name")
    return NAMES[host]


class Far:
    """A server that answers as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] = self.ok
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._take)
        self.server = TestServer(app)

    async def ok(self, request: web.Request) -> web.Response:
        return web.Response(text="fine")

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.path, dict(request.headers), await request.read()))
        return await self.answer(request)

    def url(self, host: str = "crm.example", path: str = "/") -> str:
        return f"http://{host}:{self.server.port}{path}"


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    far = Far()
    await far.server.start_server()
    yield far
    await far.server.close()


Make = Callable[..., Outgoing]


@pytest.fixture
async def out() -> AsyncIterator[Make]:
    made: list[Outgoing] = []

    def make(**table: Any) -> Outgoing:
        table.setdefault("allow_networks", ("127.0.0.1/32",))
        made.append(Outgoing(OutgoingTable(**table), resolve=resolve))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def code_of(asked: Awaitable[Any]) -> str:
    with pytest.raises(OutgoingError) as caught:
        await asked
    return caught.value.code


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "255.255.255.255", "224.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1",
        "fec0::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::", "2001:db8::1",
        "no address",
    ],
)  # fmt: skip
def test_addresses_that_are_not_anyones_are_refused(address: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(OutgoingError) as caught:
            Policy().check(address, scheme, "crm.example")
        assert caught.value.code == "address_forbidden" and caught.value.refused


def test_public_addresses_pass_over_https_only_unless_settings_say_more() -> None:
    for address in ("1.1.1.1", "2606:4700::1111"):
        Policy().check(address, "https", "crm.example")
        Policy(plain_http=True).check(address, "http", "crm.example")
        with pytest.raises(OutgoingError, match="plain http"):
            Policy().check(address, "http", "crm.example")


async def test_an_answer_comes_back_whole(far: Far, out: Make) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            status=418, body="thé".encode("latin-1"), headers={"Content-Type": "text/x; charset=latin1"}
        )

    far.answer = answer
    got = await out().request("POST", far.url(path="/a?b=c"), headers={"X-One": "1"}, body=b"body")
    assert (got.status, got.text(), got.headers["content-type"]) == (418, "thé", "text/x; charset=latin1")
    method, path, headers, body = far.seen[0]
    assert (method, path, headers["X-One"], body) == ("POST", "/a", "1", b"body")


async def test_nothing_private_is_reached_by_name_literal_or_redirect(far: Far, out: Make) -> None:
    strict = out(allow_networks=())
    assert await code_of(strict.request("GET", far.url())) == "address_forbidden"
    assert await code_of(strict.request("GET", far.url("127.0.0.1"))) == "address_forbidden"
    assert await code_of(strict.request("GET", far.url("[::ffff:127.0.0.1]"))) == "address_forbidden"
    for written in ("2130706433", "0x7f000001", "127.1", "0177.0.0.1", "localhost.example"):
        assert await code_of(strict.request("GET", far.url(written))) in {"url_invalid", "name_unknown"}, written
    open_ = out()
    assert await code_of(open_.request("GET", far.url("rebound.example"))) == "address_forbidden"
    assert await code_of(open_.request("GET", far.url("mapped.example"))) == "address_forbidden"
    assert not far.seen
    for target in ("http://169.254.169.254/latest", "http://rebound.example/", "//[::1]:22/", "http://127.0.0.2/"):

        async def elsewhere(request: web.Request, target: str = target) -> web.Response:
            return web.Response(status=302, headers={"Location": target})

        far.answer = elsewhere
        assert await code_of(open_.request("GET", far.url())) == "address_forbidden", target


async def test_of_several_addresses_only_permitted_ones_are_tried(far: Far, out: Make) -> None:
    assert (await out().request("GET", far.url("both.example"))).status == 200


async def test_a_name_is_looked_up_once_a_connection_so_that_it_cannot_change_its_mind(far: Far) -> None:
    asked: list[str] = []

    async def turning(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    out = Outgoing(OutgoingTable(allow_networks=("127.0.0.1/32",)), resolve=turning)
    assert (await out.request("GET", far.url())).status == 200
    assert asked == ["crm.example"]
    await out.close()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://crm.example/", "url_invalid"),
        ("file:///etc/passwd", "url_invalid"),
        ("/relative", "url_invalid"),
        ("http://", "url_invalid"),
        ("http://user:secret@crm.example/", "url_invalid"),
        ("http://crm.example/\r\nX: y", "url_invalid"),
        ("http://crm.example\\@10.0.0.1/", "url_invalid"),
        ("http://crm.example:99999/", "url_invalid"),
        ("http://" + "a" * 9000, "url_invalid"),
        ("http://nobody.example/", "name_unknown"),
    ],
)
async def test_urls_that_are_refused(out: Make, url: str, code: str) -> None:
    assert await code_of(out().request("GET", url)) == code


async def test_no_header_begins_another(far: Far, out: Make) -> None:
    for name, value in (("X", "a\r\nY: b"), ("X\r\nY", "a"), ("X Y", "a"), ("X", "a\0")):
        assert await code_of(out().request("GET", far.url(), headers={name: value})) == "header_invalid"
    assert await code_of(out().request("GET / HTTP/1.1\r\nX: y", far.url())) == "header_invalid"
    assert not far.seen


async def test_redirects_are_counted_and_keep_credentials_at_home(far: Far, out: Make) -> None:
    async def hop(request: web.Request) -> web.Response:
        if request.path == "/loop":
            return web.Response(status=307, headers={"Location": "/loop"})
        if request.path == "/":
            return web.Response(status=302, headers={"Location": far.url("both.example", "/end")})
        return web.Response(text="end")

    far.answer = hop
    got = await out().request(
        "POST", far.url(), headers={"Authorization": "Bearer x", "X-Key": "k", "Accept": "a/b"}, body=b"b"
    )
    assert got.text() == "end" and got.url.endswith(f"both.example:{far.server.port}/end")
    method, path, headers, body = far.seen[-1]
    assert (method, path, body, headers["Accept"]) == ("GET", "/end", b"", "a/b")
    assert "Authorization" not in headers and "X-Key" not in headers
    far.seen.clear()
    assert await code_of(out().request("POST", far.url(path="/loop"), body=b"b")) == "redirects"
    assert [(method, body) for method, _, _, body in far.seen] == [("POST", b"b")] * 4
    assert await code_of(out().request("GET", far.url(), redirects_max=0)) == "redirects"


async def test_answers_are_bounded_in_size_also_unpacked(far: Far, out: Make) -> None:
    bodies = {
        "/plain": (b"x" * 5000, ""),
        "/bomb": (gzip.compress(b"0" * 5_000_000), "gzip"),
        "/deflated": (zlib.compress(b"fine"), "deflate"),
        "/broken": (b"no gzip", "gzip"),
        "/strange": (b"x", "br"),
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/endless":
            stream = web.StreamResponse()
            await stream.prepare(request)
            for _ in range(20):
                await stream.write(b"y" * 1000)
            return stream
        body, encoding = bodies[request.path]
        return web.Response(body=body, headers={"Content-Encoding": encoding} if encoding else {})

    far.answer = answer
    client = out(answer_bytes_max=4096)
    for path, code in (("/plain", "too_large"), ("/endless", "too_large"), ("/bomb", "too_large"),
                       ("/broken", "protocol"), ("/strange", "protocol")):  # fmt: skip
        assert await code_of(client.request("GET", far.url(path=path))) == code, path
    assert (await client.request("GET", far.url(path="/deflated"))).body == b"fine"


async def test_a_server_that_says_nothing_costs_its_bound(far: Far, out: Make) -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        raise AssertionError("not reached")

    far.answer = silent
    assert await code_of(out().request("GET", far.url(), timeout_s=0.05)) == "timeout"


async def test_a_closed_port_and_a_server_without_tls_are_named(far: Far, out: Make) -> None:
    assert await code_of(out().request("GET", "http://crm.example:1/")) == "unreachable"
    assert await code_of(out().request("GET", far.url().replace("http:", "https:"))) in {"tls", "unreachable"}


def test_networks_that_are_none_are_refused_at_start() -> None:
    with pytest.raises(SettingsError, match=r"outgoing\.allow_networks"):
        parse({"outgoing": {"allow_networks": ["home"]}})
