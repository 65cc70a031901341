import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from radllama.clinical.label import label, label_file
from radllama.clinical.lexicon import OBSERVATIONS
from radllama.errors import InputError

SHORT_NAMES = ["NF", "ECM", "CM", "LL", "LO", "ED", "CO", "PN", "AT", "PX", "PE", "PO", "FX", "SD"]
SHORT = dict(zip(SHORT_NAMES, OBSERVATIONS, strict=True))
SIGNS = {"+": 1, "-": 0, "?": -1}
SET = yaml.safe_load((Path(__file__).parent / "data" / "radiology_sentences.yaml").read_text(encoding="utf-8"))
CASES = [(group, sentence, said) for group, cases in SET.items() for sentence, said in cases.items()]


def expected(said: str) -> dict[str, int]:
    return {SHORT[word[:-1]]: SIGNS[word[-1]] for word in said.split()}


def test_the_radiology_set_holds_at_least_300_sentences() -> None:
    assert len({sentence for _, sentence, _ in CASES}) >= 300


@pytest.mark.parametrize(("group", "sentence", "said"), CASES, ids=[f"{g}: {s}" for g, s, _ in CASES])
def test_a_sentence_says_what_a_radiologist_reads(group: str, sentence: str, said: str) -> None:
    wanted = expected(said)
    values = label(sentence).values
    read = {name: value for name, value in values.items() if value is not None}
    if "No Finding" not in wanted:
        read.pop("No Finding", None)
    assert read == wanted


@pytest.mark.parametrize(("sentence", "mention", "cue"), [
    ("Heart normal. No pleural effusion.", "pleural effusion", "No"),
    ("The right pneumothorax is no longer seen.", "pneumothorax", "is no longer seen"),
    ("Cannot exclude pneumonia.", "pneumonia", "Cannot exclude"),
    ("The heart is mildly enlarged.", "heart", "enlarged"),
    ("Small  left\npleural   effusion.", "pleural   effusion", None),
])  # fmt: skip
def test_spans_are_offsets_into_the_section(sentence: str, mention: str, cue: str | None) -> None:
    last = label(sentence).evidence[-1]
    assert sentence[slice(*last.mention)] == mention
    assert (sentence[slice(*last.cue)] if last.cue else None) == cue


def test_the_evidence_is_that_of_the_value_that_won() -> None:
    labels = label("No right effusion. Left effusion. Effusion at the left apex too.")
    assert labels.values["Pleural Effusion"] == 1
    assert [one.mention[0] for one in labels.evidence] == [24, 34]


def test_doubt_outweighs_denial_and_assertion_outweighs_both() -> None:
    assert label("No effusion. Possible effusion.").values["Pleural Effusion"] == -1
    assert label("Possible effusion. Effusion on the left. No effusion on the right.").values["Pleural Effusion"] == 1


@pytest.mark.parametrize("empty", ["", "  \n "])
def test_an_empty_section_mentions_nothing_and_is_not_called_normal(empty: str) -> None:
    labels = label(empty)
    assert list(labels.values) == list(OBSERVATIONS)
    assert set(labels.values.values()) == {None}
    assert labels.evidence == ()


@pytest.mark.parametrize(("text", "value"), [
    ("No effusion. Normal heart.", 1),
    ("Degenerative changes of the spine.", None),
    ("Possible nodule.", None),
    ("Right PICC. Clear lungs.", 1),
    ("Low lung volumes.", 1),
    ("Tortuous aorta.", None),
])  # fmt: skip
def test_no_finding_means_that_nothing_abnormal_is_asserted_or_doubted(text: str, value: int | None) -> None:
    assert label(text).values["No Finding"] == value


def test_case_and_white_space_do_not_change_labels() -> None:
    for _, sentence, _ in CASES:
        if "\n" not in sentence:
            assert label(re.sub(" ", "  ", sentence)).values == label(sentence).values, sentence


def test_sides_swapped_do_not_change_labels() -> None:
    other = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
    for _, sentence, _ in CASES:
        swapped = re.sub(r"\b(left|right|Left|Right)\b", lambda side: other[side[0]], sentence)
        assert label(swapped).values == label(sentence).values, sentence


