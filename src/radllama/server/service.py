"""What the paths work with: the collaborators that the app was made of."""

from dataclasses import dataclass
from typing import Any

from fastapi import Request

from radllama.server.batcher import Batcher
from radllama.server.limiter import Limiter
from radllama.server.metrics import Metrics
from radllama.server.openid import Provider
from radllama.server.recorder import Recorder
from radllama.server.shared_limiter import SharedLimiter
from radllama.store.store import Store


@dataclass(frozen=True, slots=True)
class People:
    """Where people sign in, and for how many hours a browser then stays so."""

    provider: Provider
    hours: float = 12.0


@dataclass(frozen=True, slots=True)
class Service:
    """One running assistant."""

    batcher: Batcher
    store: Store
    recorder: Recorder
    limiter: Limiter | SharedLimiter
    metrics: Metrics
    log: Any
    people: People | None = None


def service_of(request: Request) -> Service:
    """The service of the app that got this request."""
    service: Service = request.app.state.service
    return service
