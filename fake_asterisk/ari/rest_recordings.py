"""REST: recordings of a channel or a bridge."""

from typing import TYPE_CHECKING

from fake_asterisk.ari.resources import DONE, Answer, Parameters, bridge_of, control_of, route
from fake_asterisk.ari.stasis import end_recording

if TYPE_CHECKING:
    from fake_asterisk.ari.face import App
    from fake_asterisk.pbx import FakeAsterisk


@route("POST", "/channels/{}/record")
async def record(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Record a channel."""
    control, name = control_of(pbx, words[0]), parameters["name"]
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


@route("POST", "/bridges/{}/record")
async def record_bridge(pbx: "FakeAsterisk", parameters: Parameters, words: list[str]) -> Answer:
    """Record all that is said in it."""
    bridge = bridge_of(pbx, words[0])
    app = next(app for app in pbx.ari.apps.values() if bridge.uniqueid in app.ids)
    return _record(pbx, app, f"bridge:{words[0]}", parameters["name"])
