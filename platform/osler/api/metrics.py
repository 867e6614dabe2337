"""Figures for Prometheus: how many requests, how long, how many wait. Labels are templates of addresses, never what was in them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

# Set where several worker processes answer: each scrape then speaks for all of them.
SHARED = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# Nobody asks for the line of each series that says when it began.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The figures of one worker process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "osler_api_requests", "Requests answered", ("method", "route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "osler_api_request_seconds",
            "Seconds from a request to the end of its answer",
            ("method", "route"),
            buckets=BOUNDS,
            registry=self._registry,
        )
        self.refused = Counter(
            "osler_api_tokens_refused", "Requests without a token that is good", registry=self._registry
        )
        self.limited = Counter("osler_api_requests_limited", "Requests over a token's rate", registry=self._registry)
        self.explanations = Counter(
            "osler_api_explanations",
            "Explanations given, made or held from before",
            ("source",),
            registry=self._registry,
        )
        self.waiting = Gauge(
            "osler_api_explanations_waiting",
            "Explanations that wait or are being made",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.studies = Gauge(
            "osler_archive_studies", "Studies in the archive", registry=self._registry, multiprocess_mode="mostrecent"
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """Return the figures in Prometheus' text format, those of all worker processes where there are several."""
        if not shared(os.environ):
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def shared(environment: Mapping[str, str]) -> bool:
    """Return whether several worker processes share their figures."""
    return bool(environment.get(SHARED))
