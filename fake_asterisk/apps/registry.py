"""Names of applications and what runs them; the work of one step of a channel."""

from collections.abc import Awaitable, Callable

from fake_asterisk.channel import Channel

Application = Callable[[Channel, str], Awaitable["int | None"]]

APPLICATIONS: dict[str, Application] = {}

END = -1  # an application's result: the channel is to be hung up


def application(*names: str) -> Callable[[Application], Application]:
    """Register an application. It returns END to have the channel hung up; 0 or None to let it go on."""

    def register(function: Application) -> Application:
        for name in names:
            APPLICATIONS[name.lower()] = function
        return function

    return register


async def execute(channel: Channel, name: str, data: str) -> int:
    """Run an application on a channel: 0 goes on, END ends. Raises Hungup, Diverted; KeyError: no such application."""
    result = await APPLICATIONS[name.lower()](channel, data)
    return result or 0


def exists(name: str) -> bool:
    """Whether an application is known."""
    return name.lower() in APPLICATIONS


def arguments(data: str, count: int) -> list[str]:
    """Comma arguments, padded with empty ones."""
    parts = data.split(",", count - 1) if data else []
    return [part.strip() for part in parts] + [""] * (count - len(parts))
