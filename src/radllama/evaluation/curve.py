"""The learning curve of a training run, for the report of an evaluation."""

from pathlib import Path

from radllama.errors import InputError
from radllama.run import read_run

Point = dict[str, float]


def read_curve(run: Path) -> list[Point]:
    """Each validation of a finished training run: {step, and what was measured: loss, rouge1}.

    Raises InputError when `run` is no finished training run; a run without a valid split has an empty curve.
    """
    record = read_run(run)
    if record is None or record.get("command") != "train":
        raise InputError(f"{run}: no finished training run (no run.json of train in it); give what train --out wrote")
    figures = [point for point in record["history"] if len(point) > 1]
    return [{name: float(value) for name, value in point.items()} for point in figures]
