"""REST: what each path does to channels and bridges, with the statuses and messages that Asterisk answers."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fake_asterisk import rights
from fake_asterisk.ari import shapes
from fake_asterisk.ari.stasis import CONTINUE, Control, end_recording
from fake_asterisk.bridge import Bridge
from fake_asterisk.channel import SOFTHANGUP_EXPLICIT, UP, Channel
from fake_asterisk.originate import Originate, Request, run_application

if TYPE_CHECKING:
    from fake_asterisk.ari.face import App
    from fake_asterisk.legs import Leg
    from fake_asterisk.pbx import FakeAsterisk

Parameters = dict[str, Any]
Answer = tuple[int, Any]
Handler = Callable[["FakeAsterisk", Parameters, list[str]], Awaitable[Answer]]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []
DONE: Answer = (204, None)
CALLER = re.compile(r'\s*(?:"?([^"<]*?)"?\s*)<([^>]*)>\s*')


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.answer: Answer = (status, {"message": message})


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register a handler; `{}` stands for one segment of the path."""
    pattern = re.compile(path.replace("{}", "([^/]+)"))

    def register(handler: Handler) -> Handler:
        ROUTES.append((method, pattern, handler))
        return handler

    return register


async def dispatch(pbx: "FakeAsterisk", method: str, path: str, parameters: Parameters) -> Answer:
    """The answer to a request."""
    for wanted, pattern, handler in ROUTES:
        if wanted == method and (match := pattern.fullmatch(path)):
            try:
                return await handler(pbx, parameters, list(match.groups()))
            except _Refused as refused:
                return refused.answer
    return 404, {"message": "Resource not found"}


def _channel(pbx: "FakeAsterisk", unique_id: str, status: int = 404) -> Channel:
    channel = pbx.channels.get(unique_id)
    if channel is None or channel.dead:
        raise _Refused(status, "Channel not found")
    return channel


def _control(pbx: "FakeAsterisk", unique_id: str, status: int = 409) -> Control:
    _channel(pbx, unique_id, 400 if status == 422 else 404)
    control = pbx.ari.controls.get(unique_id)
    if control is None:
        raise _Refused(status, "Channel not in Stasis application")
    return control


def _bridge(pbx: "FakeAsterisk", unique_id: str) -> Bridge:
    bridge = pbx.bridges.get(unique_id)
    if bridge is None:
        raise _Refused(404, "Bridge not found")
    return bridge


def _app(pbx: "FakeAsterisk", name: str) -> "App":
    app = pbx.ari.apps.get(name)
    if app is None:
        raise _Refused(404, "Application not found")
    return app


# ---- the server


@route("GET", "/asterisk/info")
async def info(pbx: "FakeAsterisk", parameters: Parameters, _: list[str]) -> Answer:
    """Which Asterisk, since when."""
    began = shapes.stamp(pbx.started_wall)
    return 200, {
        "system": {"version": pbx.config.version, "entity_id": shapes.ENTITY_ID},
        "status": {"startup_time": began, "last_reload_time": began},
    }


