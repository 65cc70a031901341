"""Training speed: radllama against TRL and transformers, alternating, on the same base, adapter and examples.

    python bench/train.py                  the embedded model, then a 110 M Llama; ends with a RESULT line
    python bench/train.py --shape 7b       Llama 2 7B's shape with random weights and the paper's batch, on a GPU
    python bench/train.py --search         which of TRL's settings are its best here

Reports are the sample hospital's (synthetic). Every system trains on, a stretch of steps at a time, each in a
process of its own; only one computes at any moment. The roofline is what the same device reaches on a large
matrix product in the same run. All compute in bfloat16, or all in float32 where the hardware has no bfloat16.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train_systems import PEERS, Plan, run

from radllama.dataset.build import build_dataset, read_split
from radllama.model import load_base, model_folder
from radllama.prompt import Example, make_prompt
from radllama.reports.sample import write_sample
from radllama.training.examples import Encoder
from radllama.training.packing import build_blocks, shared_beginning
from radllama.training.plan import find_device
from radllama.training.start import choose_precision

REPORTS, BATCH, REPEATS = 600, 16, 5
# The fastest of these in the run stands for TRL's best; --search times every setting that we know of.
TRL_CANDIDATES = ("trl_alike", "trl_alike_4x4", "trl_packed_512")
SEARCHED_AT_ONCE = 4  # so many of TRL's settings beside ours
SYSTEMS = ("radllama", "trl_default", *TRL_CANDIDATES, "trainer")
LOSS_TOLERANCE = 0.05  # of the mean over a run: packed rows meet the examples in another order
LLAMA_INSTRUCTION = 60  # tokens of the paper's template under Llama 2's tokenizer
LLAMAS = {
    "110m": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12},
    "7b": {"hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32, "num_attention_heads": 32},
}


@dataclass
class Runs:
    """What a system did: examples/s of every stretch, its losses, its peak memory."""

    speeds: list[float]
    losses: list[float]
    peak_mb: float = 0.0


def main() -> None:
    """Print the tables, then the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", nargs="+", choices=("embedded", *LLAMAS), default=["embedded", "110m"])
    parser.add_argument("--search", action="store_true", help="time TRL's settings instead")
    parser.add_argument("--settings", nargs="+", choices=PEERS, help="with --search: these alone")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", choices=("cpu", "cuda"), default=find_device().kind)
    options = parser.parse_args()
    result: dict[str, Any] = {"threads": options.threads, "device": options.device}
    with tempfile.TemporaryDirectory() as folder:
        for shape in options.shape:
            plan = make_plan(shape, Path(folder) / shape, options.threads, options.device)
            describe(shape, plan)
            if options.search:
                search(plan, options.settings or [name for name in PEERS if name.startswith("trl_")])
                continue
            runs, peaks = alternate(SYSTEMS, plan, options.repeats)
            print_table(runs)
            result |= figures(runs, peaks, plan, "" if shape == "embedded" else f"_{shape}")
    if not options.search:
        print("RESULT", json.dumps(result))


def make_plan(shape: str, folder: Path, threads: int, device: str) -> Plan:
    """A shape's base and examples, its steps and stretches. A GPU's are longer: it is faster."""
    folder.mkdir()
    examples = encode_sample(folder)
    longer = 4 if device == "cuda" else 1
    if shape == "embedded":
        return Plan(str(model_folder("mini")), examples, BATCH, 8 * longer, 6 * longer, threads, device)
    base = save_llama(LLAMAS[shape], folder / "base")
    examples = [shorter(example, examples) for example in examples]
    return Plan(base, examples, 128 if shape == "7b" else BATCH, longer, longer, threads, device)


def search(plan: Plan, settings: Sequence[str]) -> None:
    """Print how fast TRL is with each of its settings, a few at once beside radllama."""
    for at in range(0, len(settings), SEARCHED_AT_ONCE):
        runs, _ = alternate(("radllama", *settings[at : at + SEARCHED_AT_ONCE]), plan, 2)
        print_table(runs)


def encode_sample(folder: Path) -> list[Example]:
    """The sample hospital's training reports as the embedded model's tokens under the paper's template."""
    table = write_sample(folder, REPORTS, seed=1)
    columns = {"accession": "id", "mrn": "patient_id", "report": "report"}
    build_dataset("table", table, folder / "dataset", "random:0", columns)
    _, tokenizer = load_base("mini")
    encoder = Encoder(make_prompt("paper"), tokenizer, context_tokens=1024)
    return encoder.encode_all(list(read_split(folder / "dataset", "train")))[1]


def shorter(example: Example, examples: Sequence[Example]) -> Example:
    """With an instruction of as many tokens as Llama 2's tokenizer makes of it; mini's makes more."""
    extra = len(shared_beginning(examples)) - LLAMA_INSTRUCTION
    return Example(example.prompt_ids[:1] + example.prompt_ids[1 + extra :], example.completion_ids)


