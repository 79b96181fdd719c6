"""Which AMI a box speaks, and with what to speak it. A new dialect is a row here; the driver stays as it is.

A dialect says how events are translated, how what exists is listed, and which control modes it has. The greeting's
version decides (FIELD-NOTES 7.1: 16 = 5.0 … 22 = 11.0); boxes before Asterisk 12 greet with 1.x, know no ChannelId and
other events: `legacy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from daemon.ami.channels import Channels, Leg
from daemon.ami.client import AmiClient
from daemon.ami.codec import Message
from daemon.ami.legacy import LegacyMode, LegacyTranslator, read_legacy_snapshot
from daemon.ami.modes import MODES, Mode
from daemon.ami.snapshot import read_snapshot
from daemon.ami.steps import Step
from daemon.ami.translate import ModernTranslator, Translator
from daemon.calls.events import PbxEvent


class TranslatorFactory(Protocol):
    """Makes the translator of one link; the arguments are those of ModernTranslator."""

    def __call__(
        self,
        channels: Channels,
        *,
        deliver: Callable[[PbxEvent], None],
        react: Callable[[Leg, Step, str], None],
        device: Callable[[str, str, float], PbxEvent | None],
        parks_on_music: bool = False,
    ) -> Translator: ...


class Snapshot(Protocol):
    """Lists what there is: see daemon.ami.snapshot."""

    async def __call__(
        self, client: AmiClient, site: str, waits: Callable[[Message], bool] | None = None
    ) -> tuple[list[Leg], list[Message]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One way of speaking AMI."""

    name: str
    version_min: tuple[int, ...]
    translator: TranslatorFactory
    snapshot: Snapshot
    modes: Mapping[str, type[Mode]]
    answers: bool
    """An originate that comes to nothing is known to be answered by an OriginateResponse."""


MODERN: Final = Dialect(
    name="modern", version_min=(2,), translator=ModernTranslator, snapshot=read_snapshot, modes=MODES, answers=True
)
LEGACY: Final = Dialect(
    name="legacy",
    version_min=(1, 1),
    translator=LegacyTranslator,
    snapshot=read_legacy_snapshot,
    modes={"basic": LegacyMode},
    answers=False,
)
DIALECTS: Final = (MODERN, LEGACY)
"""Newest first."""


def dialect_for(version: tuple[int, ...]) -> Dialect:
    """The newest dialect that a box of this AMI version speaks; the newest of all for a greeting without a version, the
    oldest for a version before all of them."""
    if not version:
        return DIALECTS[0]
    return next((dialect for dialect in DIALECTS if version >= dialect.version_min), DIALECTS[-1])
