"""The pages of docs/studies/ say what their run files say."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from radllama.errors import InputError
from radllama.files import read_json, write_json
from radllama.study.design import Words, read_study
from radllama.study.page import render_page
from radllama.study.plot import render_plot
from radllama.study.tables import comparisons_table, figures_table

ROOT = Path(__file__).parents[1]
WORDS = Words(asked="Which?", limits=["Much."], command="radllama study x.yaml")


def score(mean: float | None, low: float = 0.1, high: float = 0.9) -> dict[str, Any]:
    return {"mean": mean, "sd": 0.01, "ci95": None if mean is None else [low, high], "each": [mean]}


def small_study() -> dict[str, Any]:
    points = [
        {"levels": [way, size], "runs": 3, "failed": [], "cells": [], "reports": 284, "scores": scores, "cost": {}}
        for way, size, scores in (
            ("LoRA", "100", {"repeated": score(0.25, 0.2, 0.3), "rouge1": score(0.5)}),
            ("LoRA", "all", {"repeated": score(None), "rouge1": score(0.6)}),
            ("full", "100", {"repeated": score(0.5, 0.4, 0.6), "rouge1": score(0.4)}),
        )
    ]
    lost = {"levels": ["full", "all"], "runs": 0, "failed": ["killed by signal 9"], "cells": [], "reports": 0}
    row = {"levels": ["full", "100"], "reference": ["LoRA", "100"], "p": 0.01, "p_holm": 0.02}
    return {
        "title": "Small & plain",
        "base": "tiny",
        "axes": {"tuning": ["LoRA", "full"], "reports": ["100", "all"]},
        "seeds": [0, 1, 2],
        "reference": {"tuning": "LoRA"},
        "measures": ["repeated", "rouge1"],
        "points": [*points, {**lost, "scores": {}, "cost": {}}],
        "comparisons": [
            {**row, "measure": "repeated", "difference": 0.25, "ci95": [0.1, 0.4], "verdict": "higher"},
            {**row, "measure": "rouge1", "difference": -0.1, "ci95": [-0.3, 0.1], "verdict": "not different"},
        ],
        "observations": None,
        "resamples": 2000,
        "permutations": 10_000,
    }


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study_pages", ROOT / "scripts" / "study_pages.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def disagreeing(docs: Path) -> list[str]:
    """The run files in a folder of pages whose page or plot says something else."""
    found = []
    for path in sorted(docs.glob("*.json")):
        study = read_json(path)
        words = read_study(ROOT / "studies" / f"{path.stem}.yaml").words
        made = {".md": render_page(study, words, path.stem), ".svg": render_plot(study)}
        if any(path.with_suffix(suffix).read_text() != text for suffix, text in made.items()):
            found.append(path.stem)
    return found


def test_committed_pages_say_what_their_run_files_say() -> None:
    assert disagreeing(ROOT / "docs" / "studies") == []


def test_a_page_that_was_changed_by_hand_is_found(tmp_path: Path) -> None:
    runs, docs = tmp_path / "runs", tmp_path / "docs"  # by the one design whose words ask for no figure
    write_json(runs / "peers" / "study.json", small_study())
    write_json(runs / "peers" / "run.json", {"command": "study"})
    assert script().write_page(ROOT / "studies" / "peers.yaml", runs, docs)
    assert not script().write_page(ROOT / "studies" / "noise.yaml", runs, docs)  # was not run
    assert sorted(path.name for path in docs.iterdir()) == ["peers.json", "peers.md", "peers.svg"]
    assert disagreeing(docs) == []
    page = docs / "peers.md"
    page.write_text(page.read_text().replace("25.0 (20.0-30.0)", "35.0 (20.0-30.0)"))
    assert disagreeing(docs) == ["peers"]


def test_a_figure_stands_with_its_interval_and_a_missing_one_is_a_dash() -> None:
    assert figures_table(small_study())[1:] == [
        ["LoRA", "100", "3", "25.0 (20.0-30.0)", "50.0 (10.0-90.0)"],
        ["LoRA", "all", "3", "-", "60.0 (10.0-90.0)"],
        ["full", "100", "3", "50.0 (40.0-60.0)", "40.0 (10.0-90.0)"],
        ["full", "all", "0 (1 failed)", "-", "-"],
    ]
    assert comparisons_table(small_study())[1:] == [["full", "100", "LoRA 100", "+25.0 higher", "-10.0 not different"]]


def test_words_take_their_figures_from_the_run_file() -> None:
    found = "{{ value('full', '100', measure='repeated') }} is {{ verdict('full', '100', measure='repeated') }}."
    page = render_page(small_study(), WORDS.model_copy(update={"found": found}), "small")
    assert "**What came out.** 50.0 (40.0-60.0) is higher." in page
    assert "full, all: killed by signal 9 (0 of 3 runs)." in page
    with pytest.raises(InputError, match="asks for a figure that is not there"):
        render_page(small_study(), WORDS.model_copy(update={"found": "{{ value('none', measure='rouge1') }}"}), "small")


def test_words_take_what_is_repeated_of_a_group_of_observations() -> None:
    words = WORDS.model_copy(update={"found": "{{ repeated_of('rare', 'full', '100') }}"})
    with pytest.raises(InputError, match="asks for a figure that is not there"):
        render_page(small_study(), words, "small")
    summaries = [{"positive": 7, "repeated": score(share), "invented": score(0.1)} for share in (0.2, 0.3, 0.4, None)]
    page = render_page({**small_study(), "observations": {"groups": {"rare": summaries}, "each": {}}}, words, "small")
    assert "**What came out.** 40.0 (10.0-90.0)" in page


def test_the_plot_shows_each_point_where_its_figure_is() -> None:
    plot = render_plot(small_study())
    assert "Small &amp; plain" in plot and "<script" not in plot
    first = plot[plot.index(">repeated") : plot.index(">ROUGE-1")]
    # The scale of the panel goes from 0 (y 194) to 60 (y 42): 25 and 50 lie in proportion.
    heights = [float(y) for y in re.findall(r'<circle [^>]*cy="([\d.]+)"', first)]
    squares = [float(y) + 3.5 for y in re.findall(r'<rect x="[\d.]+" y="([\d.]+)"', first)]
    assert heights == [pytest.approx(194 - 152 * 25 / 60, abs=0.1)]
    assert squares == [pytest.approx(194 - 152 * 50 / 60, abs=0.1)]
