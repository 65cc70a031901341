"""What a command that leaves its sampling open gets, and that what is written about it says the same."""

from pathlib import Path
from typing import Any

import pytest
from command import Run

from radllama.drafting.sampling import SAMPLES, plan_sampling
from radllama.engines import Sampling
from radllama.errors import InputError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("arguments", "sampling"),
    [
        ((False, 64, None, None, 1, 0), Sampling(64)),
        ((True, 64, None, None, 1, 7), Sampling(64, 1.0, 7, samples=SAMPLES)),
        ((True, 64, 0.7, None, 1, 0), Sampling(64, 0.7, 0, samples=SAMPLES)),
        ((True, 64, 0.0, None, 1, 0), Sampling(64)),
        ((True, 64, None, None, 4, 0), Sampling(64, beams=4)),
        ((False, 64, None, 8, 1, 0), Sampling(64, 1.0, 0, samples=8)),
        ((True, 64, None, 1, 1, 0), Sampling(64)),
    ],
)
def test_what_a_command_leaves_open_is_the_best_setting(arguments: Any, sampling: Sampling) -> None:
    assert plan_sampling(*arguments) == sampling


def test_samples_at_temperature_zero_are_refused() -> None:
    with pytest.raises(InputError, match="several samples need a temperature above 0"):
        plan_sampling(True, 64, 0.0, 8, 1, 0)


@pytest.mark.parametrize("page", ["README.md", "docs/library.md", "docs/serve.md"])
def test_the_documents_name_the_default(page: str) -> None:
    assert f"{SAMPLES} samples" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("verb", ["draft", "serve"])
def test_the_help_names_the_default(run: Run, verb: str) -> None:
    told = " ".join(run(verb, "--help").out.split())
    assert f"{SAMPLES}]" in told[told.index("--samples") : told.index("--device")]
