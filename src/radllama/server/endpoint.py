"""From an endpoint's address to an assistant that drafts with the model served there."""

from dataclasses import dataclass
from pathlib import Path

from radllama.console import note
from radllama.drafting.draft import Drafter
from radllama.drafting.election import Voting
from radllama.drafting.sampling import plan_sampling
from radllama.drafting.voting import load_voting
from radllama.engines.openai import KEY_VARIABLE, Endpoint, OpenAIEngine, list_models
from radllama.errors import InputError
from radllama.library.folder import fingerprint, read_department
from radllama.rivals.question import CHAT, make_layout
from radllama.server.assistant import Assistant
from radllama.server.chat import ChatAssistant, Department

_ATTEMPTS = 2  # a request here has a deadline; who asks may ask again
_CONCURRENCY = 16  # samples written at once, of one draft or several


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where the model is served, its name there (None: the only one), how it is asked, and for how long at most."""

    base_url: str
    served_model: str | None = None
    template: str = CHAT
    key_variable: str = KEY_VARIABLE
    timeout_s: float = 30.0


def connect_assistant(
    where: Elsewhere, library: Path | None = None, samples: int | None = None
) -> Assistant | ChatAssistant:
    """What a worker loads. Raises InputError for what does not answer, has no such model, and no library.

    With the template `chat` it takes instructions and conversations; with a template of text, as a model tuned for
    impressions has, it drafts.
    """
    layout = make_layout(where.template)
    model = where.served_model or _only_model(where)
    engine = OpenAIEngine(
        Endpoint(
            where.base_url,
            model,
            where.key_variable,
            concurrency=_CONCURRENCY,
            timeout_s=where.timeout_s,
            attempts=_ATTEMPTS,
        )
    )
    if not engine.address.is_loopback:
        how = "" if engine.address.is_encrypted else ", UNENCRYPTED"
        note(f"WARNING: findings leave this machine{how}: they are sent to {engine.address.host}")
    voters = plan_sampling(True, 1, None, samples, 1, 0).samples
    if layout.prompt is None:
        prior, habits = read_department(library) if library else (None, None)
        return ChatAssistant(engine, Department(prior, habits, fingerprint(library) if library else ""), voters)
    drafter = Drafter(engine, layout.prompt, engine.model_name)
    if library or voters > 1:
        drafter = load_voting(drafter, Voting(), library)
    return Assistant(drafter, samples=voters)


def _only_model(where: Elsewhere) -> str:
    models = list_models(where.base_url, where.key_variable)
    if len(models) != 1:
        told = ", ".join(models[:5]) or "none"
        raise InputError(f"{where.base_url}: serves {len(models)} models ({told}); name one with --served-model")
    return models[0]
