"""Training: what is learned, what is written, and that no kill changes the result."""

import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from departments import make_department
from processes import start
from safetensors.torch import load_file

from radllama.dataset.build import build_dataset
from radllama.drafting.load import load_drafter
from radllama.engines import Sampling
from radllama.errors import InputError
from radllama.files import read_json, read_jsonl, write_jsonl
from radllama.library.folder import build_library
from radllama.model import load_base, load_model
from radllama.recipe import Recipe
from radllama.report import Report, read_reports
from radllama.selection import learn_selection
from radllama.training.learner import Learner
from radllama.training.train import train

QUICK: dict[str, Any] = {
    "prompt": {"template": "plain"},
    "lora": {"rank": 4, "alpha": 8},
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 0.02,
    "valid_drafts": 2,
    "tracker": "none",
    "precision": "fp32",
}
SCRATCH: dict[str, Any] = {
    "base": "scratch",
    "tuning": "full",
    "scratch": {"vocab_size": 320, "hidden_size": 16, "intermediate_size": 32, "layers": 1, "heads": 2},
    "augment": {"copies": 0.5, "swap_sides": 0.5, "shuffle": 0.5, "drop": 0.3, "insert": 0.3},
    "averaging": 0.9,
    "label_smoothing": 0.1,
    "findings_loss": 0.3,
}


def recipe(base: Path | str, **changes: Any) -> Recipe:
    return Recipe.model_validate({"base": str(base), **QUICK, **changes})


