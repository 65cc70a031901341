"""From a model's name and an engine's to a drafter."""

from radllama.drafting.draft import Drafter
from radllama.engines.transformers import TransformersEngine
from radllama.model import EMBEDDED, load_model


def load_drafter(name: str = EMBEDDED, device: str = "auto") -> Drafter:
    """A drafter of the named model (see `load_model`), in the engine of that name."""
    model = load_model(name, device)
    return Drafter(TransformersEngine(model.network, model.tokenizer), model.prompt, model.name)