@given(st.text(max_size=300))
def test_any_text_is_read_and_its_spans_lie_inside(text: str) -> None:
    for one in label(text).evidence:
        assert 0 <= one.mention[0] < one.mention[1] <= len(text)


@given(st.lists(st.sampled_from([sentence for _, sentence, _ in CASES]), max_size=6))
def test_every_span_of_a_report_of_several_sentences_lies_on_words(parts: list[str]) -> None:
    text = " ".join(parts)
    for one in label(text).evidence:
        words = text[slice(*one.mention)]
        assert words == words.strip() != ""


def test_capitals_whose_small_letter_is_longer_do_not_move_spans() -> None:
    text = "İİİ. No effusion."
    assert text[slice(*label(text).evidence[0].mention)] == "effusion"


def test_ten_thousand_words_without_a_full_stop_are_read_to_their_end() -> None:
    text = "no effusion and a nodule in the left lung with opacity or atelectasis " * 800
    labels = label(text)
    assert (labels.values["Pleural Effusion"], labels.values["Lung Lesion"]) == (0, 1)
    assert labels.evidence[-1].mention[1] > len(text) - 100


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_file_is_labelled_line_by_line(tmp_path: Path) -> None:
    reports = write(
        tmp_path / "in.jsonl",
        {"id": "a", "findings": "No effusion.", "impression": "Left effusion."},
        {"id": 7, "findings": None},
    )
    assert label_file(reports, tmp_path / "out.jsonl") == {"reports": 2, "empty": 1}
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert list(first) == ["id", "labels", "spans"]
    assert first["labels"]["Pleural Effusion"] == 0
    assert first["spans"] == [{"observation": "Pleural Effusion", "value": 0, "mention": [3, 11], "cue": [0, 2]}]
    assert second["id"] == "7"
    assert set(second["labels"].values()) == {None}


def test_the_impression_is_labelled_when_asked(tmp_path: Path) -> None:
    reports = write(tmp_path / "in.jsonl", {"id": "a", "findings": "No effusion.", "impression": "Left effusion."})
    label_file(reports, tmp_path / "out.jsonl", "impression")
    assert json.loads((tmp_path / "out.jsonl").read_text())["labels"]["Pleural Effusion"] == 1


@pytest.mark.parametrize(("rows", "told"), [
    ([{"findings": "x"}], 'no "id"'),
    ([{"id": "a", "findings": "x"}, {"id": "a", "findings": "y"}], "already stands on line 1"),
    ([{"id": "a", "findings": 5}], "must be text"),
    ([{"id": "a", "findings": "\ud800"}], "surrogate"),
    ([{"id": "a", "impression": "x"}], "name the section with --field"),
    ([], "holds no line"),
])  # fmt: skip
def test_a_bad_file_is_one_line_and_leaves_the_old_labels(tmp_path: Path, rows: list[object], told: str) -> None:
    out = write(tmp_path / "out.jsonl", {"old": True})
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        label_file(write(tmp_path / "in.jsonl", *rows), out)
    assert "\n" not in str(caught.value)
    assert json.loads(out.read_text()) == {"old": True}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_the_labels_may_not_replace_the_reports(tmp_path: Path) -> None:
    reports = write(tmp_path / "in.jsonl", {"id": "a", "findings": "x"})
    with pytest.raises(InputError, match="another file"):
        label_file(reports, reports)
    assert reports.read_text()


def test_the_command_prints_the_file_and_counts_what_is_empty(tmp_path: Path) -> None:
    reports = write(tmp_path / "in.jsonl", {"id": "a", "findings": "No effusion."}, {"id": "b", "findings": ""})
    out = tmp_path / "out.jsonl"
    command = ["label", "--in", str(reports), "--out", str(out)]
    program = "import sys; from radllama.cli import main; sys.argv = ['radllama', *sys.argv[1:]]; main()"
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(out)
    assert done.stderr.strip() == "1 of 2 have an empty findings: no observation, not even No Finding"
