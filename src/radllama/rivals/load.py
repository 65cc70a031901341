"""From the name of a model, here or at an endpoint, to a rival that drafts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from radllama.console import note
from radllama.drafting.draft import MISSES_LIBRARY
from radllama.drafting.load import load_drafter
from radllama.engines import TRANSFORMERS
from radllama.engines.cassette import Cassette
from radllama.engines.openai import Asked, Endpoint, OpenAIEngine
from radllama.engines.transformers import TransformersEngine
from radllama.errors import InputError
from radllama.library import Neighbour
from radllama.library.asking import fit_budget
from radllama.library.folder import fingerprint, read_library
from radllama.model import load_model, load_tokenizer
from radllama.prompt import encode_text
from radllama.rivals.question import CHAT, Layout, Question, make_layout, render_text
from radllama.rivals.rival import Asking, Examples, Rival


def read_examples(library: Path, shots: int) -> Examples:
    """The `shots` nearest reports of a library folder, to be shown with each question."""
    return Examples(shots, read_library(library), fingerprint(library))


def load_rival(
    name: str,
    template: str | None = None,
    examples: Examples | None = None,
    tidying: bool = True,
    device: str = "auto",
    engine: str = TRANSFORMERS,
) -> Rival[str]:
    """A model of a folder or the hub, asked here; without a `template` in the one it was tuned with.

    Raises InputError for what `load_drafter` refuses, for `chat` where the model brings no chat template or the engine
    is another than transformers, and for examples that do not go with the template.
    """
    layout = make_layout(template) if template else None  # before the slow loading: mistakes are told at once
    if engine != TRANSFORMERS:
        return _load_converted(name, layout, examples, tidying, device, engine)
    model = load_model(name, device)
    layout = layout or Layout(model.prompt)
    layout.render_text(Question("Clear."), model.tokenizer)
    local = TransformersEngine(model.network, model.tokenizer, layout.encode)
    render = partial(layout.render_text, tokenizer=model.tokenizer)
    asking = Asking(local, render, model.name, layout.name, layout.prompt is not None, layout.tell)
    return Rival(asking, _choose_examples(examples, layout, local.count_tokens), tidying)


def _load_converted(
    name: str, layout: Layout | None, examples: Examples | None, tidying: bool, device: str, engine: str
) -> Rival[str]:
    if layout and not layout.prompt:
        # There a special token in a text is text like any other, so that none can be smuggled in.
        raise InputError(f"--template {CHAT} writes special tokens, which --engine {TRANSFORMERS} alone takes")
    drafter = load_drafter(name, device, engine)
    prompt = (layout and layout.prompt) or drafter.prompt
    layout = Layout(prompt)
    render = partial(render_text, prompt=prompt)
    asking = Asking(drafter.engine, render, drafter.name, layout.name, True, layout.tell)
    return Rival(asking, _choose_examples(examples, layout, drafter.engine.count_tokens), tidying)


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
    if examples and template and layout.prompt and layout.prompt.shelf:
        tokenizer = load_tokenizer(template)  # the endpoint's own is out of reach; what fits is counted by the model's
        examples = _choose_examples(examples, layout, lambda text: len(encode_text(tokenizer, text)))
    else:
        examples = _choose_examples(examples, layout)
    engine = OpenAIEngine(endpoint, Cassette(cassette) if cassette else None, offline)
    if not offline and not engine.address.is_loopback:
        how = "" if engine.address.is_encrypted else ", UNENCRYPTED"
        note(f"WARNING: findings leave this machine{how}: they are sent to {engine.address.host}")
    if cassette and not offline:
        note(f"{cassette}: records what is sent, findings included; keep it as you keep the reports")
    asking = Asking(engine, layout.render, engine.model_name, layout.name, layout.prompt is not None, layout.tell)
    return Rival(asking, examples, tidying, {"request": dict(endpoint.fields)})


def _choose_examples(
    examples: Examples | None, layout: Layout, count_tokens: Callable[[str], int] = len
) -> Examples | None:
    """The examples as the template shows them: in their place, as many as it was tuned with, or `shots` of them."""
    shelf = layout.prompt.shelf if layout.prompt else None
    if not examples:
        if shelf:
            note(MISSES_LIBRARY)
        return None
    if not shelf:
        if not examples.shots:
            raise InputError("draft: --library shows prior reports as examples here; say how many with --shots")
        return examples
    if examples.shots:
        raise InputError(f"draft: this template shows {shelf.count} prior reports by itself; leave out --shots")

    def within(near: Sequence[Neighbour]) -> Sequence[Neighbour]:
        return fit_budget(near, shelf, count_tokens)

    return replace(examples, shots=shelf.count, within=within)
