"""A model -> its form for CTranslate2: merged and converted in float32, checked, rounded, and kept beside it."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from radllama.console import note
from radllama.engines import CTRANSLATE2, NEAR_TIE, Completion, Engine, Sampling
from radllama.engines.ctranslate2 import CTranslate2Engine
from radllama.engines.manifest import MANIFEST_FILE, Manifest, Source, hash_files, read_manifest, write_manifest
from radllama.engines.place import Place, find_places
from radllama.engines.source import read_source
from radllama.engines.transformers import TransformersEngine
from radllama.errors import InputError
from radllama.files import write_folder_aside
from radllama.model import EMBEDDED, Model, fingerprint, load_model, model_folder

CHECKED_PROMPTS = 100
_GREEDY = Sampling(max_new_tokens=64)
_BATCH = 10  # prompts between two movements of the progress bar
_INSTEAD = "use --engine transformers"


def converted_folder(name: str, precision: str) -> Path:
    """The folder with a model's form for CTranslate2; made, checked and pinned now when it is not there.

    It lies in the model's folder ("ctranslate2-int8"), or in radllama's home where that cannot be written, or is
    the package's.
    Raises InputError for a model that CTranslate2 does not run as transformers does, and a form that was altered.
    """
    folder = model_folder(name)
    if folder is None:
        raise InputError(f"{name}: ctranslate2 needs the model in a folder (hf download {name} --local-dir FOLDER)")
    source = read_source(folder)
    beside, apart = places = find_places(folder, source, precision)
    for place in places:
        if place.holds(source):
            return place.folder
    # The package is not written to, even where it can be: it is what was installed.
    place = beside if name != EMBEDDED and os.access(folder, os.W_OK) else apart
    for stale in places:
        if (stale.folder / MANIFEST_FILE).exists():
            note(f"{stale.folder}: of other weights, of another version, or not pinned in {stale.pins}; it is not used")
    note(f"converting {name} for ctranslate2 ({precision}) into {place.folder}; this is done once")
    _remove_left_over(place.folder)
    convert_into(place, name, precision, source)
    return place.folder


def find_converted(name: str) -> list[Path]:
    """The conversions of a model, at any precision, that lie there whole; none for a name on the hub.

    Raises InputError for one that was altered.
    """
    folder = model_folder(name)
    if folder is None:
        return []
    source = read_source(folder)
    places = [place for precision in CTRANSLATE2.values() for place in find_places(folder, source, precision)]
    return [place.folder for place in places if place.holds(source)]


def convert_into(place: Place, name: str, precision: str, source: Source) -> None:
    """Convert a model into its place, and pin what was made."""
    with write_folder_aside(place.folder) as aside:
        convert(name, precision, source, aside)
        place.pin(aside / MANIFEST_FILE)  # before it takes its place: what lies there is never unpinned


def convert(name: str, precision: str, source: Source, out: Path) -> None:
    """Convert a model into the empty folder `out`, which is `source` now.

    On CHECKED_PROMPTS prompts of the sample hospital, the float32 form must write what transformers writes, but
    where rounding decides; only then is it rounded to `precision`. Raises InputError when it does not.
    """
    merged, exact, kept = (out / part for part in ("merged", "float32", precision))
    model = load_model(name, "cpu")
    reference = TransformersEngine(model.network, model.tokenizer)
    shared, prompts = model.prompt.beginning, _choose_prompts(name, model, reference)
    expected = _draft(reference, prompts)
    manifest = Manifest(
        source=source,
        fingerprint=fingerprint(model.network),
        precision="float32",
        ends=model.tokenizer.convert_ids_to_tokens(sorted(reference.ends)),
        context_tokens=reference.context_tokens,
        checked=len(prompts),
    )
    _write_merged(name, model, merged)
    del model, reference  # the converter loads the weights itself: both would need twice the memory

    _convert_folder(name, merged, exact, manifest)
    drafts = _draft(CTranslate2Engine(exact, shared), prompts)
    near_ties = _count_near_ties(name, expected, drafts)
    if precision != "float32":
        _convert_folder(name, merged, kept, replace(manifest, precision=precision))
        drafts = _draft(CTranslate2Engine(kept, shared), prompts)
    equal = sum(map(Completion.__eq__, drafts, expected))
    note(f"checked on {len(prompts)} prompts: {equal} drafts at {precision} are those of transformers")

    manifest = replace(read_manifest(kept), near_ties=near_ties, equal=equal)
    for path in kept.iterdir():
        path.rename(out / path.name)
    for folder in (merged, exact, kept):
        shutil.rmtree(folder, ignore_errors=True)
    write_manifest(out, manifest)


def _choose_prompts(name: str, model: Model, engine: Engine) -> list[str]:
    """Prompts of the sample hospital that leave room for a draft in the model's context."""
    from radllama.reports.sample import generate  # a quarter of a cold start, for what is done once

    room = engine.context_tokens - _GREEDY.max_new_tokens
    rendered = (model.prompt.render(one.findings, one.indication) for one in generate(4 * CHECKED_PROMPTS, seed=1))
    prompts = [prompt for prompt in rendered if engine.count_tokens(prompt) <= room][:CHECKED_PROMPTS]
    if len(prompts) < CHECKED_PROMPTS:
        raise InputError(f"{name}: its context is too short to check a conversion on; {_INSTEAD}")
    return prompts


