"""Splits: who belongs where, whatever the order, and what a wrong name or a wrong table says."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.dataset.splits import (
    MIMIC_SPLIT_FILE,
    NamedSplit,
    RandomSplit,
    choose_split,
    cut_valid,
    read_mimic_split,
)
from radllama.errors import InputError

HEADER = "dicom_id,study_id,subject_id,split\n"
TABLE = (
    HEADER
    + "a,50000001,10000001,train\nb,50000001,10000001,train\n"
    + "c,50000002,10000002,validate\nd,50000003,10000003,test\n"
)


def openi(name: str) -> NamedSplit:
    split = choose_split("openi", name, Path("reports.csv"))
    assert isinstance(split, NamedSplit)
    return split


def test_impressiongpt_has_the_published_sizes_and_a_tenth_of_train_is_valid() -> None:
    assert Counter(openi("impressiongpt").parts.values()) == {"train": 2559, "valid": 284, "test": 576}


def test_inlg2023_keeps_its_own_valid_part() -> None:
    split = openi("inlg2023")
    assert Counter(split.parts.values()) == {"train": 2342, "valid": 334, "test": 670}
    assert "valid_cut_from_train" not in split.facts


def test_the_valid_part_of_impressiongpt_never_moves() -> None:
    valid = sorted(int(i) for i, part in openi("impressiongpt").parts.items() if part == "valid")
    assert valid[:5] == [15, 41, 53, 59, 67]
    assert openi("impressiongpt").facts == {
        "name": "impressiongpt",
        "valid_cut_from_train": {"share": 0.1, "seed": 3},
    }


def test_a_named_split_counts_the_ids_that_a_source_lacks() -> None:
    split = NamedSplit({"name": "x"}, {"1": "train", "2": "train", "3": "test"})
    assert split.absent({"1", "9"}) == {"train": 1, "valid": 0, "test": 1}
    assert split.part_of("3", "p") == "test"
    assert split.part_of("9", "p") is None


def test_the_default_split_is_random_0() -> None:
    split = choose_split("table", None, Path("x.csv"))
    assert split == RandomSplit(0)
    assert split.facts["name"] == "random:0"
    assert split.absent({"1"}) == {"train": 0, "valid": 0, "test": 0}


def test_a_random_split_is_about_80_10_10() -> None:
    counts = Counter(RandomSplit(3).part_of(str(number), None) for number in range(5000))
    assert 3900 < counts["train"] < 4100
    assert 420 < counts["valid"] < 580
    assert 420 < counts["test"] < 580


@given(st.integers(0, 99), st.text(max_size=5), st.lists(st.text(max_size=5), min_size=2, max_size=5))
def test_all_reports_of_a_patient_fall_into_one_part(seed: int, patient: str, reports: list[str]) -> None:
    assert len({RandomSplit(seed).part_of(report, patient) for report in reports}) == 1


def test_reports_without_a_patient_are_split_one_by_one() -> None:
    assert {RandomSplit(0).part_of(str(number), None) for number in range(50)} == {"train", "valid", "test"}


def test_a_patient_and_a_report_of_the_same_name_are_not_the_same_key() -> None:
    split = RandomSplit(0)
    assert any(split.part_of(str(n), None) != split.part_of("x", str(n)) for n in range(50))


def test_another_seed_is_another_split() -> None:
    ids = [str(number) for number in range(100)]
    assert [RandomSplit(0).part_of(i, None) for i in ids] != [RandomSplit(1).part_of(i, None) for i in ids]


def test_a_random_split_is_the_same_on_every_machine() -> None:
    assert (
        "".join((RandomSplit(0).part_of(str(n), None) or "?")[1] for n in range(40))
        == "rrrrrrrrrrarrrearrrrrrrrrrraerrrrarrrree"
    )


@given(st.lists(st.text(max_size=4), max_size=40), st.randoms(use_true_random=False))
def test_valid_is_cut_by_the_ids_alone(ids: list[str], random: object) -> None:
    shuffled = list(ids)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    cut = cut_valid(ids)
    assert cut_valid(shuffled) == cut
    assert cut <= set(ids)
    assert len(cut) == round(0.1 * len(set(ids)))


def test_valid_follows_its_seed_and_share() -> None:
    ids = [str(number) for number in range(200)]
    assert cut_valid(ids, seed=1) != cut_valid(ids)
    assert len(cut_valid(ids, share=0.25)) == 50


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        ("table", "impressiongpt", "split 'impressiongpt' lists reports of openi, not of table"),
        ("mimic-cxr", "inlg2023", "split 'inlg2023' lists reports of openi, not of mimic-cxr"),
        ("openi", "official", "split 'official' lists reports of mimic-cxr, not of openi"),
        ("openi", "wgsum", "split 'wgsum' is not known; choose impressiongpt, inlg2023 (source openi)"),
        ("table", "random", "split 'random' is not known"),
        ("table", "random:", "SEED a whole number"),
        ("table", "random:-1", "SEED a whole number"),
        ("table", "random:x", "SEED a whole number"),
        ("table", "", "split '' is not known"),
    ],
)
def test_a_wrong_split_name_is_one_clear_line(source: str, name: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        choose_split(source, name, Path("x"))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_split_file_is_for_the_official_split_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="goes with the split 'official', not 'random:0'"):
        choose_split("mimic-cxr", None, tmp_path, split_file=tmp_path / "x.csv")


def test_the_official_table_gives_each_study_its_part(tmp_path: Path) -> None:
    path = tmp_path / MIMIC_SPLIT_FILE
    path.write_bytes(gzip.compress(TABLE.encode()))
    assert read_mimic_split(path) == {"50000001": "train", "50000002": "valid", "50000003": "test"}


@pytest.mark.parametrize("where", ["in the folder", "beside the zip", "named"])
def test_the_official_table_is_found(tmp_path: Path, where: str) -> None:
    named = tmp_path / ("elsewhere.csv" if where == "named" else MIMIC_SPLIT_FILE)
    named.write_bytes(TABLE.encode() if where == "named" else gzip.compress(TABLE.encode()))
    path = tmp_path if where == "in the folder" else tmp_path / "mimic-cxr-reports.zip"
    split = choose_split("mimic-cxr", "official", path, named if where == "named" else None)
    assert split.part_of("50000002", None) == "valid"
    assert split.absent(["50000001"]) == {"train": 0, "valid": 1, "test": 1}
    assert split.facts == {"name": "official"}


def test_a_missing_official_table_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no mimic-cxr-2\.0\.0-split\.csv\.gz there or beside it; pass its path"):
        choose_split("mimic-cxr", "official", tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", b"study_id,subject_id\n", "no column split"),
        ("x.csv", b"", "no column split and study_id"),
        ("x.csv", (HEADER + "a,1,2,holdout\n").encode(), ":2: needs a study_id and a split of train or"),
        ("x.csv", (HEADER + "a,,2,train\n").encode(), ":2: needs a study_id"),
        ("x.csv", (HEADER + "a\n").encode(), ":2: needs a study_id"),
        ("x.csv", (HEADER + "a,1,2,train\nb,1,2,test\n").encode(), ":3: study 1 stands in two parts"),
        ("x.csv", b"study_id,split\n\xff,train\n", "not a CSV table in UTF-8"),
        ("x.csv.gz", TABLE.encode(), "the gzip is broken"),
        ("x.csv.gz", gzip.compress(TABLE.encode())[:-12], "the gzip is broken"),
    ],
    ids=range(9),
)
def test_a_bad_official_table_is_one_clear_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_mimic_split(path)
    assert str(error.value).startswith(str(path))
    assert says in str(error.value)


def test_a_split_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_mimic_split(tmp_path / "x.csv.gz")
    with pytest.raises(InputError, match="is a folder"):
        read_mimic_split(tmp_path)


def test_a_byte_order_mark_before_the_split_table_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\ufeffstudy_id,split\n1,test\n", encoding="utf-8")
    assert read_mimic_split(path) == {"1": "test"}


def test_the_shipped_lists_hold_each_number_once() -> None:
    import radllama.dataset.splits as module

    for parts in json.loads(module._OPENI_FILE.read_text(encoding="utf-8")).values():
        numbers = [number for ids in parts.values() for number in ids]
        assert len(numbers) == len(set(numbers))
