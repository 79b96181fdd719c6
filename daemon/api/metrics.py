"""Prometheus metrics of the doors, and what /metrics shows of the engine's last views.

One registry an app: two apps in one process (tests, simulations) must not share counters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from daemon.bounds import Bounded, Counted, Spread, Timed
from daemon.engine.views import AgentView, CallView, CampaignView, LineView, LinkView, SystemView

BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

_TIMES = {
    "agent_wait": ("cadran_agent_wait_seconds", "From a person's need of an agent until one was given to them"),
    "connect": ("cadran_connect_seconds", "From an agent being given to a person until both were joined"),
}


class _Times(Collector):
    """What others have taken the time of, as histograms."""

    def __init__(self) -> None:
        self.now: dict[tuple[str, str], Spread] = {}

    def collect(self) -> Iterator[HistogramMetricFamily]:
        for what, (name, text) in _TIMES.items():
            family = HistogramMetricFamily(name, text, labels=["site"])
            for (kind, site), spread in self.now.items():
                if kind == what:
                    buckets = [(str(limit) if math.isfinite(limit) else "+Inf", n) for limit, n in spread.within()]
                    family.add_metric([site], buckets, spread.sum_s)
            yield family


class Metrics:
    """Counters of the doors; `render` adds gauges computed from the views at that moment."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self._requests = Counter(
            "cadran_http_requests", "Requests by method and status", ["method", "status"], registry=r
        )
        self._seconds = Histogram("cadran_http_request_seconds", "Time to answer", registry=r, buckets=BUCKETS_S)
        self._refused = Counter("cadran_http_refused", "Refused before the handler, by bound", ["bound"], registry=r)
        self.streams = Gauge("cadran_streams", "Open event streams", registry=r)
        self.stream_resets = Counter("cadran_stream_resets", "Slow readers reset with a snapshot", registry=r)
        self.stream_bytes = Counter("cadran_stream_bytes", "Bytes queued to event streams", registry=r)
        self.c2c = Counter("cadran_click2call", "Click-to-call requests by result", ["result"], registry=r)
        self._links = Gauge("cadran_pbx_up", "1 if the PBX link is up", ["site"], registry=r)
        self._store = Gauge("cadran_store_up", "1 if the database answers", registry=r)
        self._journal = Gauge("cadran_journal_pending", "Facts on disk not yet in the database", registry=r)
        self._calls = Gauge("cadran_calls", "Calls in progress by stage", ["stage"], registry=r)
        self._agents = Gauge("cadran_agents", "Agents by state", ["state"], registry=r)
        self._lines = Gauge("cadran_line_in_use", "Channels in use", ["line"], registry=r)
        self._abandoned = Gauge("cadran_abandoned", "Abandoned calls in a window", ["campaign", "window"], registry=r)
        self._live = Gauge("cadran_answered_live", "Live answers in a window", ["campaign", "window"], registry=r)
        bound = ["bound", "site"]
        self._used = Gauge("cadran_bound_used", "Use of a queue, buffer or wait", bound, registry=r)
        self._limit = Gauge("cadran_bound_limit", "Its bound", bound, registry=r)
        self._counts = Gauge("cadran_engine_count", "Counts since the start", ["what", "site"], registry=r)
        self._failures = Gauge("cadran_work_failures", "Failures of works beside the calls", ["work"], registry=r)
        self._leads_due = Gauge("cadran_leads_due", "Leads due", ["campaign"], registry=r)
        self._times = _Times()
        r.register(self._times)

    def request(self, request: web.Request, status: int, seconds: float) -> None:
        """Count one answered request. Streams are long by nature and stay out of the histogram."""
        method = request.method if request.method in ("GET", "POST", "PATCH", "PUT", "DELETE") else "other"
        self._requests.labels(method, str(status)).inc()
        if not request.path.endswith("/stream"):
            self._seconds.observe(seconds)

    def refused(self, bound: str) -> None:
        self._refused.labels(bound).inc()

    def bounded(self, *parts: object) -> None:
        """Take what these parts say of their bounds and counts now."""
        for part in parts:
            for bound in part.bounds() if isinstance(part, Bounded) else ():
                self._used.labels(bound.name, bound.site).set(bound.used)
                self._limit.labels(bound.name, bound.site).set(bound.limit)
            for site, what, count in part.counts() if isinstance(part, Counted) else ():
                self._counts.labels(what, site).set(count)
            for site, what, spread in part.times() if isinstance(part, Timed) else ():
                self._times.now[what, site] = spread

    def failed(self, works: Mapping[str, int]) -> None:
        """Take how often each work beside the calls has failed since the start."""
        for work, count in works.items():
            self._failures.labels(work).set(count)

    def render(self, views: Mapping[str, Mapping[str, Any]]) -> bytes:
        """The text exposition, with gauges from the given views."""
        for gauge in (
            self._links,
            self._calls,
            self._agents,
            self._lines,
            self._abandoned,
            self._live,
            self._leads_due,
        ):
            gauge.clear()
        for table in views.values():
            for view in table.values():
                self._show(view)
        return generate_latest(self.registry)

    def _show(self, view: object) -> None:
        if isinstance(view, LinkView):
            self._links.labels(view.site).set(1 if view.up else 0)
        elif isinstance(view, SystemView):
            self._store.set(1 if view.store_ok else 0)
            self._journal.set(view.journal_pending)
        elif isinstance(view, CallView):
            self._calls.labels(view.stage).inc()
        elif isinstance(view, AgentView):
            self._agents.labels(view.state).inc()
        elif isinstance(view, LineView):
            self._lines.labels(str(view.id)).set(view.in_use)
        elif isinstance(view, CampaignView):
            self._leads_due.labels(str(view.id)).set(view.leads.get("due", 0))
            for window in view.windows:
                self._abandoned.labels(str(view.id), window.name).set(window.abandoned)
                self._live.labels(str(view.id), window.name).set(window.live)
