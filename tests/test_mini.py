"""The model in the package: there, small, safe to load, and good enough to be worth embedding."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from radllama.drafting.draft import Drafter
from radllama.drafting.load import load_drafter
from radllama.engines import Sampling
from radllama.errors import InputError
from radllama.model import EMBEDDED, model_folder
from radllama.report import Report
from radllama.reports.sample import generate


@pytest.fixture(scope="module")
def folder() -> Path:
    found = model_folder(EMBEDDED)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def drafter() -> Drafter:
    return load_drafter()


def draft(drafter: Drafter, findings: str) -> str:
    return drafter.draft(findings).text.lower()


def test_it_is_a_llama_in_safetensors_of_at_most_16_megabytes(folder: Path) -> None:
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    assert (folder / "model.safetensors").exists()
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= 16e6


def test_its_card_says_what_it_is_not_for_and_whose_terms_hold(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "Not for patients" in card
    assert "CC BY-NC-ND 4.0" in card


def test_it_was_made_by_the_committed_recipe(folder: Path) -> None:
    from radllama.recipe import Recipe, read_recipe

    recipe = read_recipe(Path(__file__).parents[1] / "recipes" / "mini.yaml")
    settings = json.loads((folder / "run.json").read_text())["settings"]
    assert Recipe.model_validate(settings) == recipe  # a setting that came later has its default


def test_anyone_on_the_machine_may_read_it(folder: Path) -> None:
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in folder.rglob("*"))


def test_no_path_of_the_machine_that_made_it_is_inside(folder: Path) -> None:
    for path in folder.rglob("*.json"):
        assert not re.search(r'"/\w+/\w+', path.read_text())


def test_a_normal_chest_is_called_normal_in_a_few_words(drafter: Drafter) -> None:
    text = draft(drafter, "The heart is normal in size. The lungs are clear. No pneumothorax or pleural effusion.")
    assert text.startswith(("no ", "normal", "negative", "1. no", "clear"))
    assert len(text.split()) < 15


@pytest.mark.parametrize("side", ["left", "right", "bilateral"])
def test_an_effusion_reaches_the_draft_with_its_side_and_size(drafter: Drafter, side: str) -> None:
    findings = f"Heart size is normal. There is a large {side} pleural effusion. No pneumothorax."
    assert draft(drafter, findings).startswith(f"large {side} pleural effusion.")


def test_it_comes_to_an_end_on_reports_of_another_hospital(drafter: Drafter) -> None:
    reports = [Report(str(at), None, study.findings, "") for at, study in enumerate(generate(30, seed=5))]
    drafts = [draft for batch in drafter.draft_batches(reports, Sampling()) for draft in batch.values()]
    assert {draft.finish_reason for draft in drafts} == {"stop"}


def test_findings_beyond_its_context_are_refused_not_cut(drafter: Drafter) -> None:
    with pytest.raises(InputError, match="context"):
        drafter.draft("The lungs are clear. " * 2000)


def test_its_name_in_drafts_tells_which_weights_they_were(drafter: Drafter) -> None:
    name: Any = drafter.name
    assert name.startswith("mini@")
    assert drafter.prompt.template == "plain"
