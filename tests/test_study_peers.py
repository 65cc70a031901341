"""Models of two families and a served one beside a tuned one: one question, one scorer, with and without examples."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from endpoints import ModelServer, serve
from hub_models import tiny_models

from radllama.files import read_json, read_jsonl
from radllama.model import load_model
from radllama.study.cells import jobs_of
from radllama.study.design import read_study
from radllama.study.job import run_job
from radllama.study.pool import Places
from radllama.study.run import open_study, write_job
from radllama.study.write import write_study

PEERS = Path(__file__).parents[1] / "studies" / "peers.yaml"


@pytest.fixture
def models(tiny_base: Path, tmp_path: Path) -> dict[str, Path]:
    return tiny_models(tiny_base, tmp_path)


@pytest.fixture
def server(models: dict[str, Path]) -> Iterator[ModelServer]:
    with serve(load_model(str(models["llama"]))) as running:
        yield running


def test_peers_are_scored_beside_ours(
    models: dict[str, Path], lively_base: Path, server: ModelServer, dataset: Path, tmp_path: Path
) -> None:
    """The committed study, its systems replaced by two tiny chat models and a server on loopback."""
    values = yaml.safe_load(PEERS.read_text())
    values["settings"] |= {"recipe": str(PEERS.parent / values["settings"]["recipe"]), "draft": {"max_new_tokens": 6}}
    values["axes"]["system"] = {
        "ours": {},
        "a Llama": {"base": str(models["llama"]), "draft": {"template": "chat"}},
        "a Qwen": {"base": str(models["qwen2"]), "draft": {"template": "chat"}},
        "served": {"base": "tiny", "draft": {"base_url": server.url}},
    }
    values["axes"]["examples"] = {"none": {}, "2 nearest": {"draft": {"shots": 2}}}
    path = tmp_path / "peers.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    study = read_study(path, base=str(lively_base))
    progress = open_study(study, {"openi": dataset}, tmp_path / "out")
    for model, cells in jobs_of(progress.cells).items():
        assert run_job(write_job(model, cells, progress.folders, Places((), 1, 1, 1))) == 0
    found = write_study(progress, tmp_path / "out" / "peers")
    assert [point["runs"] for point in found["points"]] == [1] * 8
    assert len({tuple(row["levels"]) for row in found["comparisons"]}) == 7
    prompts = {}
    for cell in progress.cells:
        [(_, first), *_] = read_jsonl(progress.folders.cell(cell) / "drafts.jsonl")
        prompts[cell.levels] = first["prompt"]
    assert prompts["a Llama", "none"] == prompts["a Qwen", "none"] == prompts["served", "none"]
    assert prompts["served", "2 nearest"] == prompts["served", "none"] + "+2"
    assert "/v1/chat/completions" in {seen[0] for seen in server.seen}
    assert read_json(tmp_path / "out" / "peers" / "run.json")["failed"] == 0