@pytest.fixture(scope="module")
def lora_run(tiny_base: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished LoRA run with TensorBoard, and what train returned."""
    out = tmp_path_factory.mktemp("runs") / "lora"
    return out, train(recipe(tiny_base, tracker="tensorboard", evaluations=2), dataset, out)


@pytest.fixture(scope="module")
def scratch_run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run from scratch with augmentation, averaging and dropout."""
    out = tmp_path_factory.mktemp("runs") / "scratch"
    return out, train(recipe(**SCRATCH), dataset, out)


# What a run leaves


def test_a_finished_run_is_a_model_and_its_record(lora_run: tuple[Path, dict[str, Any]]) -> None:
    names = {path.name for path in lora_run[0].iterdir()}
    weights = {"adapter_config.json", "adapter_model.safetensors"}
    assert names == weights | {"prompt.json", "vocabulary.json", "run.json", "drafts", "log"}


def test_a_finished_run_from_scratch_is_a_whole_model(scratch_run: tuple[Path, dict[str, Any]]) -> None:
    names = {path.name for path in scratch_run[0].iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "prompt.json", "run.json", "drafts"} <= names
    assert not names & {"checkpoints", "recipe.json", "best.safetensors", "adapter_config.json"}


def test_the_run_file_says_what_was_done(
    lora_run: tuple[Path, dict[str, Any]], dataset: Path, tiny_base: Path, reports: list[Report]
) -> None:
    out, returned = lora_run
    run = read_json(out / "run.json")
    assert run["command"] == "train"
    assert run["settings"]["base"] == str(tiny_base)
    assert run["settings"]["learning_rate"] == 0.02
    assert run["data"].keys() == {"train.jsonl", "valid.jsonl"}
    sizes = {part: len(list(read_jsonl(dataset / f"{part}.jsonl"))) for part in ("train", "valid")}
    assert run["examples"] == sizes
    assert sizes["train"] > 20
    assert run["dropped"] == {}
    assert run["step"] == 2 * -(-sizes["train"] // 8)
    assert run["trainable_parameters"] == 2 * 2 * (4 * 32 + 32 * 4)
    assert run["parameters"] > run["trainable_parameters"]
    assert run["packing"] == "shared"
    assert run["processes"] == 1
    assert run["precision"] == "float32"
    assert run["prompt"].startswith("plain@")
    assert run["packages"].keys() >= {"torch", "transformers", "peft"}
    assert {key: run[key] for key in returned} == json.loads(json.dumps(returned))


def test_a_model_that_read_prior_reports_says_so_and_drafts_with_a_library(
    tiny_base: Path, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    neighbours = {"count": 2, "budget_tokens": 40, "dropout": 0.3}
    run = train(recipe(tiny_base, neighbours=neighbours, epochs=1), dataset, out)
    assert run["settings"]["neighbours"] == {"findings": False, "nearest": "last", **neighbours}
    counts = run["neighbours_in_prompts"]
    assert counts["shown"] > 0
    assert counts["shown"] + counts["left_out"] == 2 * sum(run["examples"].values())
    (drafts,) = (out / "drafts").iterdir()
    assert all(row["shown"] for _, row in read_jsonl(drafts))
    drafter = load_drafter(str(out), "cpu").with_library(build_library(dataset, tmp_path / "library"))
    assert drafter.ask("Small left pleural effusion. The heart is large.").shown


def test_tensorboard_files_are_written(lora_run: tuple[Path, dict[str, Any]]) -> None:
    assert list((lora_run[0] / "log").rglob("events.out.tfevents.*"))


def test_validation_drafts_can_be_read_after_every_evaluation(lora_run: tuple[Path, dict[str, Any]]) -> None:
    out, run = lora_run
    steps = [entry["step"] for entry in run["history"]]
    assert len(steps) == 4
    assert sorted(path.name for path in (out / "drafts").iterdir()) == [f"step-{step:07d}.jsonl" for step in steps]
    rows = [row for _, row in read_jsonl(out / "drafts" / f"step-{steps[-1]:07d}.jsonl")]
    assert len(rows) == 2
    assert all(row["reference"] and row["model"] == "in-training" for row in rows)


def test_the_loss_falls(lora_run: tuple[Path, dict[str, Any]], scratch_run: tuple[Path, dict[str, Any]]) -> None:
    for _, run in (lora_run, scratch_run):
        losses = [entry["loss"] for entry in run["history"]]
        assert losses[-1] < losses[0]
        assert all(0 <= entry["rouge1"] <= 1 for entry in run["history"])


def test_only_the_adapter_learns_under_lora(lora_run: tuple[Path, dict[str, Any]], tiny_base: Path) -> None:
    weights = load_file(lora_run[0] / "adapter_model.safetensors")
    assert len(weights) == 2 * 2 * 2
    assert all("lora_" in name for name in weights)
    assert all(weight.any() for weight in weights.values())
    base, adapted = load_base(str(tiny_base))[0], load_model(str(lora_run[0])).network
    own = {name.replace(".base_layer", ""): p for name, p in adapted.get_base_model().named_parameters()}
    assert all(torch.equal(own[name], weight) for name, weight in base.named_parameters())


def test_everything_learns_under_full_tuning(tiny_base: Path, dataset: Path, tmp_path: Path) -> None:
    train(recipe(tiny_base, tuning="full", epochs=1, learning_rate=0.005), dataset, tmp_path / "run")
    before, after = (load_base(str(path))[0] for path in (tiny_base, tmp_path / "run"))
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert not torch.equal(old, new), name


def test_the_model_drafts_what_training_taught_it(dataset: Path, tmp_path: Path) -> None:
    shape = {"vocab_size": 320, "hidden_size": 48, "intermediate_size": 96, "layers": 2, "heads": 2, "dropout": 0}
    taught = recipe(
        "scratch", tuning="full", scratch=shape, epochs=30, learning_rate=0.01, valid_drafts=0, weight_decay=0.0
    )
    train(taught, dataset, tmp_path / "run")
    drafter = load_drafter(str(tmp_path / "run"))
    completion = drafter.draft("Heart size is normal. The lungs are clear. No pneumothorax.", "", Sampling(20))
    assert completion.text == "Normal chest."
    assert completion.finish_reason == "stop"


# Which weights are kept


def checkpoints_seen(monkeypatch: pytest.MonkeyPatch, scores: list[float], figure: str) -> list[dict[str, Any]]:
    """Let validation report these scores in turn; collects the weights as they were then."""
    from radllama.training import train as module

    seen: list[dict[str, Any]] = []
    real = module._Training._validate
    left = list(scores)

    def validate(self: Any) -> str:
        seen.append({name: p.detach().clone() for name, p in self.network.named_parameters() if p.requires_grad})
        value = left.pop(0)
        if figure == "rouge1":
            self._draft = lambda _reports: value
        else:
            self.learner.loss = lambda _examples: value
        return real(self)

    monkeypatch.setattr(module._Training, "_validate", validate)
    return seen


@pytest.mark.parametrize(
    ("keep", "scores", "best"),
    [("loss", [3.0, 1.0, 2.0], 1), ("rouge1", [0.5, 0.2, 0.5], 0), ("last", [1.0, 3.0, 2.0], 2)],
)
def test_the_kept_weights_are_those_of_the_best_validation(
    tiny_base: Path,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keep: str,
    scores: list[float],
    best: int,
) -> None:
    seen = checkpoints_seen(monkeypatch, scores, "loss" if keep == "last" else keep)
    run = train(recipe(tiny_base, keep=keep, epochs=3, batch_size=32), dataset, tmp_path / "run")
    saved = load_file(tmp_path / "run" / "adapter_model.safetensors")
    for name, weight in seen[best].items():
        assert torch.equal(saved[name.replace(".default", "")], weight)
    if keep == "last":
        assert run["best"] is None
    else:
        assert run["best"]["step"] == run["history"][best]["step"]


# What cannot be trained on


def refused(chosen: Recipe, data: Path, out: Path, resume: bool = False) -> str:
    with pytest.raises(InputError) as error:
        train(chosen, data, out, resume)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_reports_that_do_not_fit_are_counted(
    tiny_base: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(dataset, tmp_path / "data"))
    rows = [row for _, row in read_jsonl(data / "train.jsonl")]
    for row in rows[:3]:
        row["findings"] = row["findings"] * 60
    write_jsonl(data / "train.jsonl", rows)
    run = train(recipe(tiny_base, epochs=1, context_tokens=200, batch_size=32), data, tmp_path / "run")
    assert run["dropped"] == {"longer than context_tokens": 3}
    assert run["examples"]["train"] == len(rows) - 3
    assert "dropped 3 reports: longer than context_tokens=200" in capsys.readouterr().err


def test_when_nothing_fits_the_recipe_is_told_and_the_folder_stays_free(
    tiny_base: Path, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    told = refused(recipe(tiny_base, context_tokens=16), dataset, out)
    assert told == "no training report fits context_tokens=16; raise it"
    train(recipe(tiny_base, epochs=1, batch_size=32), dataset, out)


def test_without_valid_reports_there_is_no_best(tiny_base: Path, dataset: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(dataset, tmp_path / "data"))
    (data / "valid.jsonl").unlink()
    told = refused(recipe(tiny_base), data, tmp_path / "run")
    assert told == "keep: loss needs valid reports, and the dataset has none; set keep: last"
    run = train(recipe(tiny_base, keep="last", epochs=1, batch_size=32), data, tmp_path / "run")
    assert run["examples"]["valid"] == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"base": "/no/base"}, "/no/base: no such folder"),
        ({"lora": {"targets": ["nothing"]}}, "lora.targets: the base has no nothing"),
        ({"tracker": "nothing"}, "tracker: nothing is not installed here; choose tensorboard"),
    ],
)
def test_a_recipe_that_cannot_start_leaves_the_folder_free(
    tiny_base: Path, dataset: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    assert refused(
        Recipe.model_validate({"base": str(tiny_base), **QUICK, **changes}), dataset, tmp_path / "run"
    ).startswith(told)
    assert not list((tmp_path / "run").glob("*"))


def test_a_dataset_that_is_none_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    assert "not a dataset" in refused(recipe(tiny_base), tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_is_told(tiny_base: Path, dataset: Path, tmp_path: Path) -> None:
    wild = recipe(tiny_base, learning_rate=1e30, warmup_share=0, schedule="constant", clip_norm=1e30)
    told = refused(wild, dataset, tmp_path / "run")
    assert told.startswith("step 2: the loss is ")
    assert told.endswith("; lower learning_rate or set precision: fp32")


def test_an_occupied_folder_is_refused(tiny_base: Path, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    for resume in (False, True):
        assert "holds other files" in refused(recipe(tiny_base), dataset, tmp_path, resume)
    assert (tmp_path / "letter.txt").read_text() == "mine"


def test_a_finished_run_is_not_overwritten(
    lora_run: tuple[Path, dict[str, Any]], tiny_base: Path, dataset: Path
) -> None:
    told = refused(recipe(tiny_base, tracker="tensorboard", evaluations=2), dataset, lora_run[0])
    assert told == f"{lora_run[0]}: holds a run already; pass --resume to go on with it, or choose another --out"


def test_resuming_a_finished_run_does_nothing(
    lora_run: tuple[Path, dict[str, Any]], tiny_base: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in lora_run[0].rglob("*")}
    run = train(recipe(tiny_base, tracker="tensorboard", evaluations=2), dataset, lora_run[0], resume=True)
    assert run["step"] == lora_run[1]["step"]
    assert "has finished already; nothing to do" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in lora_run[0].rglob("*")} == before


def test_resuming_with_another_recipe_names_what_changed(
    lora_run: tuple[Path, dict[str, Any]], tiny_base: Path, dataset: Path
) -> None:
    told = refused(recipe(tiny_base, learning_rate=0.01, seed=5), dataset, lora_run[0], resume=True)
    assert "was begun with another learning_rate, evaluations, tracker, seed; resume it with the same" in told


def test_resuming_with_another_dataset_is_refused(
    lora_run: tuple[Path, dict[str, Any]], tiny_base: Path, dataset: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(dataset, tmp_path / "data"))
    write_jsonl(data / "train.jsonl", [row for _, row in read_jsonl(data / "train.jsonl")][:-1])
    told = refused(recipe(tiny_base, tracker="tensorboard", evaluations=2), data, lora_run[0], resume=True)
    assert "was begun with another dataset; resume it with the same" in told


# Kill it at any moment: the result is the same


def resume(values: dict[str, Any], data: Path, out: Path) -> None:
    train(Recipe.model_validate(values), data, out, resume=True)


def wait_for_step(process: Any, out: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while process.is_alive() and time.monotonic() < deadline:
        if any(int(path.name[5:]) >= step for path in (out / "checkpoints").glob("step-*")):
            return
        time.sleep(0.002)
    pytest.fail(f"no checkpoint of step {step}")


@pytest.mark.parametrize("kind", ["lora", "scratch"])
def test_kill_and_resume_gives_the_bytes_of_an_undisturbed_run(
    kind: str, tiny_base: Path, dataset: Path, tmp_path: Path
) -> None:
    own: dict[str, Any] = {"base": str(tiny_base)} if kind == "lora" else SCRATCH
    values = {**QUICK, **own, "epochs": 6, "evaluations": 2, "valid_drafts": 1}
    weights = "adapter_model.safetensors" if kind == "lora" else "model.safetensors"
    told = tmp_path / "told"
    undisturbed = start(told, resume, values, dataset, tmp_path / "undisturbed")
    undisturbed.join()
    assert undisturbed.exitcode == 0, told.read_text()[-500:]

    killed = tmp_path / "killed"
    rng = random.Random(kind)
    for step in sorted(rng.sample(range(1, 15), 3)):
        process = start(told, resume, values, dataset, killed)
        wait_for_step(process, killed, step)
        time.sleep(rng.random() * 0.05)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    last = start(told, resume, values, dataset, killed)
    last.join()
    assert last.exitcode == 0, told.read_text()[-500:]
    assert told.read_text().count("going on after step") == 3

    one, other = tmp_path / "undisturbed", killed
    for name in (weights, "prompt.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    runs = [read_json(folder / "run.json") for folder in (one, other)]
    assert runs[0]["history"] == runs[1]["history"]
    assert runs[0]["best"] == runs[1]["best"]
    drafts = [{path.name: path.read_bytes() for path in (folder / "drafts").iterdir()} for folder in (one, other)]
    assert drafts[0] == drafts[1]
    assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}


def test_resuming_in_the_same_process_gives_the_same_weights(
    tiny_base: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by an error at every step in turn, so that no step's place matters."""
    chosen = recipe(tiny_base, epochs=1, evaluations=2, valid_drafts=0)
    train(chosen, dataset, tmp_path / "whole")
    real: Callable[..., float] = Learner.step
    for at in range(1, 4):
        out = tmp_path / f"stopped-{at}"

        def stop(self: Any, examples: Any, step: int, rate: float, at: int = at) -> float:
            if step == at:
                raise MemoryError
            return real(self, examples, step, rate)

        monkeypatch.setattr(Learner, "step", stop)
        with pytest.raises(MemoryError):
            train(chosen, dataset, out)
        monkeypatch.setattr(Learner, "step", real)
        train(chosen, dataset, out, resume=True)
        name = "adapter_model.safetensors"
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# Other families

FAMILIES = ["Llama", "Mistral", "Qwen3", "Gemma2", "Gemma3"]


def make_family(family: str, folder: Path, base: Path) -> Any:
    import transformers

    suffix = "TextConfig" if family == "Gemma3" else "Config"
    _, tokenizer = load_base(str(base))
    config = getattr(transformers, family + suffix)(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    network = getattr(transformers, f"{family}ForCausalLM")(config)
    for weight in network.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.5)  # so that what a token sees shows in the loss
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return network


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_are_packed_and_trained(family: str, tiny_base: Path, dataset: Path, tmp_path: Path) -> None:
    make_family(family, tmp_path / "base", tiny_base)
    chosen = recipe(tmp_path / "base", epochs=1, batch_size=64, valid_drafts=1)
    run = train(chosen, dataset, tmp_path / "run")
    assert run["packing"] == "shared"
    assert run["step"] == 1
    assert load_model(str(tmp_path / "run")).prompt.template == "plain"


def test_a_state_space_model_is_trained_one_example_a_row(
    tiny_base: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    _, tokenizer = load_base(str(tiny_base))
    torch.manual_seed(0)
    config = MambaConfig(vocab_size=len(tokenizer), hidden_size=16, state_size=4, num_hidden_layers=2, expand=2)
    config.eos_token_id = tokenizer.eos_token_id
    network = MambaForCausalLM(config)
    for weight in network.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=0.5)
    network.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    chosen = recipe(tmp_path / "base", epochs=1, batch_size=64, valid_drafts=1, lora={"targets": ["in_proj"]})
    run = train(chosen, dataset, tmp_path / "run")
    assert run["packing"] == "alone"
    assert "one example a row" in capsys.readouterr().err


def test_activation_checkpointing_changes_nothing(tiny_base: Path, dataset: Path, tmp_path: Path) -> None:
    for name, on in (("with", True), ("without", False)):
        chosen = recipe(tiny_base, epochs=1, batch_size=16, valid_drafts=0, activation_checkpointing=on)
        train(chosen, dataset, tmp_path / name)
    one, other = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("with", "without"))
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


# Sentences told


def test_what_a_run_tells_is_learned_recorded_and_drafted_with(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "reports.jsonl", (report.to_json() for report in make_department()))
    build_dataset("table", tmp_path / "reports.jsonl", tmp_path / "data", "random:0")
    chosen = recipe(**{**SCRATCH, "prompt": {"template": "plain", "tell": 0.4}, "epochs": 1})
    train(chosen, tmp_path / "data", tmp_path / "run")
    prompt = load_drafter(str(tmp_path / "run")).prompt
    assert prompt.selection == learn_selection(list(read_reports(tmp_path / "data" / "train.jsonl")), 0.4)
    drafter = load_drafter(str(tmp_path / "run"))
    effusion = "There is a small left pleural effusion. The lungs are otherwise clear."
    assert drafter.draft(effusion).text.startswith("Small left pleural effusion.")
    assert "".join(drafter.stream(effusion)).startswith("Small left pleural effusion.")
    lines = [line for _, line in read_jsonl(next((tmp_path / "run" / "drafts").iterdir()))]
    assert all(line["draft"].startswith(prompt.tell(line["findings"])) for line in lines)
    line = lines[0]
    assert line["prompt"] == prompt.name == read_json(tmp_path / "run" / "run.json")["prompt"]


def test_reports_that_teach_nothing_of_what_to_tell_are_refused(dataset: Path, tmp_path: Path) -> None:
    # In these reports every sentence that asserts something is taken up.
    with pytest.raises(InputError, match=r"prompt\.tell: the training reports teach nothing"):
        train(recipe(**{**SCRATCH, "prompt": {"template": "plain", "tell": 0.4}}), dataset, tmp_path / "run")
