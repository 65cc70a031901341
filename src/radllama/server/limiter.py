"""Limits per key: at most so many requests in a moving window of time."""

import time

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from radllama.errors import InputError


class Limiter:
    """Counts in memory: a restart forgives, and several servers count apart.

    amount: the requests that it lets in; seconds: the time in which.
    """

    def __init__(self, limit: str) -> None:
        """`limit` as in "600/minute". Raises InputError for what is no limit."""
        try:
            self._limit = parse(limit)
        except ValueError:
            raise InputError(f"--limit {limit!r}: expected a number a time, as in 600/minute or 10/second") from None
        self.amount, self.seconds = self._limit.amount, self._limit.get_expiry()
        self._strategy = MovingWindowRateLimiter(MemoryStorage())

    def take(self, caller: str) -> int | None:
        """Count a request; None when it is within the limit, else whole seconds until there is room again."""
        if self._strategy.hit(self._limit, caller):
            return None
        reset = self._strategy.get_window_stats(self._limit, caller).reset_time
        return max(1, round(reset - time.time() + 0.5))