@route("GET", "/endpoints/{}")
async def endpoints(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """All endpoints of a technology."""
    if words[0].upper() != "PJSIP":
        return 404, {"message": "Endpoints not found"}
    devices: dict[str, list[str]] = {}
    for channel in pbx.channels.values():
        devices.setdefault(channel.device, []).append(channel.uniqueid)
    return 200, [
        {
            "technology": "PJSIP",
            "resource": endpoint.name,
            "state": "online" if endpoint.registered else "offline",
            "channel_ids": devices.get(f"PJSIP/{endpoint.name}", []),
        }
        for endpoint in pbx.config.endpoints.values()
    ]


@route("GET", "/sounds/{}")
async def sound(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Whether a sound is there."""
    if words[0] not in pbx.config.sounds and pbx.config.other_sounds_s is None:
        return 404, {"message": "Sound not found"}
    return 200, {"id": words[0], "formats": [{"language": "en", "format": "slin"}]}


@route("GET", "/applications/{}")
async def application(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """What an application hears of."""
    return 200, _app(pbx, words[0]).shown()


@route("POST", "/applications/{}/subscription")
async def subscribe(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Hear of more: `deviceState:` (all of them), `channel:id`, `bridge:id`."""
    app = _app(pbx, words[0])
    kind, _, name = parameters["eventSource"].partition(":")
    if kind == "deviceState":
        app.devices = True
    elif kind == "channel":
        app.ids.add(_channel(pbx, name, 422).uniqueid)
        app.channels.add(name)
        app.followed.add(name)
    elif kind == "bridge":
        app.ids.add(_bridge(pbx, name).uniqueid)
    else:
        return 400, {"message": "Invalid parameter"}
    return 200, app.shown()


@route("PUT", "/applications/{}/eventFilter")
async def event_filter(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Hear of fewer kinds."""
    app = _app(pbx, words[0])
    app.allowed = [entry["type"] for entry in parameters.get("allowed", [])]
    app.disallowed = [entry["type"] for entry in parameters.get("disallowed", [])]
    pbx.refresh_wanted()
    return 200, app.shown()


@route("POST", "/events/user/{}")
async def user_event(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """An event of somebody's own, for one application."""
    app = _app(pbx, parameters["application"])
    pbx.ari.tell(app, "ChannelUserevent", {"eventname": words[0], "userevent": {}})
    return DONE


# ---- channels


@route("GET", "/channels")
async def channels(pbx: "FakeAsterisk", parameters: Parameters, _: list[str]) -> Answer:
    """All of them."""
    return 200, [shapes.channel(channel) for channel in pbx.channels.values()]


@route("GET", "/channels/{}")
async def channel_(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """One."""
    return 200, shapes.channel(_channel(pbx, words[0]))


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
    channel = _channel(pbx, words[0])
    if not channel.hung:
        channel.event(rights.CALL, "SoftHangupRequest", f"Cause: {SOFTHANGUP_EXPLICIT}\r\n")
        channel.soft_hangup(int(parameters.get("reason_code", 16)))
    return DONE


@route("POST", "/channels/{}/answer")
async def answer(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Answer an inbound channel."""
    pbx.answer(_control(pbx, words[0]).channel)
    return DONE


@route("POST", "/channels/{}/moh")
async def music(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Music on hold."""
    _control(pbx, words[0]).channel.start_music(parameters.get("mohClass", "default"))
    return DONE


@route("DELETE", "/channels/{}/moh")
async def no_music(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """No more of it."""
    _control(pbx, words[0]).channel.stop_music()
    return DONE


@route("POST", "/channels/{}/variable")
async def set_variable(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Waits behind a playback (seen)."""
    control = _control(pbx, words[0])
    await control.idle.wait()
    if not control.channel.dead:
        control.channel.set_variable(parameters["variable"], str(parameters.get("value", "")))
    return DONE


@route("GET", "/channels/{}/variable")
async def variable(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """A variable or function."""
    value = _channel(pbx, words[0]).get_variable(parameters["variable"])
    if value is None:
        return 404, {"message": "Provided variable was not found"}
    return 200, {"value": value}


@route("POST", "/channels/{}/play(?:/{})?")
async def play(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Play one sound or several behind each other."""
    control = _control(pbx, words[0])
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
    _control(pbx, words[0]).muted = True
    return DONE


@route("DELETE", "/channels/{}/mute")
async def unmute(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """It is heard again."""
    _control(pbx, words[0]).muted = False
    return DONE


@route("POST", "/channels/{}/dtmf")
async def dtmf(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Digits to the far end."""
    channel = _control(pbx, words[0]).channel
    channel.functions["digits"] = channel.functions.get("digits", "") + parameters["dtmf"]
    return DONE


@route("POST", "/channels/{}/continue")
async def go_on(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Out of the application, on in the dialplan."""
    channel = _control(pbx, words[0]).channel
    channel.context = parameters.get("context", channel.context)
    channel.exten = parameters.get("extension", channel.exten)
    channel.priority = int(parameters.get("priority", 1))
    assert channel.fiber is not None
    channel.fiber.wake(CONTINUE)
    return DONE


@route("POST", "/channels/{}/snoop")
async def snoop(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """A channel that hears, and perhaps speaks into, another; it ends with it."""
    target = _channel(pbx, words[0])
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


@route("POST", "/channels/{}/record")
async def record(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Record a channel."""
    control, name = _control(pbx, words[0]), parameters["name"]
    return _record(pbx, control.app, f"channel:{words[0]}", name)


def _record(pbx: "FakeAsterisk", app: "App", target: str, name: str) -> Answer:
    pbx.ari.recordings[name] = target
    what = {"name": name, "format": "wav", "state": "queued", "target_uri": target}

    def begin() -> None:
        pbx.ari.tell(app, "RecordingStarted", {}, at_end={"recording": {**what, "state": "recording"}})

    pbx.loop.call_soon(begin)
    return 201, what


@route("POST", "/recordings/live/(.+)/stop")
async def stop_recording(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """End it and keep the file."""
    target = pbx.ari.recordings.get(words[0])
    if target is None:
        return 404, {"message": "Recording not found"}
    control = pbx.ari.controls.get(target.partition(":")[2])
    if control is not None:
        end_recording(control.app, control.channel, words[0])
    return DONE


@route("POST", "/recordings/live/(.+)/(?:mute|pause)")
async def mute_recording(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Silence is written."""
    return DONE if words[0] in pbx.ari.recordings else (404, {"message": "Recording not found"})


@route("DELETE", "/recordings/live/(.+)/(?:mute|pause)")
async def unmute_recording(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Sound is written again."""
    return DONE if words[0] in pbx.ari.recordings else (404, {"message": "Recording not found"})


# ---- bridges


@route("GET", "/bridges")
async def bridges(pbx: "FakeAsterisk", parameters: Parameters, _: list[str]) -> Answer:
    """All of them."""
    return 200, [shapes.bridge(bridge) for bridge in pbx.bridges.values()]


@route("GET", "/bridges/{}")
async def bridge_(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """One."""
    return 200, shapes.bridge(_bridge(pbx, words[0]))


@route("POST", "/bridges(?:/{})?")
async def make_bridge(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """A mixing bridge; with the id in the path the one there is, with it as a parameter only a new one (seen)."""
    unique_id = words[0] or parameters.get("bridgeId", "") or pbx.new_uuid()
    bridge = pbx.bridges.get(unique_id)
    if bridge is not None and not words[0]:
        return 409, {"message": f"Bridge with id '{unique_id}' already exists"}
    if bridge is None:
        bridge = Bridge(pbx, type="stasis", creator="Stasis", dissolves=False, uniqueid=unique_id, stays=True)
    return 200, shapes.bridge(bridge)


@route("DELETE", "/bridges/{}")
async def end_bridge(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Whoever is in it goes back to the application."""
    bridge = _bridge(pbx, words[0])
    for channel in list(bridge.channels):
        bridge.remove(channel, moving=True)
    bridge.destroy()
    return DONE


@route("POST", "/bridges/{}/addChannel")
async def add_channel(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Channels enter, from another bridge if they are in one; each when what plays to it is over."""
    bridge = _bridge(pbx, words[0])
    controls = [_control(pbx, name, 422) for name in parameters["channel"].split(",")]
    for control in controls:
        await control.idle.wait()
        channel = control.channel
        if channel.hung:
            raise _Refused(409, "Channel not in Stasis application")
        if channel.bridge is bridge:
            continue
        if channel.bridge is not None:
            channel.bridge.remove(channel, moving=True)
        music = channel.music
        if channel.uniqueid != bridge.uniqueid:
            control.app.ids.add(bridge.uniqueid)
        bridge.push(channel)
        if music is not None:
            channel.music = music  # a bridge does not stop it
    return DONE


@route("POST", "/bridges/{}/removeChannel")
async def remove_channel(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Channels go back to the application."""
    bridge = _bridge(pbx, words[0])
    for name in parameters["channel"].split(","):
        channel = _control(pbx, name, 422).channel
        if channel.bridge is not bridge:
            raise _Refused(422, "Channel not in this bridge")
        bridge.remove(channel, moving=True)
    return DONE


@route("POST", "/bridges/{}/record")
async def record_bridge(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Record all that is said in it."""
    bridge = _bridge(pbx, words[0])
    app = next(app for app in pbx.ari.apps.values() if bridge.uniqueid in app.ids)
    return _record(pbx, app, f"bridge:{words[0]}", parameters["name"])
