"""One AMI link against a scripted PBX: every way in which it can be refused or lost has its name, and heals."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.ami.codec import Message
from daemon.errors import PbxInDoubt, PbxRejected, PbxUnavailable
from tests.ami.link import Ours, until
from tests.ami.scripted import Action, ScriptedAmi, Session, silent


@pytest.fixture
async def pbx() -> AsyncIterator[ScriptedAmi]:
    async with ScriptedAmi() as server:
        yield server


async def first_failure(ours: Ours) -> PbxUnavailable:
    task = asyncio.create_task(ours.client.run(ours._logged_in))
    await until(lambda: ours.downs)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return ours.downs[0]


async def test_md5_login_with_the_class_mask_and_without_the_secret_on_the_wire(pbx: ScriptedAmi) -> None:
    async with Ours(pbx, event_mask=("call", "agi")).running():
        login = pbx.actions("login")[0]
    assert login["events"] == ["call,agi"]
    assert login["authtype"] == ["MD5"]
    assert "secret" not in login


async def test_plain_login_is_an_option(pbx: ScriptedAmi) -> None:
    async with Ours(pbx, auth="plain").running():
        assert pbx.actions("login")[0]["secret"] == ["s3cret"]
    assert not pbx.actions("challenge")


@pytest.mark.feature("S100-05", clause="closed before the banner: code not_permitted, logged, retried with backoff")
async def test_a_pbx_that_does_not_permit_our_address(pbx: ScriptedAmi) -> None:
    pbx.banner = b""

    async def shut(session: Session) -> None:
        session.writer.close()

    ours = Ours(pbx)
    with capture_logs() as logs:
        task = asyncio.create_task(ours.client.run(ours._logged_in))
        for _ in range(3):
            await shut(await asyncio.wait_for(pbx.connected.get(), 60))
        pbx.banner = b"Asterisk Call Manager/11.0.0\r\n"  # the address was added to the list
        await until(ours.up.is_set)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert [down.code for down in ours.downs[:3]] == ["not_permitted"] * 3
    assert "permitted addresses" in str(ours.downs[0])
    assert [entry["event"] for entry in logs].count("ami.not_permitted") == 3


@pytest.mark.feature("RELY-04", clause="wrong secret later mended: the link comes up without a hand")
async def test_a_wrong_secret_is_named_never_logged_and_heals(pbx: ScriptedAmi) -> None:
    pbx.secret, given = "m3nded", ["s3cret"]
    ours = Ours(pbx, secret=lambda: given[0])
    with capture_logs() as logs:
        task = asyncio.create_task(ours.client.run(ours._logged_in))
        await until(lambda: len(ours.downs) >= 2)
        assert {down.code for down in ours.downs} == {"auth_failed"} and not ours.up.is_set()
        given[0] = "m3nded"  # the file was mended; nobody starts anything again
        await until(ours.up.is_set)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert "s3cret" not in str(logs) + str(ours.downs) and "m3nded" not in str(logs)
    assert "'u'" in str(ours.downs[0])


async def test_no_secret_file_no_port_no_host_no_manager(pbx: ScriptedAmi, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise FileNotFoundError(2, "No such file or directory", "/etc/cadran/ami-secret")

    down = await first_failure(Ours(pbx, secret=missing))
    assert (down.code, "ami-secret" in str(down)) == ("no_secret", True)
    pbx.banner = b"SSH-2.0-OpenSSH_9.6\r\n"
    down = await first_failure(Ours(pbx))
    assert (down.code, "SSH-2.0" in str(down)) == ("protocol", True)
    pbx.banner = b""
    assert (await first_failure(Ours(pbx, connect_deadline_s=0.05))).code == "timeout"
    await pbx.stop()
    assert (await first_failure(Ours(pbx))).code == "refused"

    def unknown(*_: object, **__: object) -> None:  # a real resolver may take longer to say so than the link waits
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert (await first_failure(Ours(pbx, host="no-such-host.invalid"))).code == "unknown_host"


async def test_tls_against_a_plain_port_is_named(pbx: ScriptedAmi) -> None:
    assert (await first_failure(Ours(pbx, tls=ssl.create_default_context(), host="localhost"))).code == "tls"


@pytest.mark.feature("RGPD-02", clause="the link to the PBX can be encrypted, and a stranger's certificate is refused")
async def test_tls_with_the_right_authority_and_with_none(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    new = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout {key} -out {certificate}"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    process = await asyncio.create_subprocess_exec(openssl, *new.split(), *name, stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    async with ScriptedAmi(tls=serving) as pbx:
        trusting = ssl.create_default_context(cafile=str(certificate))
        async with Ours(pbx, tls=trusting, host="localhost").running() as client:
            assert (await client.send({"Action": "Ping"})).get("Ping") == "Pong"
        stranger = await first_failure(Ours(pbx, tls=ssl.create_default_context(), host="localhost"))
        assert (stranger.code, "certificate" in str(stranger).lower()) == ("tls", True)


async def test_an_event_mask_that_turned_events_off_is_noticed(pbx: ScriptedAmi) -> None:
    """A class name that the PBX does not know silently means no events at all."""

    async def picky(session: Session, action: Action) -> None:
        session.respond(action, Events="On" if action["eventmask"] == ["on"] else "Off")

    pbx.answers["events"] = picky
    async with Ours(pbx, event_mask=("call", "typo")).running():
        assert [action["eventmask"] for action in pbx.actions("events")] == [["call,typo"], ["on"]]

    async def none(session: Session, action: Action) -> None:
        session.respond(action, Events="Off")

    pbx.answers["events"] = none
    assert (await first_failure(Ours(pbx))).code == "no_events"


async def test_login_waits_for_a_booting_pbx_but_not_for_ever(pbx: ScriptedAmi) -> None:
    async def booting(session: Session, action: Action) -> None:
        session.respond(action, Message="Authentication accepted")

    pbx.answers["login"] = booting
    ours = Ours(pbx, boot_wait_s=0.1)
    async with ours.running() as client:
        assert not client.link.fully_booted
    ours = Ours(pbx, boot_wait_s=30)
    task = asyncio.create_task(ours.client.run(ours._logged_in))
    await until(lambda: len(pbx.actions("events")) == 2)
    assert not ours.up.is_set()
    pbx.sessions[-1].event("FullyBooted", Uptime="3")
    await until(ours.up.is_set)
    assert ours.client.link.uptime_s == 3
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.feature("RELY-04", clause="a stopped or restarted PBX: named, and taken up again")
async def test_shutdown_is_understood_and_the_link_comes_back(pbx: ScriptedAmi) -> None:
    ours = Ours(pbx)
    async with ours.running() as client:
        pbx.sessions[-1].event("Shutdown", Privilege="system,all", Shutdown="Cleanly", Restart="True")
        await until(lambda: client.link.stopping)
        pbx.sessions[-1].writer.close()
        await until(lambda: ours.downs)
        assert ours.downs[0].code == "pbx_stopped"
        assert [message.event for message in ours.events][-1] == "Shutdown"
        await until(ours.up.is_set)
        assert not client.link.stopping


async def test_a_graceful_stop_refuses_even_pings_and_that_is_no_dead_link(pbx: ScriptedAmi) -> None:
    async def refuse(session: Session, action: Action) -> None:
        session.respond(action, "Error", Message="Asterisk is shutting down")

    pbx.answers["ping"] = pbx.answers["originate"] = refuse
    ours = Ours(pbx, ping_interval_s=0.02)
    async with ours.running() as client:
        with pytest.raises(PbxRejected, match="shutting down"):
            await client.send({"Action": "Originate"})
        await until(lambda: len(pbx.actions("ping")) >= 3)
        assert client.connected
        assert client.link.stopping


@pytest.mark.feature("RELY-04", clause="half-open: a PBX that stays silent is noticed by its Ping deadline")
async def test_a_half_open_link_is_dropped_and_made_anew(pbx: ScriptedAmi) -> None:
    ours = Ours(pbx, ping_interval_s=0.05, ping_deadline_s=0.05)
    async with ours.running():
        pbx.answers["ping"] = silent
        await until(lambda: ours.downs)
        assert ours.downs[0].code == "half_open"
        del pbx.answers["ping"]
        await until(ours.up.is_set)
    assert len(pbx.sessions) >= 2


async def test_answers_find_their_actions_in_any_order_and_lists_among_events(pbx: ScriptedAmi) -> None:
    waiting: list[Action] = []

    async def later(session: Session, action: Action) -> None:
        waiting.append(action)
        if len(waiting) == 3:
            for number, held in enumerate(reversed(waiting)):
                session.respond(held, Number=str(number))

    async def mixed(session: Session, action: Action) -> None:
        action_id = action["actionid"][0]
        session.respond(action, EventList="start")
        session.event("Status", Uniqueid="par-1", ActionID=action_id)
        session.event("Hangup", Uniqueid="par-9")
        session.event("Status", Uniqueid="par-2", ActionID=action_id)
        session.event("StatusComplete", ActionID=action_id, EventList="Complete")

    pbx.answers |= {"later": later, "status": mixed}
    ours = Ours(pbx)
    async with ours.running() as client:
        answers = await asyncio.gather(*(client.send({"Action": "Later"}) for _ in range(3)))
        assert [answer.get("Number") for answer in answers] == ["2", "1", "0"]
        items: list[Message] = await client.collect({"Action": "Status"})
        assert [item.get("Uniqueid") for item in items] == ["par-1", "par-2"]
        assert [event.event for event in ours.events][-1] == "Hangup"


async def test_a_cut_leaves_the_unanswered_in_doubt_and_the_unwritten_undone(pbx: ScriptedAmi) -> None:
    pbx.answers["slow"] = silent
    ours = Ours(pbx, retry_first_s=5.0)
    async with ours.running() as client:
        pending = asyncio.ensure_future(client.send({"Action": "Slow"}))
        await until(lambda: pbx.actions("slow"))
        pbx.sessions[-1].cut()
        with pytest.raises(PbxInDoubt, match="Slow"):
            await pending
        with pytest.raises(PbxUnavailable) as unavailable:
            await client.send({"Action": "Slow"})
        assert unavailable.value.code == "lost"
    assert len(pbx.actions("slow")) == 1
