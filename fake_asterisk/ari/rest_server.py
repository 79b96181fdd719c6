"""REST: the server itself, its endpoints and sounds, and the applications."""

from typing import TYPE_CHECKING

from fake_asterisk.ari import shapes
from fake_asterisk.ari.resources import DONE, Answer, Parameters, app_of, bridge_of, channel_of, route

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk


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
    return 200, app_of(pbx, words[0]).shown()


@route("POST", "/applications/{}/subscription")
async def subscribe(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Hear of more: `deviceState:` (all of them), `channel:id`, `bridge:id`."""
    app = app_of(pbx, words[0])
    kind, _, name = parameters["eventSource"].partition(":")
    if kind == "deviceState":
        app.devices = True
    elif kind == "channel":
        app.ids.add(channel_of(pbx, name, 422).uniqueid)
        app.channels.add(name)
        app.followed.add(name)
    elif kind == "bridge":
        app.ids.add(bridge_of(pbx, name).uniqueid)
    else:
        return 400, {"message": "Invalid parameter"}
    return 200, app.shown()


@route("PUT", "/applications/{}/eventFilter")
async def event_filter(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Hear of fewer kinds."""
    app = app_of(pbx, words[0])
    app.allowed = [entry["type"] for entry in parameters.get("allowed", [])]
    app.disallowed = [entry["type"] for entry in parameters.get("disallowed", [])]
    pbx.refresh_wanted()
    return 200, app.shown()


@route("POST", "/events/user/{}")
async def user_event(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """An event of somebody's own, for one application."""
    app = app_of(pbx, parameters["application"])
    pbx.ari.tell(app, "ChannelUserevent", {"eventname": words[0], "userevent": {}})
    return DONE
