"""What most tests share: a few synthetic reports, a dataset of them, and a tiny real Llama."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsers import browser  # noqa: F401  (a fixture)
from command import Run, make_run
from departments import department, department_folder, habits  # noqa: F401  (fixtures)
from hypothesis import HealthCheck, settings
from servers import serve, served_model  # noqa: F401  (fixtures)
from stores import database, home, postgres, store  # noqa: F401  (fixtures)

from radllama.dataset.build import build_dataset
from radllama.files import write_jsonl
from radllama.recipe import Scratch
from radllama.report import Report

# No test may reach the network beyond this machine; read once, when a test file imports transformers.
os.environ["HF_HUB_OFFLINE"] = "1"
# An example that waits for a library, or for a busy machine, is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is kept in the home of whoever runs the tests; what needs one of its own sets it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RADLLAMA_HOME", str(tmp_path_factory.mktemp("radllama-home")))
        yield


def make_reports(count: int, seed: int = 0) -> list[Report]:
    """Synthetic chest reports whose impression follows from the findings."""
    rng = random.Random(seed)
    reports = []
    for number in range(count):
        side, size = rng.choice(["left", "right"]), rng.choice(["Small", "Moderate", "Large"])
        abnormal = rng.random() < 0.6
        lungs = f"{size} {side} pleural effusion." if abnormal else "The lungs are clear."
        heart = rng.choice(["Heart size is normal.", "The heart is not enlarged.", "Normal cardiac silhouette."])
        reports.append(
            Report(
                id=str(number + 1),
                patient_id=f"p{number // 2}",
                findings=f"{heart} {lungs} No pneumothorax.",
                impression=f"{size} {side} effusion." if abnormal else "Normal chest.",
                indication=rng.choice(["Cough.", "Chest pain.", ""]),
                source="table",
            )
        )
    return reports


@pytest.fixture(scope="session")
def reports() -> list[Report]:
    return make_reports(40)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, reports: list[Report]) -> Path:
    """A dataset folder of the 40 reports, split 80/10/10 by patient."""
    folder = tmp_path_factory.mktemp("dataset")
    write_jsonl(folder / "reports.jsonl", (report.to_json() for report in reports))
    build_dataset("table", folder / "reports.jsonl", folder / "dataset", "random:3")
    return folder / "dataset"


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, reports: list[Report]) -> Path:
    """A Llama of some thousand random weights with a tokenizer of its own, in a folder."""
    from radllama.training.scratch import init_llama, train_tokenizer

    folder = tmp_path_factory.mktemp("base")
    shape = Scratch(vocab_size=400, hidden_size=32, intermediate_size=64, layers=2, heads=2, context_tokens=256)
    tokenizer = train_tokenizer((report.findings for report in reports), shape.vocab_size)
    init_llama(shape, tokenizer, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def plain_base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with a prompt that leaves room in its context."""
    from radllama.prompt import make_prompt, write_prompt

    folder = Path(shutil.copytree(tiny_base, tmp_path_factory.mktemp("plain") / "tiny"))
    write_prompt(make_prompt("plain"), folder)
    return folder


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What runs the tests that are coroutines (marked anyio)."""
    return "asyncio"


@pytest.fixture(scope="session")
def lively_base(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """The tiny base with weights so large that it writes varied text and no choice is near a tie."""
    import torch

    from radllama.model import load_base
    from radllama.prompt import make_prompt, write_prompt

    folder = tmp_path_factory.mktemp("lively") / "lively"
    network, tokenizer = load_base(str(tiny_base))
    torch.manual_seed(0)
    network.config.tie_word_embeddings = False
    network.lm_head.weight = torch.nn.Parameter(torch.randn(network.lm_head.weight.shape))
    for layer in network.model.layers:
        for weight in layer.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.3)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_prompt(make_prompt("plain"), folder)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `radllama` with these arguments in this process."""
    return make_run(monkeypatch, capfd)
