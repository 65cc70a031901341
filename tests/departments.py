"""A department of synthetic reports whose radiologists have habits: they repeat effusions, and hardly a granuloma."""

import random
from pathlib import Path

import pytest

from radllama.files import write_jsonl
from radllama.library import Library
from radllama.library.folder import build_library
from radllama.library.habits import Habits, learn_habits
from radllama.report import Report

NORMAL = "No acute cardiopulmonary abnormality."
_QUIET = ["The lungs are otherwise clear.", "No pneumothorax.", "The mediastinum is unremarkable."]


def make_department(count: int = 160, seed: int = 0) -> list[Report]:
    """Effusions are always repeated and never called clear, a large heart mostly, a granuloma once in ten times."""
    rng = random.Random(seed)
    reports = []
    for number in range(count):
        findings, told = [rng.choice(_QUIET)], []
        if rng.random() < 0.3:
            side, size = rng.choice(["left", "right"]), rng.choice(["small", "moderate", "large"])
            findings.append(f"There is a {size} {side} pleural effusion.")
            told.append(f"{size.capitalize()} {side} pleural effusion.")
        if rng.random() < 0.3:
            findings.append("The heart is enlarged.")
            told += ["Cardiomegaly."] if rng.random() < 0.75 else []
        if rng.random() < 0.5:
            findings.append("There is a calcified granuloma in the right lung.")
            told += ["Calcified granuloma."] if rng.random() < 0.1 else []
        if not any("effusion" in sentence for sentence in told):
            told.append(NORMAL)
        rng.shuffle(findings)
        reports.append(Report(str(number), f"p{number // 2}", " ".join(findings), " ".join(told), source="table"))
    return reports


@pytest.fixture(scope="session")
def department() -> Library:
    """Its reports as a library."""
    return Library.build(make_department(), "bm25")


@pytest.fixture(scope="session")
def department_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same library on disk."""
    folder = tmp_path_factory.mktemp("department")
    write_jsonl(folder / "train.jsonl", (report.to_json() for report in make_department()))
    build_library(folder, folder / "lib")
    return folder / "lib"


@pytest.fixture(scope="session")
def habits(department: Library) -> Habits:
    """What it repeats."""
    learned = learn_habits(department)
    assert learned is not None
    return learned
