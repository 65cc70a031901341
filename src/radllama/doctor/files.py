"""Checks of the files of a model: whether it loads, holds something, and stands on what it was tuned on."""

from radllama.doctor.outcome import Outcome, failed, passed, skipped
from radllama.doctor.subject import Subject
from radllama.errors import InputError
from radllama.model import ADAPTER_CONFIG, ADAPTER_WEIGHTS, fingerprint, load_base, weights_folder
from radllama.prompt import PROMPT_FILE, read_prompt
from radllama.weights import check_base_weights, check_weights

_COPY = "copy the run folder again from where it was trained, or train again into a new folder"


def check_loads(subject: Subject) -> Outcome:
    """The model is whole, finished, and can be loaded."""
    try:
        model = subject.load()
    except InputError as error:
        return failed(str(error), "mend this first: the checks that need the model are skipped")
    return passed(f"{model.name}, {model.network.num_parameters():,} parameters")


def check_adapter(subject: Subject) -> Outcome:
    """The adapter changes something: a file of a few hundred bytes loads without a word and drafts like the base."""
    if not (subject.here / ADAPTER_CONFIG).exists():
        return skipped("a whole model, without an adapter")
    from safetensors import SafetensorError, safe_open

    path = subject.here / ADAPTER_WEIGHTS
    try:
        with safe_open(path, "pt") as file:
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (OSError, SafetensorError):
        return failed(f"no {path.name}, or a broken one", _COPY)
    if not held:
        return failed(f"{path.name} ({path.stat().st_size} bytes) holds no tensor", _COPY)
    learned = [name for name, tensor in held.items() if "lora_B" in name and bool(tensor.any())]
    if not learned:
        return failed(f"all {len(held)} tensors of {path.name} leave the base as it is", _COPY)
    if broken := [name for name, tensor in held.items() if not bool(tensor.isfinite().all())]:
        return failed(f"{len(broken)} tensors of {path.name} hold numbers that are none", _COPY)
    return passed(f"{len(held)} tensors, {len(learned)} that change the base")


def check_base(subject: Subject) -> Outcome:
    """The base is the one that the adapter was tuned on, not only one of its shape."""
    if subject.base is None:
        return skipped("a whole model, without a base")
    recorded = subject.trained.get("base_fingerprint")
    try:
        network, _ = load_base(subject.base)
    except InputError as error:
        return failed(str(error), "put the base back where the run file names it")
    if fingerprint(network, subject.trained["settings"].get("tuning") == "qlora") != recorded:
        return failed(
            f"the model at {subject.base} is not the one that this adapter was tuned on",
            "put back the base that was there at training, or train again on this one",
        )
    return passed(f"{subject.base}, as at training")


def check_hashes(subject: Subject) -> Outcome:
    """The weights of the model, and of its base, are to the byte those that the training recorded."""
    pinned = [check_weights(subject.here)]
    if subject.base and (place := weights_folder(subject.base)):
        pinned.append(check_base_weights(subject.here, place))
    if not any(pinned):
        return skipped("its run file pins no hashes: it is from elsewhere, or from an older radllama")
    return passed("the weights" + (" and those of the base" if len(pinned) > 1 and pinned[1] else "") + ", to the byte")


def check_template(subject: Subject) -> Outcome:
    """The prompt beside the model is the one that it was tuned with."""
    path = subject.here / PROMPT_FILE
    if not path.exists():
        return failed(
            f"no {PROMPT_FILE}: the paper's template would be taken, whatever the model was tuned with",
            f"copy {PROMPT_FILE} from the run that made the model",
        )
    try:
        prompt = read_prompt(subject.here)
    except InputError as error:
        return failed(str(error), "copy it again from the run that made the model")
    probe = "Findings that stand nowhere else."
    if probe not in prompt.render(probe) or "{impression}" not in prompt.completion:
        return failed(f"{PROMPT_FILE} leaves out the findings or the impression", f"copy {PROMPT_FILE} again")
    recorded = subject.run.get("prompt") if subject.run else None
    if recorded is None:
        return passed(f"{prompt.name}; no record to compare it with")
    if prompt.name != recorded:
        return failed(
            f"{PROMPT_FILE} is {prompt.name}, the model was tuned with {recorded}: the template was edited",
            f"copy {PROMPT_FILE} again from the run that made the model",
        )
    return passed(f"{prompt.name}, as at training")


def check_resume(subject: Subject) -> Outcome:
    """A training that was interrupted went on, with its optimizer, from where it stopped; none began anew unseen."""
    checkpoints = subject.here / "checkpoints"
    if checkpoints.is_dir():
        from radllama.doctor.resume import check_checkpoint

        return check_checkpoint(checkpoints)
    run = subject.trained
    steps = [entry["step"] for entry in run.get("history", [])]
    settings, examples = run["settings"], run["examples"]["train"]
    planned = -(-(examples + round(settings["augment"]["copies"] * examples)) // settings["batch_size"])
    planned *= settings["epochs"]
    if run["step"] != planned:
        return failed(
            f"ended after {run['step']} steps of {planned}", "train again with --resume, or into a new folder"
        )
    if steps != sorted(set(steps)) or (steps and steps[-1] != planned):
        return failed(
            "the record of its validations goes back: a resumed run began anew", "train again into a new folder"
        )
    return passed(f"{planned} steps, one after the other, {len(steps)} validations")
