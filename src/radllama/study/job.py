"""What one process of a study does: train a model, draft with it, score the drafts. By the functions of the verbs.

`python -m radllama.study.job FOLDER` reads FOLDER/job.json and goes on wherever it was stopped. Under torchrun all
processes train, and the first one drafts.
"""

import gc
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from radllama.console import note
from radllama.drafting.draft import DraftsReports, draft_file
from radllama.drafting.election import Voting
from radllama.drafting.load import load_drafter
from radllama.drafting.sampling import plan_sampling
from radllama.drafting.voting import load_voting
from radllama.errors import InputError
from radllama.evaluation.evaluate import Scoring, evaluate
from radllama.files import read_json, write_json
from radllama.recipe import Recipe
from radllama.run import read_run
from radllama.study.design import Drafting
from radllama.training.train import train

JOB_FILE, COST_FILE, FAILED_FILE, LOG_FILE = "job.json", "cost.json", "failed.json", "log.txt"
RUN_FOLDER, SCORES_FOLDER, DRAFTS_FILE = "run", "scores", "drafts.jsonl"
CELLS_FAILED = 3  # an exit code that Python itself does not use
_MB = 1e6


def run_job(folder: Path) -> int:
    """Do what `folder`/job.json says; returns how many cells failed, each with its reason in failed.json.

    Raises what a training raises: no cell can be drafted then.
    """
    job = read_json(folder / JOB_FILE)
    (folder / FAILED_FILE).unlink(missing_ok=True)
    model = job["model"]
    if job["training"]:
        _train(job["training"], folder)
        model = str(folder / RUN_FOLDER)
    if int(os.environ.get("RANK", "0")):
        return 0
    failed: dict[str, str] = {}
    for cell in job["cells"]:
        try:
            _draft_and_score(model, Path(cell["folder"]), cell, job["device"])
        except InputError as error:
            failed[cell["folder"]] = str(error)
        except Exception as error:  # a bug in one cell must not cost the others
            traceback.print_exc()
            failed[cell["folder"]] = f"{type(error).__name__}; its traceback stands in {folder / LOG_FILE}"
    if failed:
        write_json(folder / FAILED_FILE, failed)
    return len(failed)


def _train(training: dict[str, Any], folder: Path) -> None:
    """Train, and record what it cost; of a training that was interrupted the time is not known."""
    run = folder / RUN_FOLDER
    if read_run(run) and (folder / COST_FILE).exists():
        return
    undisturbed = not run.exists()
    import accelerate  # noqa: F401  (what any training loads is none of this one's memory)
    import peft  # noqa: F401

    before, began, cpu_began = _resident_mb(), time.monotonic(), time.process_time()
    facts = train(Recipe.model_validate(training["recipe"]), Path(training["data"]), run, resume=True)
    weights = [path for path in run.iterdir() if path.suffix == ".safetensors"]
    cost = {
        "seconds": round(time.monotonic() - began, 1) if undisturbed else None,
        "cpu_seconds": round(time.process_time() - cpu_began, 1) if undisturbed else None,
        "passes": training["passes"],
        "above_mb": round(_peak_mb() - before, 1) if undisturbed else None,
        "weights_mb": round(sum(path.stat().st_size for path in weights) / _MB, 3),
        "trainable": facts["trainable_parameters"],
        "parameters": facts["parameters"],
        "device": facts["device"],
        "machine": _machine(),
        "processes": facts["processes"],
    }
    if not int(os.environ.get("RANK", "0")):
        write_json(folder / COST_FILE, cost)
    gc.collect()
    with suppress(ImportError):
        import torch

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _draft_and_score(model: str, folder: Path, cell: dict[str, Any], device: str) -> None:
    scores = folder / SCORES_FOLDER
    if read_run(scores):
        return
    drafting = Drafting.model_validate(cell["drafting"])
    library = Path(cell["library"]) if cell["library"] else None
    sampling = plan_sampling(drafting.library, drafting.max_new_tokens, None, None, 1, 0)
    drafter = _load(model, drafting, library, device)
    began = time.monotonic()
    draft_file(drafter, Path(cell["reports"]), folder / DRAFTS_FILE, None, sampling)
    drafted = time.monotonic()
    found = evaluate(folder / DRAFTS_FILE, scores, Scoring(train=Path(cell["train"])))
    seconds = {"draft": round(drafted - began, 1), "evaluate": round(time.monotonic() - drafted, 1)}
    write_json(folder / COST_FILE, {"seconds": seconds, "reports": found["overall"]["n"]})


def _load(model: str, drafting: Drafting, library: Path | None, device: str) -> DraftsReports:
    if not drafting.asks_a_rival:
        drafter = load_drafter(model, device, drafting.engine)
        return load_voting(drafter, Voting(), library) if drafting.library else drafter
    from radllama.engines.openai import Endpoint
    from radllama.rivals.load import connect_rival, load_rival, read_examples

    examples = read_examples(library, drafting.shots) if library and drafting.shots else None
    if drafting.base_url is None:
        return load_rival(model, drafting.template, examples, drafting.tidy, device)
    endpoint = Endpoint(drafting.base_url, model, drafting.key_variable, drafting.request)
    return connect_rival(endpoint, drafting.template, examples, drafting.tidy)


def _machine() -> str:
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"a CPU, {torch.get_num_threads()} threads" if torch.get_num_threads() > 1 else "a CPU, one thread"


def _resident_mb() -> float:
    """What is in memory before a training: libraries, mostly."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.memory_allocated() / _MB
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MB
    return _peak_mb()


def _peak_mb() -> float:
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / _MB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MB if sys.platform == "darwin" else peak * 1024 / _MB


def main() -> None:
    """Run one job as a process; the exit code is CELLS_FAILED when cells failed, 2 when the training cannot be done."""
    try:
        sys.exit(CELLS_FAILED if run_job(Path(sys.argv[1])) else 0)
    except InputError as error:
        note(f"radllama: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()
