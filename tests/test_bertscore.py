from pathlib import Path

import pytest

from radllama.errors import InputError
from radllama.evaluation.bertscore import BertScore


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two tiny random layers that spells every word."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", *letters, *(f"##{c}" for c in letters)]
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **shape)).save_pretrained(folder)
    BertTokenizerFast(vocab={token: at for at, token in enumerate(vocabulary)}).save_pretrained(folder)
    return folder


def test_the_same_words_score_one_and_others_less(encoder: Path) -> None:
    same, other = BertScore(encoder).score([("No effusion.", "No effusion."), ("No effusion.", "Rib fracture.")])
    assert same == pytest.approx(1, abs=1e-5)
    assert 0 < other < 0.999


def test_a_score_does_not_depend_on_its_batch(encoder: Path) -> None:
    scorer = BertScore(encoder)
    pairs = [("No effusion.", "Large left effusion."), ("Scar.", "No pneumothorax or effusion is seen.")]
    assert scorer.score(pairs) == pytest.approx([scorer.score([pair])[0] for pair in pairs], abs=1e-5)


def test_the_layer_may_be_chosen(encoder: Path) -> None:
    pair = [("No effusion.", "Rib fracture.")]
    assert BertScore(encoder).layer == 2
    assert BertScore(encoder, layer=1).score(pair) != pytest.approx(BertScore(encoder, layer=2).score(pair), abs=1e-4)
    with pytest.raises(InputError, match="has layers 1 to 2, not 7"):
        BertScore(encoder, layer=7)


def test_what_is_longer_than_the_encoder_reads_is_counted(encoder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    long = "effusion " * 40
    [score] = BertScore(encoder).score([(long, long)])
    assert score == pytest.approx(1, abs=1e-5)
    assert "1 texts are longer than 62 tokens; their ends are unread" in capfd.readouterr().err


def test_results_stay_alone_on_standard_output(encoder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    BertScore(encoder).score([("No effusion.", "Effusion.")])
    assert capfd.readouterr().out == ""


def test_a_folder_without_an_encoder_is_refused(tmp_path: Path, encoder: Path) -> None:
    with pytest.raises(InputError, match=r"no encoder \(it has no config.json\)"):
        BertScore(tmp_path)
    (tmp_path / "config.json").write_bytes((encoder / "config.json").read_bytes())
    with pytest.raises(InputError, match="cannot be loaded as an encoder"):
        BertScore(tmp_path)
