"""REST: what each path does to channels and bridges, with the statuses and messages that Asterisk answers."""

from typing import TYPE_CHECKING

from fake_asterisk.ari import rest_bridges, rest_channels, rest_recordings, rest_server  # noqa: F401  they register
from fake_asterisk.ari.resources import ROUTES, Answer, Parameters, Refused

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk


async def dispatch(pbx: "FakeAsterisk", method: str, path: str, parameters: Parameters) -> Answer:
    """The answer to a request."""
    for wanted, pattern, handler in ROUTES:
        if wanted == method and (match := pattern.fullmatch(path)):
            try:
                return await handler(pbx, parameters, list(match.groups()))
            except Refused as refused:
                return refused.answer
    return 404, {"message": "Resource not found"}
