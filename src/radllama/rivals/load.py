"""From the name of a model, here or at an endpoint, to a rival that drafts."""

from functools import partial
from pathlib import Path

from radllama.console import note
from radllama.engines.cassette import Cassette
from radllama.engines.openai import Asked, Endpoint, OpenAIEngine
from radllama.engines.transformers import TransformersEngine
from radllama.library.folder import fingerprint, read_library
from radllama.model import load_model
from radllama.rivals.question import CHAT, Layout, Question, make_layout
from radllama.rivals.rival import Asking, Examples, Rival


def read_examples(library: Path, shots: int) -> Examples:
    """The `shots` nearest reports of a library folder, to be shown with each question."""
    return Examples(shots, read_library(library), fingerprint(library))


def load_rival(
    name: str, template: str | None = None, examples: Examples | None = None, tidying: bool = True, device: str = "auto"
) -> Rival[str]:
    """A model of a folder or the hub, asked here; without a `template` in the one it was tuned with.

    Raises InputError for what `load_model` refuses, and for `chat` where the model brings no chat template.
    """
    layout = make_layout(template) if template else None  # before the slow loading: mistakes are told at once
    model = load_model(name, device)
    layout = layout or Layout(model.prompt)
    layout.render_text(Question("Clear."), model.tokenizer)
    engine = TransformersEngine(model.network, model.tokenizer, layout.encode)
    render = partial(layout.render_text, tokenizer=model.tokenizer)
    return Rival(Asking(engine, render, model.name, layout.name, layout.prompt is not None), examples, tidying)


def connect_rival(
    endpoint: Endpoint,
    template: str | None = None,
    examples: Examples | None = None,
    tidying: bool = True,
    cassette: Path | None = None,
    offline: bool = False,
) -> Rival[Asked]:
    """A model served elsewhere; without a `template` it is asked in chat. Says when findings leave this machine."""
    layout = make_layout(template or CHAT)
    engine = OpenAIEngine(endpoint, Cassette(cassette) if cassette else None, offline)
    if not offline and not engine.address.is_loopback:
        how = "" if engine.address.is_encrypted else ", UNENCRYPTED"
        note(f"WARNING: findings leave this machine{how}: they are sent to {engine.address.host}")
    if cassette and not offline:
        note(f"{cassette}: records what is sent, findings included; keep it as you keep the reports")
    asking = Asking(engine, layout.render, engine.model_name, layout.name, layout.prompt is not None)
    return Rival(asking, examples, tidying, {"request": dict(endpoint.fields)})