def _draft(engine: Engine, prompts: Sequence[str]) -> list[Completion]:
    drafts: list[Completion] = []
    with tqdm(total=len(prompts), unit="prompt", desc=f"checking {engine.name}", file=sys.stderr) as bar:
        for at in range(0, len(prompts), _BATCH):
            drafts += [found[0] for found in engine.complete(prompts[at : at + _BATCH], _GREEDY)]
            bar.update(len(drafts) - at)
    return drafts


def _count_near_ties(name: str, expected: Sequence[Completion], drafts: Sequence[Completion]) -> int:
    """How many drafts differ where rounding decides. Raises InputError when one differs elsewhere."""
    differing = [one for one, other in zip(expected, drafts, strict=True) if one != other]
    near_ties = sum(one.margin is not None and one.margin < NEAR_TIE for one in differing)
    if wrong := len(differing) - near_ties:
        raise InputError(
            f"{name}: converted for ctranslate2 it drafts {wrong} of {len(drafts)} prompts otherwise than "
            f"transformers does; {_INSTEAD}"
        )
    return near_ties


def _write_merged(name: str, model: Model, folder: Path) -> None:
    """Write the whole model in float32, an adapter merged into its base, as a folder for the converter."""
    from transformers import GenerationConfig

    network = model.network
    if hasattr(network, "peft_config"):
        network = network.merge_and_unload()
    network.generation_config = GenerationConfig()  # some that are shipped contradict themselves and are not saved
    network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(f"{name}: its tokenizer has no fast form, which ctranslate2 needs here; {_INSTEAD}")
    backend.save(str(folder / "tokenizer.json"))  # as it is used, whatever was in the file that it came from


def _convert_folder(name: str, merged: Path, out: Path, manifest: Manifest) -> None:
    """Convert a whole model to the manifest's precision."""
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    try:
        TransformersConverter(str(merged), copy_files=["tokenizer.json"]).convert(
            str(out), quantization=manifest.precision
        )
    except (ValueError, NotImplementedError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{name}: ctranslate2 cannot run this architecture ({reason}); {_INSTEAD}") from None
    write_manifest(out, replace(manifest, files=hash_files(out), ctranslate2=ctranslate2.__version__))


def _remove_left_over(place: Path) -> None:
    """Remove what conversions that were killed have left beside `place`: it can be as large as the model."""
    for left in place.parent.glob(f".{place.name}.*.aside"):
        pid = left.name.removesuffix(".aside").rpartition(".")[2]
        try:
            os.kill(int(pid), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(left, ignore_errors=True)
        except PermissionError:  # alive, and another user's
            continue
