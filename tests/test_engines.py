"""The engine: token ids in, text out, and nothing but the weights decides which."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from radllama.engines import Completion, Sampling
from radllama.engines.transformers import TransformersEngine
from radllama.model import add_adapter, load_base

GREEDY = Sampling(max_new_tokens=20)
PROMPTS = ["Heart size is normal.", "The lungs are clear. No pneumothorax.", "Effusion."]


@pytest.fixture
def loaded(tiny_base: Path) -> tuple[Any, Any]:
    """The tiny base with weights so large that it writes varied text and no choice is near a tie."""
    network, tokenizer = load_base(str(tiny_base))
    torch.manual_seed(0)
    network.lm_head.weight = torch.nn.Parameter(torch.randn(network.lm_head.weight.shape))
    for layer in network.model.layers:
        for weight in layer.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.3)
    return network.eval(), tokenizer


@pytest.fixture
def prompts(loaded: tuple[Any, Any]) -> list[list[int]]:
    ids = [loaded[1](text)["input_ids"] for text in PROMPTS]
    assert len({len(prompt) for prompt in ids}) == len(ids)
    return ids


Greedy = Callable[[list[int], set[int], int], tuple[list[int], str]]


@pytest.fixture
def greedy(loaded: tuple[Any, Any]) -> Greedy:
    """The likeliest token, one at a time, the whole sequence computed anew for each."""

    def run(prompt: list[int], ends: set[int], most: int) -> tuple[list[int], str]:
        new: list[int] = []
        with torch.inference_mode():
            while len(new) < most:
                token = int(loaded[0](torch.tensor([prompt + new]), use_cache=False).logits[0, -1].argmax())
                if token in ends:
                    return new, "stop"
                new.append(token)
        return new, "length"

    return run


def test_greedy_is_the_likeliest_token_one_after_another(
    loaded: tuple[Any, Any], prompts: list[list[int]], greedy: Greedy
) -> None:
    network, tokenizer = loaded
    for prompt in prompts:
        ids, reason = greedy(prompt, {tokenizer.eos_token_id}, 20)
        text = tokenizer.decode(ids, skip_special_tokens=True).strip()
        assert TransformersEngine(network, tokenizer).complete([prompt], GREEDY) == [Completion(text, reason)]


def test_a_batch_of_different_lengths_gives_the_same_texts_as_one_by_one(
    loaded: tuple[Any, Any], prompts: list[list[int]]
) -> None:
    engine = TransformersEngine(*loaded)
    alone = [engine.complete([prompt], GREEDY)[0] for prompt in prompts]
    assert engine.complete(prompts, GREEDY) == alone
    assert engine.complete(prompts[::-1], GREEDY) == alone[::-1]
    assert len({completion.text for completion in alone}) == 3


def test_a_draft_without_an_end_token_says_length(loaded: tuple[Any, Any], prompts: list[list[int]]) -> None:
    network, tokenizer = loaded
    engine = TransformersEngine(network, tokenizer)
    assert {completion.finish_reason for completion in engine.complete(prompts, Sampling(max_new_tokens=3))} == {
        "length"
    }


def test_an_end_token_named_in_the_generation_settings_stops_too(
    loaded: tuple[Any, Any], prompts: list[list[int]], greedy: Greedy
) -> None:
    network, tokenizer = loaded
    prompt = prompts[0]
    written, _ = greedy(prompt, set(), 10)
    turn_end = written[5]
    for named in (turn_end, [tokenizer.eos_token_id, turn_end]):
        network.generation_config = GenerationConfig(eos_token_id=named)
        (completion,) = TransformersEngine(network, tokenizer).complete([prompt], GREEDY)
        kept = written[: written.index(turn_end)]
        assert completion == Completion(tokenizer.decode(kept, skip_special_tokens=True).strip(), "stop")


@pytest.mark.parametrize("adapted", [False, True], ids=["base", "adapter"])
def test_what_a_hub_model_ships_for_generation_changes_nothing(
    loaded: tuple[Any, Any], prompts: list[list[int]], adapted: bool
) -> None:
    network, tokenizer = loaded
    if adapted:
        network = add_adapter(network, 2, 4, 0.0, ["q_proj"], seed=0).eval()
    engine = TransformersEngine(network, tokenizer)
    before = engine.complete(prompts, GREEDY)
    sampled = engine.complete(prompts, Sampling(20, temperature=1.0, seed=3))
    shipped = GenerationConfig(
        do_sample=True,
        temperature=0.1,
        top_p=0.5,
        top_k=5,
        repetition_penalty=5.0,
        no_repeat_ngram_size=1,
        num_beams=3,
        min_new_tokens=15,
        forced_bos_token_id=50,
        forced_eos_token_id=50,
        suppress_tokens=list(range(60, 200)),
        max_length=5,
        eos_token_id=tokenizer.eos_token_id,
    )
    owner = network.get_base_model() if adapted else network
    owner.generation_config = shipped
    assert engine.complete(prompts, GREEDY) == before
    assert engine.complete(prompts, Sampling(20, temperature=1.0, seed=3)) == sampled
    assert owner.generation_config is shipped


def test_sampling_follows_from_its_seed(loaded: tuple[Any, Any], prompts: list[list[int]]) -> None:
    engine = TransformersEngine(*loaded)
    first, other, again = (engine.complete(prompts, Sampling(20, 1.0, seed)) for seed in (1, 2, 1))
    assert first == again
    assert first != other


def test_a_low_temperature_is_nearly_greedy(loaded: tuple[Any, Any], prompts: list[list[int]]) -> None:
    engine = TransformersEngine(*loaded)
    assert engine.complete(prompts, Sampling(20, 1e-4)) == engine.complete(prompts, GREEDY)


def test_padding_is_never_the_end_token(loaded: tuple[Any, Any], prompts: list[list[int]]) -> None:
    network, tokenizer = loaded
    expected = TransformersEngine(network, tokenizer).complete(prompts, GREEDY)
    seen: list[int] = []
    generate = network.generate

    def watched(**options: Any) -> Any:
        seen.append(options["generation_config"].pad_token_id)
        return generate(**options)

    network.generate = watched
    for pad in (tokenizer.pad_token, None, tokenizer.eos_token):
        tokenizer.pad_token = pad
        assert TransformersEngine(network, tokenizer).complete(prompts, GREEDY) == expected
    tokenizer.bos_token = tokenizer.unk_token = None
    assert TransformersEngine(network, tokenizer).complete(prompts, GREEDY) == expected
    assert len(seen) == 4
    assert tokenizer.eos_token_id not in seen


def test_the_context_is_what_the_network_was_made_for(loaded: tuple[Any, Any]) -> None:
    network, tokenizer = loaded
    assert TransformersEngine(network, tokenizer).context_tokens == 256
    adapted = add_adapter(network, 2, 4, 0.0, ["q_proj"], seed=0)
    assert TransformersEngine(adapted, tokenizer).context_tokens == 256


def test_a_state_space_model_has_no_limit_of_its_own(loaded: tuple[Any, Any]) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    mamba = MambaForCausalLM(MambaConfig(vocab_size=400, hidden_size=8, state_size=2, num_hidden_layers=1))
    assert TransformersEngine(mamba, loaded[1]).context_tokens > 1_000_000
