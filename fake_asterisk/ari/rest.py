"""REST: what each path does to channels and bridges, with the statuses and messages that Asterisk answers."""

import re
from functools import cache
from typing import TYPE_CHECKING

from fake_asterisk.ari import rest_bridges, rest_channels, rest_recordings, rest_server  # noqa: F401  they register
from fake_asterisk.ari.resources import ROUTES, Answer, Handler, Parameters, Refused

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk


async def dispatch(pbx: "FakeAsterisk", method: str, path: str, parameters: Parameters) -> Answer:
    """The answer to a request."""
    for pattern, handler in _routes(method, path.partition("/")[2].partition("/")[0]):
        if (match := pattern.fullmatch(path)) is not None:
            try:
                return await handler(pbx, parameters, list(match.groups()))
            except Refused as refused:
                return refused.answer
    return 404, {"message": "Resource not found"}


@cache
def _routes(method: str, first: str) -> list[tuple[re.Pattern[str], Handler]]:
    """What may be meant by a request whose path begins with `first`."""
    return [
        (pattern, handler)
        for wanted, pattern, handler in ROUTES
        if wanted == method and re.match(rf"/{re.escape(first)}\b", pattern.pattern)
    ]
