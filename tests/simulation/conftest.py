"""Shared by the simulated-time tests: quiet logs, and worlds that end."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    """The daemon's warnings about injected faults are not failures here."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)
    structlog.configure(**before)
