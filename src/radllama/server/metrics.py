"""What Prometheus is told: counts, times and sizes, labelled with names of ours alone."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from radllama.server.batcher import Batcher

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The counters of one app, in a registry of their own (two apps in one process do not mix)."""

    def __init__(self, batcher: Batcher) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("radllama_requests", "Requests answered.", ["path", "status"], registry=self.registry)
        self.seconds = Histogram(
            "radllama_request_seconds", "From arrival to answer.", ["path"], buckets=_SECONDS, registry=self.registry
        )
        self.refused = Counter("radllama_refused", "Requests not taken on.", ["reason"], registry=self.registry)
        self.drafts = Counter("radllama_drafts", "Impressions drafted.", registry=self.registry)
        self.flags = Counter("radllama_flags", "Flags raised on drafts.", ["kind"], registry=self.registry)
        self.verdicts = Counter("radllama_verdicts", "What people decided.", ["verdict"], registry=self.registry)
        self.tokens = Counter("radllama_tokens", "Tokens read and written.", ["kind"], registry=self.registry)
        for name, told, value in (
            ("radllama_queue_waiting", "Requests that wait for a worker.", lambda: batcher.waiting),
            ("radllama_queue_running", "Requests that a worker has.", lambda: batcher.running),
            ("radllama_batch_jobs", "Requests in the latest batch.", lambda: batcher.last_batch_jobs),
            ("radllama_batches", "Batches sent to workers.", lambda: batcher.batches),
            ("radllama_worker_restarts", "Workers started in a dead one's place.", lambda: batcher.pool.restarts),
            ("radllama_ready", "1 when a worker has the model.", lambda: float(batcher.pool.is_alive)),
        ):
            Gauge(name, told, registry=self.registry).set_function(value)

    def measure(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request of a route."""
        self.requests.labels(path, status).inc()
        self.seconds.labels(path).observe(seconds)

    def render(self) -> bytes:
        """The text format that Prometheus reads."""
        return generate_latest(self.registry)
