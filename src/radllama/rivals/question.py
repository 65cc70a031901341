"""What a model is asked that was not tuned here: one instruction, whole examples, the findings.

The same question goes to a local model and to an endpoint: as messages, around which the model's own chat template
is laid, or as a text in one of our templates, which the model continues.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radllama.errors import InputError
from radllama.library import Neighbour
from radllama.prompt import INSTRUCTION, PROMPT_FILE, TEMPLATES, Prompt, encode_text, make_prompt, read_prompt

CHAT = "chat"
_ASKED = f"{INSTRUCTION}. Answer with the impression alone."
_FINDINGS = "Findings: {findings}"
# Variables that chat templates read. Without them some write today's date into the prompt (Llama 3), which would be
# another prompt every day, and some think aloud before they answer (Qwen 3), which takes the tokens of the draft.
_TEMPLATE_VARIABLES = {"date_string": "26 Jul 2024", "enable_thinking": False}

Message = dict[str, str]  # {"role": "user" or "assistant", "content": text}


@dataclass(frozen=True, slots=True)
class Question:
    """The findings of one report, and the examples shown before them: prior reports, the nearest last.

    The indication is shown where a template of text has a line for it; to chat models it is not.
    """

    findings: str
    indication: str = ""
    examples: tuple[Neighbour, ...] = ()
    dropped: int = 0  # examples that did not fit

    def without_farthest(self) -> "Question":
        """The question with one example less; examples are whole or not there."""
        return replace(self, examples=self.examples[1:], dropped=self.dropped + 1)


@dataclass(frozen=True, slots=True)
class Layout:
    """How questions are laid out: `prompt` is None for messages, else the template of a text."""

    prompt: Prompt | None = None

    @property
    def name(self) -> str:
        """The template's name and a short hash of its words, as drafts record it."""
        if self.prompt is not None:
            return self.prompt.name
        return f"{CHAT}@{hashlib.sha256((_ASKED + _FINDINGS).encode()).hexdigest()[:8]}"

    def tell(self, question: Question) -> str:
        """How the impression begins before the model's first word (see `Prompt.tell`)."""
        return self.prompt.tell(question.findings) if self.prompt else ""

    def render(self, question: Question) -> str | list[Message]:
        """What an endpoint is sent: messages, or a text to continue."""
        return render_messages(question) if self.prompt is None else render_text(question, self.prompt)

    def render_text(self, question: Question, tokenizer: Any) -> str:
        """What a local model is given, to be encoded by `encode`. Raises InputError without a chat template."""
        if self.prompt is not None:
            return render_text(question, self.prompt)
        if not getattr(tokenizer, "chat_template", None):
            raise InputError(
                f"the model brings no chat template; ask it in a text: --template {' or '.join(TEMPLATES)}"
            )
        return _lay_template(render_messages(question), tokenizer)

    def encode(self, tokenizer: Any, text: str) -> list[int]:
        """Token ids of a rendered text: special tokens are what a chat template writes, and nothing else."""
        if self.prompt is not None:
            return encode_text(tokenizer, text)
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]  # the template has written them
        return ids


def make_layout(template: str) -> Layout:
    """`chat`, one of the templates of text, or the one in a model's folder. Raises InputError for another name."""
    if template == CHAT:
        return Layout()
    if template in TEMPLATES:
        return Layout(make_prompt(template))
    if (Path(template) / PROMPT_FILE).is_file():
        return Layout(read_prompt(Path(template)))
    raise InputError(
        f"no template {template!r}; there are {CHAT}, {', '.join(TEMPLATES)}, or a model's folder with a {PROMPT_FILE}"
    )


def render_messages(question: Question) -> list[Message]:
    """The instruction and the examples as turns of a conversation that has gone well so far.

    Only user and assistant speak, by turns: many chat templates know no system, or refuse two turns of one side.
    """
    messages: list[Message] = []
    for example in question.examples:
        messages += [_user(example.findings), {"role": "assistant", "content": example.impression.strip()}]
    messages.append(_user(question.findings))
    messages[0]["content"] = f"{_ASKED}\n\n{messages[0]['content']}"
    return messages


def render_text(question: Question, prompt: Prompt) -> str:
    """The examples as the template renders them with their impressions, then the findings; a blank line between.

    A template that has a place for prior reports shows them there, as the model was tuned to read them.
    """
    if prompt.shelf:
        return prompt.render(question.findings, question.indication, neighbours=question.examples[::-1])
    blocks = [
        prompt.render(example.findings) + prompt.render_completion(example.impression, example.findings)
        for example in question.examples
    ]
    return "\n\n".join([*blocks, prompt.render(question.findings, question.indication)])


def _user(findings: str) -> Message:
    return {"role": "user", "content": _FINDINGS.replace("{findings}", findings.strip())}


def _lay_template(messages: Sequence[Message], tokenizer: Any) -> str:
    from jinja2 import TemplateError

    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    plain = [{**message, "content": _break_up(message["content"], special)} for message in messages]
    try:
        text: str = tokenizer.apply_chat_template(
            plain, tokenize=False, add_generation_prompt=True, **_TEMPLATE_VARIABLES
        )
    except TemplateError:  # its own words may quote what it was given
        raise InputError(
            "the model's chat template refuses a plain conversation; ask it in a text: --template paper"
        ) from None
    return text


def _break_up(content: str, special: Sequence[str]) -> str:
    # A "</s>" in findings must not end the turn. The template's own must, so they cannot all be split into text.
    for token in special:
        content = content.replace(token, f"{token[:1]} {token[1:]}")
    return content
