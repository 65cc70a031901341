"""The server's log: a line of JSON an event on stderr, of names and numbers; no text that anybody sent.

An exception is logged by its type and place. Its message stays out: it may quote what was sent.
"""

import logging
import sys
from typing import Any, TextIO

import structlog

from radllama.web.trace import describe


def open_log(stream: TextIO | None = None) -> Any:
    """A logger with an `info(event, **facts)` and its like; uvicorn's own lines go through it too."""
    output = stream or sys.stderr
    log = structlog.wrap_logger(
        structlog.PrintLogger(output),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
    )
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_Passing(log)], False
        logger.setLevel(logging.WARNING)
    logging.getLogger("uvicorn").handlers = []  # its children have told it already
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False  # it would log whole URLs
    return log


class _Passing(logging.Handler):
    """Passes on what a library logs: its own words, never the values that it filled in."""

    def __init__(self, log: Any) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        facts = {"error": describe(error)} if error else {}
        # The template alone (`msg`): its arguments may be a path, a header or a body.
        template = str(record.msg).splitlines()[0][:200] if record.args or not error else "an exception"
        self._log.warning("library", library=record.name, said=template, **facts)
