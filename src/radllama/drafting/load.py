"""From a model's name and an engine's to a drafter."""

from radllama.drafting.abstain import read_vocabulary
from radllama.drafting.draft import Drafter
from radllama.engines import CTRANSLATE2, ENGINES, TRANSFORMERS
from radllama.errors import InputError
from radllama.model import EMBEDDED, load_model, model_folder, model_name, prompt_of


def load_drafter(name: str = EMBEDDED, device: str = "auto", engine: str | None = None) -> Drafter:
    """A drafter of the named model (see `load_model`) in the named engine (ENGINES).

    Without a name it is `ctranslate2-int8` for the embedded model, which lies converted in the package, and
    `transformers` for every other. Raises InputError for what the engine cannot run.
    """
    if engine is None:
        engine = "ctranslate2-int8" if name == EMBEDDED and device in ("auto", "cpu") else TRANSFORMERS
    vocabulary = read_vocabulary(model_folder(name))
    if engine == TRANSFORMERS:
        from radllama.engines.transformers import TransformersEngine

        model = load_model(name, device)
        return Drafter(
            TransformersEngine(model.network, model.tokenizer, shared=model.prompt.beginning),
            model.prompt,
            model.name,
            vocabulary,
        )
    if engine not in CTRANSLATE2:
        raise InputError(f"--engine {engine}: there is no such engine; choose one of {', '.join(ENGINES)}")
    if device not in ("auto", "cpu"):
        raise InputError(f"--engine {engine} runs on the CPU; for --device {device} use --engine {TRANSFORMERS}")
    from radllama.engines.convert import converted_folder
    from radllama.engines.ctranslate2 import CTranslate2Engine
    from radllama.engines.manifest import read_manifest

    folder = converted_folder(name, CTRANSLATE2[engine])
    prompt = prompt_of(model_folder(name))
    fingerprint = read_manifest(folder).fingerprint
    return Drafter(CTranslate2Engine(folder, prompt.beginning), prompt, model_name(name, fingerprint), vocabulary)
