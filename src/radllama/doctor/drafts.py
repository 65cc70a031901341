"""Checks of what is written: the same greedy drafts from the adapter, merged, converted and at the server."""

from collections.abc import Sequence
from math import comb
from pathlib import Path

from radllama.doctor.outcome import Outcome, failed, passed, skipped
from radllama.doctor.subject import DRAFT_TOKENS, Subject
from radllama.engines import NEAR_TIE, Completion
from radllama.engines.ctranslate2 import CTranslate2Engine
from radllama.engines.manifest import read_manifest
from radllama.model import model_folder
from radllama.weights import digest_weights

# bfloat16 keeps 8 bits: logits of 16 to 32 are 1/8 apart there. What is served at it may choose otherwise below that.
_SERVED_TIE = 0.25
_UNLIKELY = 0.001


def check_ends(subject: Subject) -> Outcome:
    """Drafts end by themselves."""
    ended = sum(one.finish_reason == "stop" for one in subject.drafts)
    if not ended:
        return failed(
            f"none of {len(subject.drafts)} drafts ended within {DRAFT_TOKENS} tokens: it never stops",
            "train with the end token taught (radllama does); a base that was not tuned is not drafted with",
        )
    return passed(f"{ended} of {len(subject.drafts)} drafts ended within {DRAFT_TOKENS} tokens")


def check_merged(subject: Subject) -> Outcome:
    """Merged into its base, the adapter drafts what it drafts beside it."""
    network = subject.model.network
    if not hasattr(network, "peft_config"):
        return skipped("a whole model: there is nothing to merge")
    expected = subject.drafts
    from radllama.engines.transformers import TransformersEngine

    network.merge_adapter()
    try:
        # A new engine: the old one keeps what it has computed of the shared beginning.
        found = subject.complete(
            TransformersEngine(network, subject.model.tokenizer, shared=subject.model.prompt.before)
        )
    finally:
        network.unmerge_adapter()
    return _compare(expected, found, NEAR_TIE, "merged", "serve the adapter unmerged, beside its base")


def check_converted(subject: Subject) -> Outcome:
    """The forms for CTranslate2 that lie there draft what the model drafts, but for what 8 bits round away."""
    subject.model  # noqa: B018  (skipped where it does not load)
    if not subject.converted:
        return skipped("no form for ctranslate2 of these weights; it is made and checked at first use")
    told = []
    for folder in subject.converted:
        outcome = _check_one_converted(subject, folder)
        if outcome.status != "pass":
            return outcome
        told.append(outcome.told)
    return passed("; ".join(told))


def check_served(subject: Subject) -> Outcome:
    """What the server drafts is what this model drafts."""
    served, expected = subject.served, subject.drafts
    if served is None:
        return skipped("no --url of a server to compare with")
    said, todo = served.describe() or {}, "point the server's --model at this folder and reload it (kill -HUP)"
    if said and said.get("prompt") != subject.model.prompt.name:
        return failed(
            f"{served.host} asks with the template {said.get('prompt')}, this model has {subject.model.prompt.name}",
            todo,
        )
    folder = model_folder(subject.name)
    if folder and said.get("weights_sha256") and said["weights_sha256"] != digest_weights(folder):
        return failed(f"{served.host} has other weights than this model", todo)
    found = subject.complete(served.engine)
    todo = "see that the server has this adapter, on this base, unmerged, and asks for it by name"
    return _compare(expected, found, _SERVED_TIE, f"{served.name} at {served.host}", todo)


def _check_one_converted(subject: Subject, folder: Path) -> Outcome:
    found = subject.complete(CTranslate2Engine(folder, subject.model.prompt.before))
    manifest, todo = read_manifest(folder), f"remove the folder {folder}: it is made and checked anew at next use"
    if manifest.precision == "float32":
        return _compare(subject.drafts, found, NEAR_TIE, folder.name, todo)
    equal = sum(one.text == other.text for one, other in zip(subject.drafts, found, strict=True))
    share = manifest.equal / manifest.checked if manifest.checked else 1.0
    if _chance_of_so_few(equal, len(found), share) < _UNLIKELY:
        return failed(
            f"{folder.name}: {equal} of {len(found)} drafts are the model's; when it was made, "
            f"{manifest.equal} of {manifest.checked} were",
            todo,
        )
    return passed(f"{folder.name}: {equal} of {len(found)} equal ({manifest.equal} of {manifest.checked} when made)")


def _compare(expected: Sequence[Completion], found: Sequence[Completion], tie: float, what: str, todo: str) -> Outcome:
    differing = [one for one, other in zip(expected, found, strict=True) if one.text != other.text]
    near = sum(one.margin is not None and one.margin < tie for one in differing)
    # Nearly every draft has a close choice somewhere; rounding decides few of them, another model many.
    if len(differing) > near or 2 * len(differing) > len(found):
        return failed(f"{what}: {len(differing)} of {len(found)} greedy drafts are others", todo)
    rounded = f" ({near} but for rounding)" if near else ""
    return passed(f"{what}: {len(found)} greedy drafts are equal{rounded}")


def _chance_of_so_few(equal: int, of: int, share: float) -> float:
    """The chance that so few or fewer are equal, when each is with probability `share` (binomial)."""
    return sum(comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(equal + 1))
