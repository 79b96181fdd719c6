"""Names of actions, the rights they need (any of the classes), and the line ListCommands has for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fake_asterisk.message import Message
    from fake_asterisk.session import Session

Handler = Callable[["Session", "Message"], None]


@dataclass(frozen=True, slots=True)
class Action:
    """One action."""

    name: str
    needs: int
    run: Handler


ACTIONS: dict[str, Action] = {}


def action(name: str, needs: int) -> Callable[[Handler], Handler]:
    """Register an action."""

    def register(handler: Handler) -> Handler:
        ACTIONS[name.lower()] = Action(name, needs, handler)
        return handler

    return register
