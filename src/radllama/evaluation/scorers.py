"""Scorers that read with a model: BERTScore from a local folder, and any tool that lives in its own environment.

They are asked for by name and then either score every pair or stop the evaluation with one line: a metric that falls
out halfway would flatter whoever failed it. Each gives one score a pair, and an empty draft scores 0 unread.
"""

import json
import math
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import Protocol

from radllama.console import note
from radllama.errors import InputError
from radllama.text import words

Pair = tuple[str, str]  # reference, draft


class Scorer(Protocol):
    """One score for each pair of texts, in 0..1 where the tool has a scale; `title` names it in every table."""

    title: str

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Score pairs whose drafts hold words, in their order. Raises InputError when it cannot score them all."""
        ...


def run_scorers(
    scorers: Sequence[Scorer], references: Sequence[str], rows: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, list[float]]]:
    """`{row: {title: scores}}`; each different pair is scored once, all rows in one call, as models load slowly."""
    pairs = {row: list(zip(references, drafts, strict=True)) for row, drafts in rows.items()}
    unique = list(dict.fromkeys(pair for part in pairs.values() for pair in part if words(pair[1])))
    scores: dict[str, dict[str, list[float]]] = {row: {} for row in rows}
    for scorer in scorers:
        note(f"{scorer.title}: scoring {len(unique)} pairs")
        known = dict(zip(unique, scorer.score(unique) if unique else [], strict=True))
        for row, part in pairs.items():
            scores[row][scorer.title] = [known.get(pair, 0.0) for pair in part]
    return scores


class ExternalScorer:
    """A command that reads JSON lines {"id", "reference", "draft"} and writes {"id", "score"} for each of them.

    RadGraph, CheXbert, RadEval, GREEN and their like need packages that cannot live beside ours, so they run in an
    environment of their own. The command is started once, without a shell; its standard error goes to ours.
    """

    def __init__(self, title: str, command: str) -> None:
        self.title = title
        self._command = command

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """See `Scorer`; InputError when the command is not there, fails, or leaves out or garbles a score."""
        lines = (
            json.dumps({"id": at, "reference": reference, "draft": draft})
            for at, (reference, draft) in enumerate(pairs)
        )
        try:
            done = subprocess.run(
                shlex.split(self._command), input="\n".join(lines) + "\n", stdout=subprocess.PIPE, encoding="utf-8"
            )
        except UnicodeDecodeError:
            raise self._failed("wrote bytes that are not UTF-8") from None
        except (OSError, ValueError) as error:
            raise self._failed(f"cannot be started ({getattr(error, 'strerror', None) or error})") from None
        if done.returncode:
            raise self._failed(f"ended with exit code {done.returncode}; what it said stands above")
        scores = self._parse(done.stdout)
        if missing := [at for at in range(len(pairs)) if at not in scores]:
            raise self._failed(f"gave no score for {len(missing)} of {len(pairs)} pairs (the first: id {missing[0]})")
        return [scores[at] for at in range(len(pairs))]

    def _parse(self, output: str) -> dict[int, float]:
        scores = {}
        for number, line in enumerate(output.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                identity, score = int(row["id"]), float(row["score"])
            except (ValueError, KeyError, TypeError):
                raise self._failed(f'line {number} of its output is no {{"id": ..., "score": number}}') from None
            if not math.isfinite(score):
                raise self._failed(f"line {number} of its output has the score {score}; a score must be a number")
            scores[identity] = score
        return scores

    def _failed(self, reason: str) -> InputError:
        return InputError(f"scorer {self.title!r}: the command {reason}")


def parse_scorer(argument: str) -> ExternalScorer:
    """A `--scorer` argument, NAME=COMMAND. Raises InputError when it is not so."""
    title, _, command = argument.partition("=")
    if not title.strip() or not command.strip():
        raise InputError(
            f"--scorer {argument!r}: give NAME=COMMAND, such as 'radgraph=/opt/radgraph/bin/python score.py'"
        )
    return ExternalScorer(title.strip(), command)
