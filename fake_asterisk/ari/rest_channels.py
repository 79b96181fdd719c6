"""REST: channels, and what is played to them."""

import asyncio
import re
from typing import TYPE_CHECKING

from fake_asterisk import rights
from fake_asterisk.ari import shapes
from fake_asterisk.ari.resources import DONE, Answer, Parameters, channel_of, control_of, route
from fake_asterisk.ari.stasis import CONTINUE
from fake_asterisk.channel import SOFTHANGUP_EXPLICIT, UP, Channel
from fake_asterisk.originate import Originate, Request, run_application

if TYPE_CHECKING:
    from fake_asterisk.legs import Leg
    from fake_asterisk.pbx import FakeAsterisk

CALLER = re.compile(r'\s*(?:"?([^"<]*?)"?\s*)<([^>]*)>\s*')


@route("GET", "/channels")
async def channels(pbx: "FakeAsterisk", parameters: Parameters, _: list[str]) -> Answer:
    """All of them."""
    return 200, [shapes.channel(channel) for channel in pbx.channels.values()]


@route("GET", "/channels/{}")
async def channel_(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """One."""
    return 200, shapes.channel(channel_of(pbx, words[0]))


@route("POST", "/channels")
async def originate(pbx: "FakeAsterisk", parameters: Parameters, _: list[str]) -> Answer:
    """Dial. 200 as soon as the channel is there; 500 if none can be made; 409 if its id is taken."""
    tech, stroke, resource = parameters.get("endpoint", "").partition("/")
    if not stroke or not resource:
        return 400, {"message": "Invalid endpoint specified"}
    unique_id = parameters.get("channelId", "")
    if unique_id in pbx.channels:
        return 409, {"message": "Channel with given unique ID already exists"}
    data = ",".join(filter(None, (parameters.get("app", ""), parameters.get("appArgs", ""))))
    caller = CALLER.fullmatch(parameters.get("callerId", ""))
    request = Request(
        tech, resource, float(parameters.get("timeout", 30)), "Stasis", data,
        caller=(caller[2], caller[1] or "") if caller else ("", ""), uniqueid=unique_id,
        other_uniqueid=parameters.get("otherChannelId", ""), variables=list(parameters.get("variables", {}).items()),
        user="ari",
    )  # fmt: skip
    if pbx.power.refuses_actions:
        return 500, {"error": "Allocation failed"}
    made: asyncio.Future[Channel | None] = pbx.loop.create_future()
    app = pbx.ari.apps.get(parameters.get("app", ""))

    def on_leg(leg: "Leg | None") -> None:
        if leg is not None and app is not None:
            app.ids.add(leg.channel.uniqueid)
            app.channels.add(leg.channel.uniqueid)
        if not made.done():
            made.set_result(leg.channel if leg is not None else None)

    Originate(pbx, request, asynchronous=False, on_leg=on_leg)
    channel = await made
    if channel is None:
        return 500, {"error": "Allocation failed"}
    return 200, shapes.channel(channel)


@route("DELETE", "/channels/{}")
async def hang_up(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """End it."""
    channel = channel_of(pbx, words[0])
    if not channel.hung:
        channel.event(rights.CALL, "SoftHangupRequest", f"Cause: {SOFTHANGUP_EXPLICIT}\r\n")
        channel.soft_hangup(int(parameters.get("reason_code", 16)))
    return DONE


@route("POST", "/channels/{}/answer")
async def answer(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Answer an inbound channel."""
    pbx.answer(control_of(pbx, words[0]).channel)
    return DONE


@route("POST", "/channels/{}/moh")
async def music(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Music on hold."""
    control_of(pbx, words[0]).channel.start_music(parameters.get("mohClass", "default"))
    return DONE


@route("DELETE", "/channels/{}/moh")
async def no_music(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """No more of it."""
    control_of(pbx, words[0]).channel.stop_music()
    return DONE


@route("POST", "/channels/{}/variable")
async def set_variable(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Waits behind a playback (seen)."""
    control = control_of(pbx, words[0])
    await control.idle.wait()
    if not control.channel.dead:
        control.channel.set_variable(parameters["variable"], str(parameters.get("value", "")))
    return DONE


@route("GET", "/channels/{}/variable")
async def variable(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """A variable or function."""
    value = channel_of(pbx, words[0]).get_variable(parameters["variable"])
    if value is None:
        return 404, {"message": "Provided variable was not found"}
    return 200, {"value": value}


@route("POST", "/channels/{}/play(?:/{})?")
async def play(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Play one sound or several behind each other."""
    control = control_of(pbx, words[0])
    playback = {
        "id": words[1] or pbx.new_uuid(),
        "media_uri": parameters["media"].partition(",")[0],
        "target_uri": f"channel:{words[0]}",
        "language": "en",
        "state": "queued",
    }
    pbx.loop.call_soon(control.play, playback, parameters["media"].split(","))
    return 201, dict(playback)


@route("DELETE", "/playbacks/{}")
async def stop_playback(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """End it, whatever is still to come of it."""
    for control in pbx.ari.controls.values():
        if control.stop(words[0]):
            return DONE
    return 404, {"message": "Playback not found"}


@route("POST", "/channels/{}/mute")
async def mute(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Nobody hears it."""
    control_of(pbx, words[0]).muted = True
    return DONE


@route("DELETE", "/channels/{}/mute")
async def unmute(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """It is heard again."""
    control_of(pbx, words[0]).muted = False
    return DONE


@route("POST", "/channels/{}/dtmf")
async def dtmf(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Digits to the far end."""
    channel = control_of(pbx, words[0]).channel
    channel.functions["digits"] = channel.functions.get("digits", "") + parameters["dtmf"]
    return DONE


@route("POST", "/channels/{}/continue")
async def go_on(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Out of the application, on in the dialplan."""
    channel = control_of(pbx, words[0]).channel
    channel.context = parameters.get("context", channel.context)
    channel.exten = parameters.get("extension", channel.exten)
    channel.priority = int(parameters.get("priority", 1))
    assert channel.fiber is not None
    channel.fiber.wake(CONTINUE)
    return DONE


@route("POST", "/channels/{}/snoop")
async def snoop(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """A channel that hears, and perhaps speaks into, another; it ends with it."""
    target = channel_of(pbx, words[0])
    unique_id = parameters.get("snoopId", "") or pbx.next_uniqueid()
    if unique_id in pbx.channels:
        return 409, {"message": "Channel with given unique ID already exists"}
    name = f"Snoop/{target.uniqueid}-{len(pbx.channels):08x}"
    channel = Channel(pbx, name, unique_id, state=UP)
    channel.functions["whisper"] = parameters.get("whisper", "none")
    control = pbx.ari.controls.get(target.uniqueid)
    if control is not None:
        control.snoops.append(channel)
    data = ",".join(filter(None, (parameters["app"], parameters.get("appArgs", ""))))
    pbx.start(channel, run_application(channel, "Stasis", data))
    return 200, shapes.channel(channel)
