import importlib.util
import random
from pathlib import Path
from types import ModuleType

import pytest


def load() -> ModuleType:
    path = Path(__file__).parents[1] / "bench" / "corrupt.py"
    spec = importlib.util.spec_from_file_location("corrupt", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CORRUPT = load()
FINDINGS = (
    "Heart size is normal. Small left pleural effusion. A 9 mm nodule is seen in the right apex. No pneumothorax."
)
IMPRESSION = "1. Small left pleural effusion. 2. A 9 mm nodule in the right apex. 3. No pneumothorax."


def corrupt(kind: str, findings: str, impression: str, seed: int = 0) -> str | None:
    corrupted: str | None = CORRUPT.CORRUPTIONS[kind](findings, impression, random.Random(seed))
    return corrupted


@pytest.mark.parametrize("kind", sorted(set(CORRUPT.CORRUPTIONS) - {"omitted_other"}))
def test_each_kind_changes_the_impression_and_a_seed_repeats_it(kind: str) -> None:
    for seed in range(10):
        changed = corrupt(kind, FINDINGS, IMPRESSION, seed)
        assert changed is not None
        assert changed != IMPRESSION
        assert corrupt(kind, FINDINGS, IMPRESSION, seed) == changed


def test_a_side_is_swapped_where_the_findings_name_it_alone() -> None:
    assert corrupt("side", "Left effusion.", "Left effusion.") == "Right effusion."
    assert corrupt("side", "Left effusion. Small right effusion.", "Left effusion.") is None
    assert corrupt("side", "The heart is enlarged.", "Left effusion.") is None


def test_a_denial_is_flipped_where_the_findings_deny_it_too() -> None:
    assert corrupt("negation", "No pneumothorax. Left effusion.", "No pneumothorax.") == "Pneumothorax."
    assert corrupt("negation", "Left effusion.", "No pneumothorax.") is None


def test_a_size_is_never_changed_into_one_that_the_findings_have() -> None:
    findings = "Nodules of 9 mm and 18 mm."
    for seed in range(30):
        assert corrupt("measurement", findings, "A 9 mm nodule.", seed) not in ("A 9 mm nodule.", "A 18 mm nodule.")


def test_an_observation_that_goes_under_another_name_is_not_called_dropped() -> None:
    findings, impression = "Opacity at the left base.", "Opacity at the left base. Left basilar atelectasis."
    assert corrupt("omitted", findings, impression) is None
    assert corrupt("omitted", findings, "Opacity at the left base. Hernia.") == "Hernia."


@pytest.mark.parametrize("kind", ["prior", "recommendation"])
def test_what_a_section_already_says_is_not_added(kind: str) -> None:
    assert corrupt(kind, "Unchanged effusion. Recommend CT.", "Effusion.") is None


def test_list_numbers_are_counted_anew() -> None:
    for seed in range(10):
        changed = corrupt("recommendation", FINDINGS, IMPRESSION, seed)
        assert changed and " 4. " in changed and " 9. " not in changed
