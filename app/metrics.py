"""Every Prometheus series of the service, its unit in its name."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from app.protocol import CaptionEvent

disable_created_metrics()  # type: ignore[no-untyped-call]  # their names end in no unit
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.32, 0.5, 0.7, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
WORKER = ("worker", "device")
"""Labels of what is measured of one worker: its number and what it computes on."""
RATIOS = tuple(step / 10 for step in range(1, 11))


class Metrics:
    """One registry an application, so that two of them in a process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stage = Histogram(
            "signbind_stage_latency_seconds", "Time of one stage on the way from bytes to a caption.", ["stage"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.caption_latency = Histogram(
            "signbind_caption_latency_seconds", "From the arrival of its newest bytes to a caption event.", ["stage"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.queue_wait = Histogram(
            "signbind_queue_wait_seconds",
            "Wait of decoded video for the engine.",
            WORKER,
            buckets=SECONDS,
            registry=self.registry,
        )
        self.step_duration = Histogram(
            "signbind_step_duration_seconds",
            "One batched step of the engine.",
            WORKER,
            buckets=SECONDS,
            registry=self.registry,
        )
        self.confidence = Histogram(
            "signbind_caption_confidence_ratio", "Confidence of final captions.", buckets=RATIOS, registry=self.registry
        )
        self.active_streams = Gauge("signbind_active_streams", "Streams under way.", ["kind"], registry=self.registry)
        self.connections = Gauge("signbind_open_connections", "Open live connections.", registry=self.registry)
        self.free_slots = Gauge(
            "signbind_free_slots", "Streams a worker could take now.", WORKER, registry=self.registry
        )
        self.ready_workers = Gauge(
            "signbind_ready_workers", "Whether a worker's weights are loaded.", WORKER, registry=self.registry
        )
        self.worker_restarts = Counter(
            "signbind_worker_restarts_total", "Workers that died and were replaced.", WORKER, registry=self.registry
        )
        self.stream_recoveries = Counter(
            "signbind_stream_recoveries_total",
            "Streams that went on in another worker.",
            WORKER,
            registry=self.registry,
        )
        self.frames_decoded = self._counter("signbind_frames_decoded_total", "Frames decoded onto the canvas.")
        self.frames_dropped = self._counter(
            "signbind_frames_dropped_total", "Frames dropped because a stream was late."
        )
        self.received = self._counter("signbind_media_received_bytes_total", "Media bytes received.")
        self.abstentions = self._counter("signbind_abstentions_total", "Final captions withheld for low confidence.")
        self.captions = Counter(
            "signbind_captions_total", "Captions sent.", ["stage", "is_final"], registry=self.registry
        )
        self.failures = Counter(
            "signbind_failures_total", "Failures told to clients, by code.", ["code"], registry=self.registry
        )
        self.requests = Counter(
            "signbind_http_requests_total", "HTTP answers.", ["route", "status"], registry=self.registry
        )

    def observe_caption(self, caption: CaptionEvent) -> None:
        """Counts a caption that is sent, its stage times and, of a final one, its confidence."""
        self.captions.labels(caption.stage, str(caption.is_final).lower()).inc()
        self.caption_latency.labels(caption.stage).observe(caption.latency_ms.total / 1000)
        for stage, time_ms in caption.latency_ms.model_dump().items():
            self._stage.labels(stage).observe(time_ms / 1000)
        if caption.is_final:
            self.confidence.observe(caption.confidence)
            self.abstentions.inc(caption.withheld)

    def _counter(self, name: str, what: str) -> Counter:
        return Counter(name, what, registry=self.registry)
