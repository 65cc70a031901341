"""A real study in small: jobs in processes of their own, one that fails, and what is left behind."""

import signal
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import Run

from radllama.errors import InputError
from radllama.files import read_json, read_jsonl
from radllama.study import pool
from radllama.study.cells import make_cells
from radllama.study.data import Source
from radllama.study.design import read_study
from radllama.study.job import run_job
from radllama.study.plan import plan, render_study_plan
from radllama.study.pool import Places, claim, find_places, run_jobs
from radllama.study.run import Folders, open_study, write_job

RECIPE: dict[str, Any] = {
    "base": "mini",
    "prompt": {"template": "plain"},
    "lora": {"rank": 2, "alpha": 4, "dropout": 0.0},
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 0.02,
    "valid_drafts": 0,
    "keep": "last",
    "tracker": "none",
}
ONE = Places((), 1, 1, 1)


@pytest.fixture
def design(tiny_base: Path, tmp_path: Path) -> Path:
    (tmp_path / "tune.yaml").write_text(yaml.safe_dump(RECIPE))
    values = {
        "title": "Tuned, not tuned & broken",
        "words": {"asked": "Which?"},
        "datasets": {"ours": None},
        "base": str(tiny_base),
        "settings": {
            "recipe": "tune.yaml",
            "train_on": ["ours"],
            "draft_of": "ours",
            "reports": 16,
            "draft": {"max_new_tokens": 8},
        },
        "axes": {"way": {"tuned": {}, "untuned": {"tune": False}, "broken": {"set": {"lora.targets": ["nowhere"]}}}},
        "seeds": [0],
        "reference": {"way": "untuned"},
        "observations": True,
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def test_a_failed_cell_is_told_and_stops_no_other(design: Path, dataset: Path, tmp_path: Path, run: Run) -> None:
    command = ("study", design, "--data", f"ours={dataset}", "--out", tmp_path / "out", "--jobs", 2)
    done = run(*command)
    assert done.code == 1
    assert "broken, seed 0: FAILED: lora.targets: the base has no nowhere" in done.err
    study = read_json(tmp_path / "out" / "small" / "study.json")
    assert [(point["levels"], point["runs"]) for point in study["points"]] == [
        (["tuned"], 1),
        (["untuned"], 1),
        (["broken"], 0),
    ]
    assert study["points"][0]["cost"]["trainable"] < study["points"][0]["cost"]["parameters"]
    assert {tuple(row["levels"]) for row in study["comparisons"]} == {("tuned",)}
    assert study["observations"]["each"]["Pleural Effusion"]["train"] > 0
    ET.parse(tmp_path / "out" / "small" / "plot.svg")
    # No text of a report is in what may be published.
    text = (tmp_path / "out" / "small" / "study.json").read_text()
    assert not [row["findings"] for _, row in read_jsonl(dataset / "valid.jsonl") if row["findings"] in text]

    changed = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").rglob("scores.json")}
    assert len(changed) == 2
    planned = run(*command, "--plan")
    assert "2 runs finished, 1 to do" in planned.out
    assert "from the finished runs" in planned.out
    assert {path: path.stat().st_mtime_ns for path in changed} == changed


def test_a_killed_job_is_told_and_goes_on_where_it_stopped(design: Path, dataset: Path, tmp_path: Path) -> None:
    sources = {"ours": Source.read("ours", dataset)}
    cell = make_cells(read_study(design), sources)[0]
    folders = Folders(tmp_path / "out")
    folder = write_job(cell.model, [cell], folders, ONE)
    told: list[str | None] = []
    child = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    real = sys.executable
    with claim(folders.out) as lock, pytest.MonkeyPatch.context() as patch:
        script = tmp_path / "killed"
        script.write_text(f"#!/bin/sh\nexec {real} -c '{child}'\n")
        script.chmod(0o755)
        patch.setattr(sys, "executable", str(script))
        run_jobs([folder], ONE, lock, lambda _, why: told.append(why))
    assert told[0] is not None and told[0].startswith("killed by signal 9")
    assert run_job(folder) == 0
    assert (folders.scores(cell) / "run.json").exists()
    before = (folders.job(folder.name) / "run" / "run.json").stat().st_mtime_ns
    assert run_job(folder) == 0  # and does nothing again
    assert (folders.job(folder.name) / "run" / "run.json").stat().st_mtime_ns == before


def test_a_folder_is_one_study_s_at_a_time(design: Path, dataset: Path, tmp_path: Path, run: Run) -> None:
    with claim(tmp_path / "out"):
        done = run("study", design, "--data", f"ours={dataset}", "--out", tmp_path / "out")
    assert done.code == 2
    assert "still at work there" in done.err


def test_whoever_sends_findings_away_is_told(design: Path, dataset: Path, tmp_path: Path, run: Run) -> None:
    values = yaml.safe_load(design.read_text())
    values["axes"]["way"]["served"] = {"tune": False, "draft": {"base_url": "https://models.example/v1"}}
    design.write_text(yaml.safe_dump(values, sort_keys=False))
    with claim(tmp_path / "out"):
        done = run("study", design, "--data", f"ours={dataset}", "--out", tmp_path / "out")
    assert "WARNING: findings leave this machine: they are sent to models.example" in done.err


def test_a_plan_of_what_never_ran_comes_of_a_probe(design: Path, dataset: Path, tmp_path: Path) -> None:
    progress = open_study(read_study(design), {"ours": dataset}, tmp_path / "out")
    found = plan(progress, ONE)
    assert (found.cells, found.drafts, found.trainings, found.passes) == (3, 3, 2, 64)
    assert found.seconds is not None and found.seconds > 0
    assert "from a short probe" in render_study_plan(found)
    assert not (tmp_path / "out" / "models").exists()


def test_a_run_gets_one_gpu_or_as_many_as_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_visible_gpus", lambda: ["0", "1", "4"])
    assert (find_places(None, 1).gpus, find_places(None, 1).jobs) == ((("0",), ("1",), ("4",)), 3)
    assert (find_places(None, 2).gpus, find_places(None, 2).jobs) == ((("0", "1"),), 1)
    assert find_places(2, 1).jobs == 2
    with pytest.raises(InputError, match="there are 3 GPUs here"):
        find_places(None, 4)
    monkeypatch.setattr(pool, "_visible_gpus", lambda: [])
    assert (find_places(None, 1).jobs, find_places(None, 1).device) == (1, "cpu")


def test_mistakes_are_one_line(design: Path, dataset: Path, tmp_path: Path, run: Run) -> None:
    out = ("--out", tmp_path / "out")
    for arguments, told in (
        ((tmp_path / "none.yaml", *out), "no such study; complete ones stand in studies/"),
        ((design, *out), "give the study's dataset 'ours'"),
        ((design, *out, "--data", "ours"), "expected NAME=DATASET"),
        ((design, *out, "--data", f"ours={tmp_path}"), "not a dataset"),
        ((design, *out, "epochs"), "expected [LEVEL:]KEY=VALUE"),
    ):
        done = run("study", *arguments)
        assert (done.code, done.out) == (2, "")
        assert told in done.err.replace("\n", " ")


def test_two_processes_train_one_cell(design: Path, dataset: Path, tmp_path: Path) -> None:
    sources = {"ours": Source.read("ours", dataset)}
    cell = make_cells(read_study(design), sources)[0]
    folders = Folders(tmp_path / "out")
    folder = write_job(cell.model, [cell], folders, ONE)
    told: list[str | None] = []
    with claim(folders.out) as lock:
        run_jobs([folder], Places((), 1, 2, 1), lock, lambda _, why: told.append(why))
    assert told == [None], (folder / "log.txt").read_text()[-800:]
    assert read_json(folder / "cost.json")["processes"] == 2
    assert (folders.scores(cell) / "run.json").exists()
