"""What every ARI resource is made of: its registration by method and path, and finding what a path names."""

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from fake_asterisk.ari.stasis import Control
from fake_asterisk.bridge import Bridge
from fake_asterisk.channel import Channel

if TYPE_CHECKING:
    from fake_asterisk.ari.face import App
    from fake_asterisk.pbx import FakeAsterisk

Parameters = dict[str, Any]
Answer = tuple[int, Any]
Handler = Callable[["FakeAsterisk", Parameters, list[str]], Awaitable[Answer]]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []
DONE: Answer = (204, None)


class Refused(Exception):
    """The request is answered so, and nothing is done."""

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


def channel_of(pbx: "FakeAsterisk", unique_id: str, status: int = 404) -> Channel:
    channel = pbx.channels.get(unique_id)
    if channel is None or channel.dead:
        raise Refused(status, "Channel not found")
    return channel


def control_of(pbx: "FakeAsterisk", unique_id: str, status: int = 409) -> Control:
    channel_of(pbx, unique_id, 400 if status == 422 else 404)
    control = pbx.ari.controls.get(unique_id)
    if control is None:
        raise Refused(status, "Channel not in Stasis application")
    return control


def bridge_of(pbx: "FakeAsterisk", unique_id: str) -> Bridge:
    bridge = pbx.bridges.get(unique_id)
    if bridge is None:
        raise Refused(404, "Bridge not found")
    return bridge


def app_of(pbx: "FakeAsterisk", name: str) -> "App":
    app = pbx.ari.apps.get(name)
    if app is None:
        raise Refused(404, "Application not found")
    return app
