"""What a finished study leaves behind: `study.json`, a table, a plot; and, last, `run.json`."""

from pathlib import Path
from typing import Any

from radllama.evaluation.tables import align
from radllama.files import write_aside, write_json
from radllama.run import RUN_FILE, write_run
from radllama.study.plot import render_plot
from radllama.study.results import collect
from radllama.study.run import Progress
from radllama.study.tables import comparisons_table, costs_table, figures_table

STUDY_FILE, TABLE_FILE, PLOT_FILE = "study.json", "table.txt", "plot.svg"


def write_study(progress: Progress, out: Path) -> dict[str, Any]:
    """Collect the finished cells and write the four files into `out`; returns what `study.json` holds."""
    (out / RUN_FILE).unlink(missing_ok=True)
    study = collect(progress)
    write_json(out / STUDY_FILE, study)
    with write_aside(out / TABLE_FILE) as file:
        file.write(render_study(study) + "\n")
    with write_aside(out / PLOT_FILE) as file:
        file.write(render_plot(study))
    settings = progress.study.model_dump(mode="json", exclude={"words"})
    write_run(out / RUN_FILE, "study", settings, cells=len(progress.cells), failed=len(progress.failed))
    return study


def render_study(study: dict[str, Any]) -> str:
    """The tables of a study for a terminal."""
    parts = [study["title"], align(figures_table(study))]
    if compared := comparisons_table(study):
        parts += [
            "Against the reference, in points; different where p (Holm) < 0.05 and the interval excludes 0",
            align(compared),
        ]
    if costs := costs_table(study):
        parts += ["What training took (means)", align(costs)]
    parts.append(
        f"Means over {len(study['seeds'])} seeds; intervals over seeds and reports ({study['resamples']} draws)."
    )
    return "\n\n".join(parts)
