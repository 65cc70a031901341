"""Running `radllama` in the tests' own process, as somebody who types it sees it."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from radllama.cli import main

CANARY = "zebrafinch"  # stands in the findings of tests of the command line, and must stand in no message


class Done(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Done]


def make_run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """A function that runs `radllama` with its arguments."""

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["radllama", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        assert CANARY not in err
        return Done(code, out, err)

    return call
