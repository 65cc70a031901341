"""The fast engine: what transformers writes, the same in any batch, without torch."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from radllama.engines import ENGINES, Completion, Engine, Sampling
from radllama.engines.convert import converted_folder
from radllama.engines.ctranslate2 import CTranslate2Engine
from radllama.engines.transformers import TransformersEngine
from radllama.errors import InputError
from radllama.files import write_json
from radllama.model import load_model
from radllama.prompt import encode_text, make_prompt
from radllama.report import Report

GREEDY = Sampling(max_new_tokens=20)
PRECISIONS = ["float32", "int8"]


@pytest.fixture(scope="module")
def prompts(reports: list[Report]) -> list[str]:
    plain = make_prompt("plain")
    return [plain.render(report.findings) for report in reports]


@pytest.fixture(scope="module")
def lively_base(lively_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lively model as a run, so that its own file pins its conversions, and not this machine's home."""
    folder = Path(shutil.copytree(lively_base, tmp_path_factory.mktemp("run") / "lively"))
    write_json(folder / "run.json", {"command": "train", "settings": {}})
    return folder


@pytest.fixture(scope="module")
def reference(lively_base: Path) -> TransformersEngine:
    model = load_model(str(lively_base), "cpu")
    return TransformersEngine(model.network, model.tokenizer)


@pytest.fixture(scope="module", params=PRECISIONS)
def engine(lively_base: Path, request: pytest.FixtureRequest) -> CTranslate2Engine:
    return CTranslate2Engine(converted_folder(str(lively_base), request.param), cores=2)


@pytest.fixture(scope="module")
def exact(lively_base: Path) -> CTranslate2Engine:
    return CTranslate2Engine(converted_folder(str(lively_base), "float32"))


def measured(engine: Engine, prompts: list[str], sampling: Sampling) -> list[list[tuple[Completion, float | None]]]:
    """Completions with their log-probabilities, which a comparison of completions leaves out."""
    return [[(one, one.logprob) for one in found] for found in engine.complete(prompts, sampling)]


def test_at_float32_it_writes_what_transformers_writes(
    exact: CTranslate2Engine, reference: TransformersEngine, prompts: list[str]
) -> None:
    for sampling in (GREEDY, Sampling(max_new_tokens=3)):
        ours, theirs = (each.complete(prompts, sampling) for each in (exact, reference))
        assert ours == theirs
        for (our,), (their,) in zip(ours, theirs, strict=True):
            assert our.tokens == their.tokens
            assert our.logprob == pytest.approx(their.logprob, abs=1e-3)
            assert our.margin == pytest.approx(their.margin, abs=1e-3)
    assert len({one.text for (one,) in ours}) > 3


def test_it_sees_the_tokens_that_transformers_sees(
    engine: CTranslate2Engine, reference: TransformersEngine, lively_base: Path
) -> None:
    tokenizer = load_model(str(lively_base), "cpu").tokenizer
    for text in ("Clear lungs.", "Clear. </s> Normal. <s>", "6 °C, größer\n\n  two  spaces ", "</s>"):
        tokens = engine.encode(text)
        assert tokenizer.convert_tokens_to_ids(tokens) == encode_text(tokenizer, text)
        assert engine.count_tokens(text) == reference.count_tokens(text)


def test_a_draft_is_the_same_in_any_batch(engine: CTranslate2Engine, prompts: list[str]) -> None:
    alone = [engine.complete([prompt], GREEDY)[0] for prompt in prompts]
    for size in (7, 40):
        batches = [prompts[at : at + size] for at in range(0, len(prompts), size)]
        assert [one for batch in batches for one in engine.complete(batch, GREEDY)] == alone
    assert engine.complete(prompts[::-1], GREEDY) == alone[::-1]


def test_with_8_bit_weights_it_is_the_same_to_the_last_bit(lively_base: Path, prompts: list[str]) -> None:
    folder = converted_folder(str(lively_base), "int8")
    one, several = CTranslate2Engine(folder, cores=1), CTranslate2Engine(folder, cores=3)
    alone = [measured(one, [prompt], GREEDY)[0] for prompt in prompts]
    assert measured(one, prompts, GREEDY) == alone
    assert measured(several, prompts[::-1], GREEDY) == alone[::-1]


def test_more_prompts_than_a_thread_takes_keep_their_order(engine: CTranslate2Engine, prompts: list[str]) -> None:
    many = [prompts[0]] * 33 + [prompts[1]] * 2 + [prompts[0]] * 33
    found = engine.complete(many, GREEDY)
    first, second = found[0], found[33]
    assert first != second
    assert found == [first] * 33 + [second] * 2 + [first] * 33


def test_a_beginning_that_all_share_is_computed_once_and_changes_nothing(
    lively_base: Path, prompts: list[str], engine: CTranslate2Engine
) -> None:
    beginning = "Heart size is normal. The heart is not enlarged. No pneumothorax. "
    rendered = [beginning + prompt for prompt in prompts]
    sharing = CTranslate2Engine(Path(engine._path), beginning)
    assert len(sharing._shared) > 8
    assert sharing._split([sharing.encode(one) for one in rendered])[1] == {"static_prompt": sharing._shared}
    for sampling in (GREEDY, Sampling(8, beams=2), Sampling(8, 1.0, 3, samples=2)):
        assert sharing.complete(rendered, sampling) == engine.complete(rendered, sampling)
        assert sharing.complete(prompts, sampling) == engine.complete(prompts, sampling)  # that begin otherwise
    assert list(sharing.stream(rendered[0], GREEDY)) == list(engine.stream(rendered[0], GREEDY))


