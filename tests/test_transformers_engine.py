"""The reference engine: text in, text out, and nothing but the weights and the seed decides which."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from radllama.engines import Completion, Sampling
from radllama.engines.streaming import stream_text
from radllama.engines.transformers import STREAMING, TransformersEngine
from radllama.errors import InputError
from radllama.model import add_adapter, load_base

GREEDY = Sampling(max_new_tokens=20)
PROMPTS = ["Heart size is normal.", "The lungs are clear. No pneumothorax.", "Effusion."]


@pytest.fixture
def loaded(lively_base: Path) -> tuple[Any, Any]:
    network, tokenizer = load_base(str(lively_base))
    return network.eval(), tokenizer


Greedy = Callable[[str, set[int], int], tuple[list[int], str]]


@pytest.fixture
def greedy(loaded: tuple[Any, Any]) -> Greedy:
    """The likeliest token, one at a time, the whole sequence computed anew for each."""

    def run(text: str, ends: set[int], most: int) -> tuple[list[int], str]:
        prompt, new = loaded[1](text)["input_ids"], list[int]()
        with torch.inference_mode():
            while len(new) < most:
                token = int(loaded[0](torch.tensor([prompt + new]), use_cache=False).logits[0, -1].argmax())
                if token in ends:
                    return new, "stop"
                new.append(token)
        return new, "length"

    return run


def test_greedy_is_the_likeliest_token_one_after_another(loaded: tuple[Any, Any], greedy: Greedy) -> None:
    network, tokenizer = loaded
    for prompt in PROMPTS:
        ids, reason = greedy(prompt, {tokenizer.eos_token_id}, 20)
        text = tokenizer.decode(ids, skip_special_tokens=True).strip()
        assert TransformersEngine(network, tokenizer).complete([prompt], GREEDY) == [[Completion(text, reason)]]


def test_a_batch_of_different_lengths_gives_the_same_texts_as_one_by_one(loaded: tuple[Any, Any]) -> None:
    engine = TransformersEngine(*loaded)
    alone = [engine.complete([prompt], GREEDY)[0] for prompt in PROMPTS]
    assert engine.complete(PROMPTS, GREEDY) == alone
    assert engine.complete(PROMPTS[::-1], GREEDY) == alone[::-1]
    assert len({completion.text for (completion,) in alone}) == 3


def test_a_draft_without_an_end_token_says_length(loaded: tuple[Any, Any]) -> None:
    network, tokenizer = loaded
    engine = TransformersEngine(network, tokenizer)
    assert {completion.finish_reason for (completion,) in engine.complete(PROMPTS, Sampling(3))} == {"length"}


def test_an_end_token_named_in_the_generation_settings_stops_too(loaded: tuple[Any, Any], greedy: Greedy) -> None:
    network, tokenizer = loaded
    prompt = PROMPTS[0]
    written, _ = greedy(prompt, set(), 10)
    turn_end = written[5]
    for named in (turn_end, [tokenizer.eos_token_id, turn_end]):
        network.generation_config = GenerationConfig(eos_token_id=named)
        ((completion,),) = TransformersEngine(network, tokenizer).complete([prompt], GREEDY)
        kept = written[: written.index(turn_end)]
        assert completion == Completion(tokenizer.decode(kept, skip_special_tokens=True).strip(), "stop")


@pytest.mark.parametrize("adapted", [False, True], ids=["base", "adapter"])
def test_what_a_hub_model_ships_for_generation_changes_nothing(loaded: tuple[Any, Any], adapted: bool) -> None:
    network, tokenizer = loaded
    if adapted:
        network = add_adapter(network, 2, 4, 0.0, ["q_proj"], seed=0).eval()
    engine = TransformersEngine(network, tokenizer)
    before = engine.complete(PROMPTS, GREEDY)
    sampled = engine.complete(PROMPTS, Sampling(20, temperature=1.0, seed=3))
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
    assert engine.complete(PROMPTS, GREEDY) == before
    assert engine.complete(PROMPTS, Sampling(20, temperature=1.0, seed=3)) == sampled
    assert owner.generation_config is shipped


def test_sampling_follows_from_its_seed(loaded: tuple[Any, Any]) -> None:
    engine = TransformersEngine(*loaded)
    first, other, again = (engine.complete(PROMPTS, Sampling(20, 1.0, seed)) for seed in (1, 2, 1))
    assert first == again
    assert first != other


def test_samples_do_not_depend_on_their_batch_or_their_number(loaded: tuple[Any, Any]) -> None:
    engine = TransformersEngine(*loaded)
    three = engine.complete(PROMPTS, Sampling(20, 1.0, 3, samples=3))
    assert all(len({one.text for one in samples}) == 3 for samples in three)
    assert [engine.complete([prompt], Sampling(20, 1.0, 3, samples=3))[0] for prompt in PROMPTS] == three
    assert engine.complete(PROMPTS[::-1], Sampling(20, 1.0, 3, samples=2)) == [found[:2] for found in three[::-1]]


def test_samples_are_drawn_from_the_softmax_of_the_logits(loaded: tuple[Any, Any]) -> None:
    network, tokenizer = loaded
    temperature, count = 12.0, 4000
    with torch.inference_mode():
        logits = network(torch.tensor([tokenizer(PROMPTS[0])["input_ids"]])).logits[0, -1]
    expected, logprobs = (logits / temperature).softmax(-1), logits.log_softmax(-1).tolist()
    (samples,) = TransformersEngine(network, tokenizer).complete(PROMPTS[:1], Sampling(1, temperature, 0, count))
    best = int(expected.argmax())
    # its log-probability tells which token a sample was: no two are alike
    share = sum(abs((one.logprob or 0.0) - logprobs[best]) < 1e-3 for one in samples) / count
    likeliest = float(expected[best])
    assert abs(share - likeliest) < 4 * (likeliest * (1 - likeliest) / count) ** 0.5
    assert len({round(one.logprob or 0.0, 2) for one in samples}) > 50


def test_a_low_temperature_is_nearly_greedy(loaded: tuple[Any, Any]) -> None:
    engine = TransformersEngine(*loaded)
    assert engine.complete(PROMPTS, Sampling(20, 1e-4)) == engine.complete(PROMPTS, GREEDY)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(20, 1.5, 2, samples=2), Sampling(6, beams=3)])
def test_a_log_probability_is_that_of_the_drafts_tokens(loaded: tuple[Any, Any], sampling: Sampling) -> None:
    network, tokenizer = loaded
    chosen: list[list[int]] = []
    engine = TransformersEngine(network, tokenizer)
    finish = engine._completion

    def watched(ids: list[int], *measured: Any) -> Completion:
        chosen.append(ids)
        return finish(ids, *measured)

    engine._completion = watched  # type: ignore[method-assign, assignment]
    for prompt in PROMPTS:
        chosen.clear()
        (candidates,) = engine.complete([prompt], sampling)
        begin = tokenizer(prompt)["input_ids"]
        for ids, candidate in zip(chosen, candidates, strict=True):
            written = ids[: candidate.tokens]
            with torch.inference_mode():
                logprobs = network(torch.tensor([begin + written])).logits[0, len(begin) - 1 : -1].log_softmax(-1)
            expected = sum(float(row[token]) for row, token in zip(logprobs, written, strict=True))
            assert candidate.logprob == pytest.approx(expected, abs=1e-3)


def test_beams_come_best_first_and_hold_no_draft_twice(loaded: tuple[Any, Any]) -> None:
    engine = TransformersEngine(*loaded)
    found = engine.complete(PROMPTS, Sampling(8, beams=4))
    for beams in found:
        means = [(beam.logprob or 0.0) / beam.tokens for beam in beams]
        assert means == sorted(means, reverse=True)
        assert len({beam.text for beam in beams}) == 4
    assert engine.complete(PROMPTS[1:], Sampling(8, beams=4)) == found[1:]


@pytest.mark.parametrize(
    ("options", "told"),
    [({"samples": 2}, "need a temperature above 0"), ({"beams": 2, "temperature": 1.0}, "need temperature 0")],
)
def test_sampling_that_makes_no_sense_is_refused(options: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Sampling(**options)


def test_what_rounding_could_decide_in_a_batch_is_completed_alone(loaded: tuple[Any, Any]) -> None:
    network, tokenizer = loaded
    likeliest = int(network(torch.tensor([tokenizer(PROMPTS[0])["input_ids"]])).logits[0, -1].argmax())
    twin = (likeliest + 1) % 300 + 50
    with torch.no_grad():  # two tokens that are always equally likely
        network.lm_head.weight[twin] = network.lm_head.weight[likeliest]
    rows: list[int] = []
    generate = network.generate

    def watched(**options: Any) -> Any:
        rows.append(len(options["input_ids"]))
        return generate(**options)

    network.generate = watched
    engine = TransformersEngine(network, tokenizer)
    assert engine.complete(PROMPTS, GREEDY) == [engine.complete([prompt], GREEDY)[0] for prompt in PROMPTS]
    assert rows[0] == 3
    assert set(rows[1:]) == {1}
    assert len(rows) >= 5


# The shared beginning


BEGINNING = "The heart is not enlarged. Normal cardiac silhouette. No pneumothorax. "


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(20, 1.0, 3, samples=2), Sampling(8, beams=2)])
def test_a_beginning_that_all_share_is_computed_once_and_changes_nothing(
    loaded: tuple[Any, Any], sampling: Sampling
) -> None:
    network, tokenizer = loaded
    plain, sharing = TransformersEngine(network, tokenizer), TransformersEngine(network, tokenizer, shared=BEGINNING)
    rendered = [BEGINNING + prompt for prompt in PROMPTS]
    expected = plain.complete(rendered, sampling)
    widths: list[int] = []
    network.register_forward_pre_hook(
        lambda _module, _positional, named: widths.append(named["input_ids"].shape[1]), with_kwargs=True
    )
    for _ in range(2):
        assert sharing.complete(rendered, sampling) == expected
    longest = max(len(tokenizer(prompt)["input_ids"]) for prompt in rendered)
    assert widths.count(longest) == (0 if sampling.beams == 1 else 2)
    assert widths.count(len(sharing._shared)) == (1 if sampling.beams == 1 else 0)
    for measured, known in zip(sharing.complete(rendered, sampling), expected, strict=True):
        assert measured[0].logprob == pytest.approx(known[0].logprob, abs=1e-3)


def test_prompts_that_begin_otherwise_are_completed_all_the_same(loaded: tuple[Any, Any]) -> None:
    sharing = TransformersEngine(*loaded, shared=BEGINNING)
    mixed = [*PROMPTS, BEGINNING + PROMPTS[0], BEGINNING]
    assert sharing.complete(mixed, GREEDY) == TransformersEngine(*loaded).complete(mixed, GREEDY)
    streamed = "".join(sharing.stream(BEGINNING + PROMPTS[0], GREEDY))
    assert streamed == sharing.complete([BEGINNING + PROMPTS[0]], GREEDY)[0][0].text


def test_a_network_that_keeps_other_things_than_keys_and_values_computes_all(loaded: tuple[Any, Any]) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MistralConfig(vocab_size=400, num_key_value_heads=2, sliding_window=8, **shape)
    torch.manual_seed(0)
    mistral = MistralForCausalLM(config).eval()
    rendered = [BEGINNING + prompt for prompt in PROMPTS]
    sharing = TransformersEngine(mistral, loaded[1], shared=BEGINNING)
    assert sharing.complete(rendered, GREEDY) == TransformersEngine(mistral, loaded[1]).complete(rendered, GREEDY)


# Streaming


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(20, 1.0, 3), Sampling(12)])
def test_the_pieces_of_a_stream_are_the_completion(loaded: tuple[Any, Any], sampling: Sampling) -> None:
    engine = TransformersEngine(*loaded)
    for prompt in PROMPTS:
        pieces = list(engine.stream(prompt, sampling))
        assert len(pieces) > 1
        assert "".join(pieces) == engine.complete([prompt], sampling)[0][0].text


def test_a_stream_that_is_closed_stops_the_network(loaded: tuple[Any, Any]) -> None:
    network, tokenizer = loaded
    steps = 0

    def count(*_: Any) -> None:
        nonlocal steps
        steps += 1

    network.register_forward_hook(count)
    stream = TransformersEngine(network, tokenizer).stream(PROMPTS[0], Sampling(200))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert all(thread.name != STREAMING for thread in threading.enumerate())
    assert steps < 200


def test_an_error_while_streaming_reaches_the_reader(loaded: tuple[Any, Any]) -> None:
    network, tokenizer = loaded

    def fail(*_: Any) -> None:
        raise MemoryError("no room")

    network.register_forward_pre_hook(fail)
    with pytest.raises(MemoryError, match="no room"):
        list(TransformersEngine(network, tokenizer).stream(PROMPTS[0], GREEDY))


def decoded(ids: list[int]) -> str:
    return bytes(ids).decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("ab", ["a", "b"]),
        (" a b \n", ["a", " b"]),
        ("6°C", ["6", "°", "C"]),  # two bytes: shown when both are there
        ("  ", []),
        ("", []),
    ],
)
def test_half_a_character_and_white_space_at_the_end_are_held_back(text: str, pieces: list[str]) -> None:
    assert list(stream_text(text.encode(), decoded)) == pieces


def test_bytes_that_never_become_a_character_are_shown_at_the_end() -> None:
    assert list(stream_text(b"a\xff", decoded)) == ["a", "\N{REPLACEMENT CHARACTER}"]


# Tokens


def test_padding_is_never_the_end_token(loaded: tuple[Any, Any]) -> None:
    network, tokenizer = loaded
    expected = TransformersEngine(network, tokenizer).complete(PROMPTS, GREEDY)
    seen: list[int] = []
    generate = network.generate

    def watched(**options: Any) -> Any:
        seen.append(options["generation_config"].pad_token_id)
        return generate(**options)

    network.generate = watched
    for pad in (tokenizer.pad_token, None, tokenizer.eos_token):
        tokenizer.pad_token = pad
        assert TransformersEngine(network, tokenizer).complete(PROMPTS, GREEDY) == expected
    tokenizer.bos_token = tokenizer.unk_token = None
    assert TransformersEngine(network, tokenizer).complete(PROMPTS, GREEDY) == expected
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
