"""The file of a study, and the cells that come of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from radllama.errors import InputError
from radllama.study.cells import Cell, Training, jobs_of, make_cells, trainings_of
from radllama.study.data import Source
from radllama.study.design import read_study

STUDIES = sorted((Path(__file__).parents[1] / "studies").glob("*.yaml"))
RECIPE = {"base": "mini", "prompt": {"template": "plain"}, "valid_drafts": 0, "keep": "last"}
VALUES: dict[str, Any] = {
    "title": "A study",
    "words": {"asked": "Which?"},
    "datasets": {"ours": None, "theirs": None},
    "base": "mini",
    "settings": {"recipe": "tune.yaml", "train_on": ["ours"], "draft_of": "ours"},
    "axes": {
        "tuning": {"LoRA": {}, "full": {"set": {"tuning": "full"}}, "none": {"tune": False}},
        "reports": {10: {"reports": 10}, 20: {"reports": 20}},
    },
    "seeds": [0, 1],
    "reference": {"tuning": "LoRA"},
}
SOURCES = {
    name: Source(name, Path(name), {"train": f"t-{name}", "valid": f"v-{name}"}, {"train": 40, "valid": 5})
    for name in ("ours", "theirs", "openi", "hospital", "archive")
}


def write(folder: Path, **changes: Any) -> Path:
    (folder / "tune.yaml").write_text(yaml.safe_dump(RECIPE))
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**VALUES, **changes}, sort_keys=False))
    return path


def cells_of(path: Path, *overrides: str, base: str | None = None) -> dict[tuple[str, ...], list[Cell]]:
    found: dict[tuple[str, ...], list[Cell]] = {}
    for cell in make_cells(read_study(path, overrides, base), SOURCES):
        found.setdefault(cell.levels, []).append(cell)
    return found


def training_of(cell: Cell) -> Training:
    assert isinstance(cell.model, Training)
    return cell.model


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_committed_studies_are_whole(path: Path) -> None:
    assert make_cells(read_study(path), SOURCES)
    assert path.read_text().startswith("# "), "say what it asks and which command runs it"


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        seeds=[1, 1],
        reference={"tuning": "lora"},
        measures=["rouge9"],
        settings={**VALUES["settings"], "draft_of": "mine"},
    )
    with pytest.raises(InputError) as told:
        read_study(path)
    for part in ("seeds: each one once", "no level 'lora'", "no 'rouge9'", "settings: no dataset 'mine'"):
        assert part in str(told.value)


def test_unknown_keys_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, jobs=3, settings={**VALUES["settings"], "report": 3, "draft": {"shot": 2}})
    with pytest.raises(InputError, match=r"settings\.report: no such setting.*jobs: no such setting"):
        read_study(path)
    path = write(tmp_path, settings={**VALUES["settings"], "draft": {"shot": 2}})
    with pytest.raises(InputError, match=r"draft: shot: no such setting"):
        read_study(path)


def test_wrong_recipes_are_all_told_before_anything_runs(tmp_path: Path) -> None:
    axes = {"rank": {"none": {"set": {"lora.rank": 0}}, "odd": {"set": {"lora.ranks": 2}}, "good": {}}}
    path = write(tmp_path, axes=axes, reference={"rank": "good"})
    with pytest.raises(InputError) as told:
        make_cells(read_study(path), SOURCES)
    assert "none: " in str(told.value) and "odd: " in str(told.value)


def test_cells_are_the_product_of_levels_and_seeds(tmp_path: Path) -> None:
    cells = cells_of(write(tmp_path))
    assert list(cells)[:2] == [("LoRA", "10"), ("LoRA", "20")]
    assert all([cell.seed for cell in found] == [0, 1] for found in cells.values())
    full = training_of(cells["full", "20"][1])
    assert (full.recipe.tuning, full.recipe.seed, full.selection.reports, full.passes) == ("full", 1, 20, 60)


def test_a_model_that_is_not_tuned_drafts_once_for_all_seeds(tmp_path: Path) -> None:
    cells = cells_of(write(tmp_path))
    untuned = [*cells["none", "10"], *cells["none", "20"]]
    assert all(cell.model == "mini" for cell in untuned)
    assert len({cell.name for cell in untuned}) == 1


def test_examples_come_from_the_training_reports_of_the_seed(tmp_path: Path) -> None:
    level = {"tune": False, "reports": 10, "draft": {"shots": 2, "template": "plain"}}
    cells = cells_of(write(tmp_path, axes={"way": {"shots": level, "LoRA": {}}}, reference={"way": "LoRA"}))
    assert len({cell.name for cell in cells["shots",]}) == 2


def test_what_two_variants_share_is_run_once(tmp_path: Path) -> None:
    same = {"a": {"set": {"lora.rank": 8}}, "b": {}, "c": {"draft": {"library": True}}}
    found = cells_of(write(tmp_path, axes={"x": same}, reference={"x": "a"}))
    cells = [cell for inner in found.values() for cell in inner]
    assert len(trainings_of(cells)) == 2
    assert [len(inner) for inner in jobs_of(cells).values()] == [2, 2]


def test_a_base_that_the_study_trains_comes_first(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**RECIPE, "tuning": "full"}))
    path = write(tmp_path, base={"recipe": "base.yaml", "train_on": ["theirs"]})
    cells = make_cells(read_study(path), SOURCES)
    first, *others = trainings_of(cells)
    assert first.selection.sources == (SOURCES["theirs"],)
    assert all(other.base == first for other in others)
    assert all(cell.model == first for cell in cells if cell.levels[0] == "none")
    [cell, _] = cells_of(path, base="other")["LoRA", "10"]
    assert (training_of(cell).recipe.base, training_of(cell).base) == ("other", None)


def test_overrides_reach_every_level_or_one(tmp_path: Path) -> None:
    cells = cells_of(write(tmp_path), "epochs=1", "full:learning_rate=1e-5", "LoRA:lora.rank=2")
    lora, full = training_of(cells["LoRA", "10"][0]).recipe, training_of(cells["full", "10"][0]).recipe
    assert (lora.epochs, lora.lora.rank, full.epochs, full.learning_rate) == (1, 2, 1, 1e-5)
    assert lora.learning_rate == 3e-4
    with pytest.raises(InputError, match="no level 'half'"):
        read_study(write(tmp_path), ["half:epochs=1"])


def test_a_later_axis_replaces_what_an_earlier_one_says(tmp_path: Path) -> None:
    axes = {"a": {"x": {"set": {"epochs": 2, "batch_size": 4}}}, "b": {"y": {"set": {"epochs": 5}}}}
    [cell, _] = cells_of(write(tmp_path, axes=axes, reference={"a": "x"}))["x", "y"]
    assert (training_of(cell).recipe.epochs, training_of(cell).recipe.batch_size) == (5, 4)
