"""Metrics of the server in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from vampnet.jobs.table import JobRow, JobTable

_JOB_BUCKETS = (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)


class Metrics:
    """Counters of one server; its own registry, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._calls = Counter("vampnet_http_requests", "HTTP calls.", ["route", "method", "status"], registry=registry)
        self._call_s = Histogram("vampnet_http_seconds", "Seconds until answered.", ["route"], registry=registry)
        self._jobs = Gauge("vampnet_jobs", "Jobs in the table.", ["state"], registry=registry)
        self._ended = Counter("vampnet_jobs_ended", "Jobs that ended.", ["task", "state"], registry=registry)
        self._wait_s = Histogram("vampnet_job_wait_seconds", "Seconds in the queue.", buckets=_JOB_BUCKETS,
                                 registry=registry)  # fmt: skip
        self._run_s = Histogram("vampnet_job_seconds", "Seconds of work.", ["task"], buckets=_JOB_BUCKETS,
                                registry=registry)  # fmt: skip
        self._workers = Gauge("vampnet_workers", "Living workers.", ["state"], registry=registry)
        self._restarts = Gauge("vampnet_worker_restarts", "Workers that died and were replaced.", registry=registry)

    def count_call(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an HTTP call."""
        known = method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
        self._calls.labels(route, known, str(status)).inc()
        self._call_s.labels(route).observe(seconds)

    def count_ended(self, jobs: Iterable[JobRow]) -> None:
        """Count jobs that ended just now."""
        for job in jobs:
            task = str(job.request.get("task", ""))
            self._ended.labels(task, job.state).inc()
            if job.started is not None and job.finished is not None:
                self._wait_s.observe(max(0.0, job.started - job.created))
                self._run_s.labels(task).observe(max(0.0, job.finished - job.started))

    def text(self, table: JobTable, restarts: int) -> bytes:
        """All metrics, now."""
        for state, n in table.counts().items():
            self._jobs.labels(state).set(n)
        self._workers.clear()
        for worker in table.workers():
            self._workers.labels(worker.state).inc()
        self._restarts.set(restarts)
        return generate_latest(self.registry)
