"""What the documented click-to-call takes and gives (features C2C-01, C2C-09, D2, D28)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from daemon.api.types import Answer


class C2CBody(msgspec.Struct, kw_only=True):
    """As documented. Unknown fields are let pass: deployed clients send some."""

    number_to_call: Annotated[str, Meta(max_length=60)] | int
    phone_line_used: Annotated[str, Meta(max_length=60)] | int | None = None


class C2CData(Answer, kw_only=True):
    call_id: int
    phone_line_used: str
    number_called: str
    group: str
    response_time_ms: int


class C2CAnswer(Answer, kw_only=True):
    """Nested as one page of the source documents it, and flat as the other does (features D2)."""

    success: bool
    message: str
    call_id: int
    phone_line_used: str
    data: C2CData


class LinesStatus(Answer, kw_only=True):
    available: int
    total: int
    strategy: str


class LastHour(Answer, kw_only=True):
    calls: int
    succeeded: int
    failed: int
    success_rate: float | None
    avg_response_ms: float | None


class RateLimit(Answer, kw_only=True):
    limit: int
    used: int
    remaining: int
    reset_at: str


class StatusData(Answer, kw_only=True):
    lines: LinesStatus
    last_hour: LastHour
    rate_limit: RateLimit


class StatusAnswer(Answer, kw_only=True):
    """Features C2C-09, D28."""

    success: bool
    data: StatusData
