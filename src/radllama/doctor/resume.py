"""A checkpoint of an unfinished training: whether going on from it would go on, rather than begin anew."""

from pathlib import Path

from radllama.doctor.outcome import Outcome, failed, passed, skipped
from radllama.files import read_json

_ANEW = "remove the checkpoints folder and run the training again with --resume: it then begins anew, and says so"


def check_checkpoint(folder: Path) -> Outcome:
    """The newest checkpoint holds weights that learned, and an optimizer that has taken as many steps."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    steps = sorted(folder.glob("step-*"))
    if not steps:
        return skipped("the training has made no checkpoint yet")
    newest = steps[-1]
    try:
        state = read_json(newest / "state.json")
        weights = load_file(newest / "trainable.safetensors")
        moments = load_file(newest / "optimizer.safetensors")
    except (OSError, SafetensorError):
        return failed(f"{newest.name}: its weights or its optimizer are missing or broken", _ANEW)
    kept = {name.split(".")[0] for name in moments}
    if len(kept) != len(weights):
        return failed(
            f"{newest.name}: the optimizer remembers {len(kept)} of {len(weights)} weights; it would begin anew", _ANEW
        )
    if any("lora_B" in name for name in weights) and not any(
        bool(weight.any()) for name, weight in weights.items() if "lora_B" in name
    ):
        return failed(f"{newest.name}: the adapter is as it was before the first step", _ANEW)
    counted = {int(value) for name, value in moments.items() if name.endswith(".step")}
    if counted - {state["step"]}:
        return failed(
            f"{newest.name}: the optimizer has taken {min(counted)} steps, the training {state['step']}", _ANEW
        )
    return passed(f"would go on after step {state['step']} with its optimizer")
