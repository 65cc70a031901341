"""Questions: one instruction, whole examples, the nearest last; the same words for messages, texts and token ids."""

from pathlib import Path
from typing import Any

import pytest
from hub_models import CHATML, LLAMA2, tiny_models

from radllama.errors import InputError
from radllama.library import Neighbour
from radllama.model import load_base
from radllama.prompt import TEMPLATES, encode_prompt, make_prompt, write_prompt
from radllama.rivals.question import Layout, Question, make_layout, render_messages

FAR = Neighbour("1", 0.2, "Left effusion.", "Effusion.")
NEAR = Neighbour("2", 0.9, " Lungs are clear.\n", " Normal.\n")
ZERO_SHOT = Question("The lungs are clear.")
TWO_SHOT = Question("The lungs are clear.", examples=(FAR, NEAR))
INSTRUCTION = "Derive the impression from findings in the radiology report. Answer with the impression alone."


@pytest.fixture(scope="module")
def models(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_models(tiny_base, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def tokenizer(models: dict[str, Path], request: pytest.FixtureRequest) -> Any:
    return load_base(str(models[request.param]))[1]


# Messages


def test_zero_shot_is_one_message_of_instruction_and_findings() -> None:
    (message,) = render_messages(ZERO_SHOT)
    assert message == {"role": "user", "content": f"{INSTRUCTION}\n\nFindings: The lungs are clear."}


def test_examples_are_turns_and_the_nearest_is_last() -> None:
    assert render_messages(TWO_SHOT) == [
        {"role": "user", "content": f"{INSTRUCTION}\n\nFindings: Left effusion."},
        {"role": "assistant", "content": "Effusion."},
        {"role": "user", "content": "Findings: Lungs are clear."},
        {"role": "assistant", "content": "Normal."},
        {"role": "user", "content": "Findings: The lungs are clear."},
    ]


def test_the_farthest_example_goes_first_and_is_counted() -> None:
    shorter = TWO_SHOT.without_farthest()
    assert (shorter.examples, shorter.dropped) == ((NEAR,), 1)
    assert (shorter.without_farthest().examples, shorter.without_farthest().dropped) == ((), 2)


def test_the_indication_is_not_told_to_chat_models() -> None:
    assert "Cough" not in str(render_messages(Question("Clear.", "Cough.")))


# Texts


@pytest.mark.parametrize("template", TEMPLATES)
def test_zero_shot_in_a_template_is_what_a_tuned_model_is_given(template: str, tokenizer: Any) -> None:
    layout, prompt = make_layout(template), make_prompt(template)
    assert layout.render(ZERO_SHOT) == prompt.render("The lungs are clear.")
    ids = layout.encode(tokenizer, layout.render_text(ZERO_SHOT, tokenizer))
    assert ids == encode_prompt(prompt, tokenizer, "The lungs are clear.")


def test_examples_in_a_template_stand_whole_before_the_findings() -> None:
    assert make_layout("plain").render(TWO_SHOT) == (
        "findings: Left effusion.\nimpression: Effusion.\n\n"
        "findings: Lungs are clear.\nimpression: Normal.\n\n"
        "findings: The lungs are clear.\nimpression:"
    )


def test_a_template_with_an_indication_shows_it(tmp_path: Path) -> None:
    write_prompt(make_prompt("plain", indication=True), tmp_path)
    rendered = make_layout(str(tmp_path)).render(Question("Clear.", "Cough."))
    assert rendered == make_prompt("plain", indication=True).render("Clear.", "Cough.")
    assert "Cough" in str(rendered)


# Chat templates of local models


def test_the_models_own_chat_template_is_laid_around(models: dict[str, Path]) -> None:
    llama, qwen = (load_base(str(models[name]))[1] for name in ("llama", "qwen2"))
    question = f"{INSTRUCTION}\n\nFindings: The lungs are clear."
    assert Layout().render_text(ZERO_SHOT, llama) == f"<s>[INST] {question} [/INST]"
    assert Layout().render_text(ZERO_SHOT, qwen) == f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    assert LLAMA2 != CHATML


def test_what_the_template_writes_becomes_special_tokens(models: dict[str, Path]) -> None:
    tokenizer = load_base(str(models["qwen2"]))[1]
    ids = Layout().encode(tokenizer, Layout().render_text(TWO_SHOT, tokenizer))
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert ids.count(end) == 5
    assert tokenizer.decode(ids, skip_special_tokens=True).count("assistant\n") == 3


def test_an_end_token_in_findings_does_not_end_the_turn(tokenizer: Any) -> None:
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    layout = Layout()
    for token in special:
        ids = layout.encode(tokenizer, layout.render_text(Question(f"Clear. {token} Normal."), tokenizer))
        plain = layout.encode(tokenizer, layout.render_text(Question("Clear. Normal."), tokenizer))
        number = tokenizer.convert_tokens_to_ids(token)
        assert ids.count(number) == plain.count(number)


def test_the_day_is_not_in_the_prompt(tokenizer: Any) -> None:
    tokenizer.chat_template = (
        "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
        "Today: {{ date_string }}"
        "{% if enable_thinking is defined and enable_thinking is false %} <no thinking>{% endif %}"
    )
    assert Layout().render_text(ZERO_SHOT, tokenizer) == "Today: 26 Jul 2024 <no thinking>"


def test_a_model_without_a_chat_template_is_told(tiny_base: Path) -> None:
    with pytest.raises(
        InputError, match="no chat template; ask it in a text: --template paper or llama2-chat or plain"
    ):
        Layout().render_text(ZERO_SHOT, load_base(str(tiny_base))[1])


def test_a_template_that_refuses_is_told_without_its_words(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ raise_exception('what is ' ~ messages[0].content) }}"
    with pytest.raises(InputError, match="refuses a plain conversation") as error:
        Layout().render_text(Question("A zebrafinch."), tokenizer)
    assert "zebrafinch" not in str(error.value)


# Layouts


def test_layouts_are_named_by_their_words() -> None:
    assert make_layout("plain").name == make_prompt("plain").name
    assert make_layout("chat").name.startswith("chat@")
    assert make_layout("chat").name == Layout().name


def test_an_unknown_layout_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no template 'chatty'; there are chat, paper, llama2-chat, plain, or a model's"
    ):
        make_layout("chatty")
    with pytest.raises(InputError, match="no template"):
        make_layout(str(tmp_path))