def save_llama(shape: dict[str, int], folder: Path) -> str:
    """A Llama of random weights in bfloat16, as bases are published, with Llama 2's vocabulary."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(0)
    tied = shape["hidden_size"] < 1024  # as small models are; 110 million weights with one table
    config = LlamaConfig(vocab_size=32_000, max_position_embeddings=1024, tie_word_embeddings=tied, **shape)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    load_base("mini")[1].save_pretrained(folder)
    return str(folder)


def describe(name: str, plan: Plan) -> None:
    """Print the sizes of the examples."""
    shared, count = len(shared_beginning(plan.examples)), len(plan.examples)
    rest = sum(len(e.prompt_ids) - shared for e in plan.examples) / count
    learned = sum(len(e.completion_ids) for e in plan.examples) / count
    print(
        f"\n{name}: {count} examples; instruction {shared} tokens, findings {rest:.0f}, impression {learned:.0f} on "
        f"average; {plan.batch} examples a step, {plan.stretch_steps} steps a stretch, {plan.threads} threads"
    )


def alternate(systems: Sequence[str], plan: Plan, repeats: int) -> tuple[dict[str, Runs], list[float]]:
    """Let every system train its stretches in turn, with the peak of matrix products (operations/s) before each."""
    runs = {name: Runs([], []) for name in systems}
    peaks = []
    with start(systems, plan) as connections:
        for repeat in range(repeats):
            peaks.append(measure_peak(plan.threads, plan.device))
            # Another order every time: nobody always follows the same neighbour.
            for name in [*systems[repeat % len(systems) :], *systems[: repeat % len(systems)]]:
                connections[name].send(True)
                told = receive(name, connections[name])
                runs[name].speeds.append(told["examples_per_s"])
                runs[name].losses += told["losses"]
                runs[name].peak_mb = told["peak_mb"]
    return runs, peaks


@contextmanager
def start(systems: Sequence[str], plan: Plan) -> Iterator[dict[str, Any]]:
    """A warmed-up process for each system, waiting for the word."""
    context = multiprocessing.get_context("spawn")
    connections: dict[str, Any] = {}
    processes = []
    try:
        for name in systems:
            connections[name], its = context.Pipe()
            processes.append(context.Process(target=run, args=(name, plan, its)))
            processes[-1].start()
            receive(name, connections[name])
        yield connections
    finally:
        for process in processes:
            process.kill()
            process.join()


def receive(name: str, connection: Any) -> dict[str, Any]:
    """What a process tells after a stretch."""
    told: dict[str, Any] = connection.recv()
    if "error" in told:
        raise SystemExit(f"{name}: {told['error']}")
    return told


def measure_peak(threads: int, device: str) -> float:
    """Operations a second of a matrix product in the precision that is trained in, the best of ten."""
    import torch

    torch.set_num_threads(threads)
    dtype = getattr(torch, choose_precision("auto"))
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        product = a @ b
        product[0, 0].item()  # waits for a GPU
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def print_table(runs: dict[str, Runs]) -> None:
    """A row for each system."""
    print(f"{'system':20} {'examples/s':>10}  {'all stretches':38} {'peak MB':>8} {'mean loss':>10}")
    for name, run_ in runs.items():
        each = " ".join(f"{speed:.1f}" for speed in run_.speeds)
        loss = statistics.fmean(run_.losses)
        print(f"{name:20} {statistics.median(run_.speeds):10.1f}  {each:38} {run_.peak_mb:8.0f} {loss:10.3f}")


def figures(runs: dict[str, Runs], peaks: Sequence[float], plan: Plan, suffix: str) -> dict[str, Any]:
    """Ratios, each of stretches that followed one another, their spreads, and the roofline's share."""
    ours = runs["radllama"]
    found: dict[str, Any] = {f"examples_per_s{suffix}": round(statistics.median(ours.speeds), 1)}
    best = max(TRL_CANDIDATES, key=lambda name: statistics.median(runs[name].speeds))
    found[f"trl_best{suffix}"] = best
    for other, label in ((best, "trl_best"), ("trl_default", "trl_default"), ("trainer", "trainer")):
        ratios = [mine / its for mine, its in zip(ours.speeds, runs[other].speeds, strict=True)]
        found |= spread(f"ratio_vs_{label}{suffix}", ratios)
        off = statistics.fmean(runs[other].losses) / statistics.fmean(ours.losses) - 1
        if abs(off) > LOSS_TOLERANCE:
            raise SystemExit(f"{other}: its mean loss is {off:+.1%} off ours; this is not the same training")
    shares = [operations_an_example(plan) * speed / peak for speed, peak in zip(ours.speeds, peaks, strict=True)]
    return (
        found
        | spread(f"roofline_share{suffix}", shares)
        | {
            f"peak_gflops{suffix}": round(statistics.median(peaks) / 1e9),
            f"peak_mb{suffix}": {name: round(run_.peak_mb) for name, run_ in runs.items()},
            f"mean_loss{suffix}": {name: round(statistics.fmean(run_.losses), 3) for name, run_ in runs.items()},
        }
    )


def operations_an_example(plan: Plan) -> float:
    """4 for each weight and unique token: forward, and backward through the frozen base to the activations.

    The vocabulary projection counts for learned tokens only. Padding, attention and the adapters are not
    counted; what the first layer and the last leave out is not taken off.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(plan.base))
    inside = sum(p.numel() for p in network.get_decoder().layers.parameters())
    head = network.get_output_embeddings().weight.numel()
    batches = range(0, len(plan.examples) - plan.batch + 1, plan.batch)
    operations = 0.0
    for at in batches:
        batch = plan.examples[at : at + plan.batch]
        shared = len(shared_beginning(batch))
        unique = shared + sum(len(example) - shared for example in batch)
        learned = sum(block.target.numel() for block in build_blocks(batch, 1 << 20))
        operations += 4 * (inside * unique + head * learned)
    return operations / (len(batches) * plan.batch)


def spread(name: str, values: Sequence[float]) -> dict[str, Any]:
    """The median, and the least and the greatest."""
    low, high = min(values), max(values)
    return {name: round(statistics.median(values), 3), f"{name}_spread": [round(low, 3), round(high, 3)]}


if __name__ == "__main__":
    main()
