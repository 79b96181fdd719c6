"""REST: bridges, and who is in them."""

from typing import TYPE_CHECKING

from fake_asterisk.ari import shapes
from fake_asterisk.ari.resources import DONE, Answer, Parameters, Refused, bridge_of, control_of, route
from fake_asterisk.bridge import Bridge

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk


@route("GET", "/bridges")
async def bridges(pbx: "FakeAsterisk", parameters: Parameters, _: list[str]) -> Answer:
    """All of them."""
    return 200, [shapes.bridge(bridge) for bridge in pbx.bridges.values()]


@route("GET", "/bridges/{}")
async def bridge_(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """One."""
    return 200, shapes.bridge(bridge_of(pbx, words[0]))


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
    bridge = bridge_of(pbx, words[0])
    for channel in list(bridge.channels):
        bridge.remove(channel, moving=True)
    bridge.destroy()
    return DONE


@route("POST", "/bridges/{}/addChannel")
async def add_channel(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Channels enter, from another bridge if they are in one; each when what plays to it is over."""
    bridge = bridge_of(pbx, words[0])
    controls = [control_of(pbx, name, 422) for name in parameters["channel"].split(",")]
    for control in controls:
        await control.idle.wait()
        channel = control.channel
        if channel.hung:
            raise Refused(409, "Channel not in Stasis application")
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
    bridge = bridge_of(pbx, words[0])
    for name in parameters["channel"].split(","):
        channel = control_of(pbx, name, 422).channel
        if channel.bridge is not bridge:
            raise Refused(422, "Channel not in this bridge")
        bridge.remove(channel, moving=True)
    return DONE