# Several candidates


def test_beams_are_those_of_transformers(
    exact: CTranslate2Engine, reference: TransformersEngine, prompts: list[str]
) -> None:
    sampling = Sampling(6, beams=3)
    same = 0
    for ours, theirs in zip(
        exact.complete(prompts[:10], sampling), reference.complete(prompts[:10], sampling), strict=True
    ):
        assert len({one.text for one in ours}) == 3
        means = [(one.logprob or 0.0) / one.tokens for one in ours]
        assert means == sorted(means, reverse=True)
        same += ours[0] == theirs[0]
    assert same >= 8  # they stop searching by different rules


def test_beams_do_not_depend_on_their_batch(engine: CTranslate2Engine, prompts: list[str]) -> None:
    sampling = Sampling(8, beams=4)
    found = measured(engine, prompts[:9], sampling)
    assert [measured(engine, [prompt], sampling)[0] for prompt in prompts[:9]] == found


def test_samples_follow_from_seed_and_prompt_whatever_the_batch(engine: CTranslate2Engine, prompts: list[str]) -> None:
    sampling = Sampling(12, 1.0, seed=5, samples=3)
    found = measured(engine, prompts[:4], sampling)
    assert all(len({one.text for one, _ in samples}) == 3 for samples in found)
    assert measured(engine, prompts[3::-1], sampling) == found[::-1]
    assert measured(engine, prompts[1:2], sampling) == found[1:2]
    assert measured(engine, prompts[:4], Sampling(12, 1.0, seed=6, samples=3)) != found


def test_samples_are_as_likely_as_transformers_says(
    exact: CTranslate2Engine, reference: TransformersEngine, prompts: list[str]
) -> None:
    # One token, so that a draft tells which: drawn in the shares of the softmax.
    temperature, count = 6.0, 2000
    ((greedy,),) = reference.complete(prompts[:1], Sampling(1))
    (theirs,) = reference.complete(prompts[:1], Sampling(1, temperature, 1, count))
    (ours,) = exact.complete(prompts[:1], Sampling(1, temperature, 1, count))
    shares = [
        sum(abs((one.logprob or 0.0) - (greedy.logprob or 0.0)) < 1e-3 for one in found) / count
        for found in (ours, theirs)
    ]
    assert 0.005 < shares[0] < 0.9
    assert abs(shares[0] - shares[1]) < 4 * (2 * shares[1] * (1 - shares[1]) / count) ** 0.5
    assert {round(one.logprob or 0.0, 2) for one in ours} & {round(one.logprob or 0.0, 2) for one in theirs}


# Streams


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(3), Sampling(20, 1.0, 3)])
def test_the_pieces_of_a_stream_are_the_completion(
    engine: CTranslate2Engine, prompts: list[str], sampling: Sampling
) -> None:
    for prompt in prompts[:5]:
        pieces = list(engine.stream(prompt, sampling))
        assert "".join(pieces) == engine.complete([prompt], sampling)[0][0].text
        assert len(pieces) > 1 or sampling != GREEDY


def test_a_stream_that_is_closed_leaves_the_engine_usable(engine: CTranslate2Engine, prompts: list[str]) -> None:
    expected = engine.complete(prompts[:1], GREEDY)
    stream = engine.stream(prompts[0], Sampling(100))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert engine.complete(prompts[:1], GREEDY) == expected


# Names and limits


def test_its_name_tells_its_precision(engine: CTranslate2Engine) -> None:
    assert engine.name in ENGINES
    assert engine.name.endswith("int8") == (engine._manifest.precision == "int8")


def test_the_context_is_that_of_the_model(engine: CTranslate2Engine, reference: TransformersEngine) -> None:
    assert engine.context_tokens == reference.context_tokens


def test_a_folder_that_was_not_converted_is_refused(lively_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(converted_folder(str(lively_base), "int8"), tmp_path / "copy"))
    (folder / "converted.json").unlink()
    with pytest.raises(InputError, match=r"converted\.json: no such file"):
        CTranslate2Engine(folder)


def test_the_embedded_model_drafts_without_torch_or_transformers() -> None:
    program = (
        "import sys\n"
        "from radllama.cli import main\n"
        "sys.argv = ['radllama', 'draft', '--findings', sys.argv[1]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'transformers', 'peft', 'sklearn', 'pandas'} & set(sys.modules)), file=sys.stderr)"
    )
    findings = "Heart size is normal. Large left pleural effusion. No pneumothorax."
    done = subprocess.run([sys.executable, "-c", program, findings], capture_output=True, text=True, check=True)
    assert "effusion" in done.stdout.lower()
    assert done.stderr.splitlines()[-1] == "[]"  # after what the checks say
