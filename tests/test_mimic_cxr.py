"""MIMIC-CXR: numbers from paths, sections from text, whatever holds the files."""

import zipfile
from pathlib import Path

import pytest

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports import Unusable, read_source
from radllama.reports.mimic_cxr import NOT_UTF8, read_mimic_cxr
from radllama.reports.sections import COMBINED, NO_HEADINGS

TEXT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___-year-old with a fever.

 TECHNIQUE:  Upright chest, two views.

 COMPARISON:  ___.

 FINDINGS:

 A patchy opacity lies in the left mid lung.  The heart is
 of usual size.

 IMPRESSION:

 Left mid lung pneumonia.
"""
REPORT = Report(
    id="50000001",
    patient_id="10000007",
    findings="A patchy opacity lies in the left mid lung.  The heart is\nof usual size.",
    impression="Left mid lung pneumonia.",
    indication="___-year-old with a fever.",
    comparison="___.",
    technique="Upright chest, two views.",
    source="mimic-cxr",
)
NAME = "files/p10/p10000007/s50000001.txt"


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def read_one(tmp_path: Path, data: bytes) -> Report | Unusable:
    (report,) = read_mimic_cxr(write_zip(tmp_path / "mimic-cxr-reports.zip", {NAME: data}))
    return report


def test_study_and_patient_come_from_the_path_and_sections_from_the_text(tmp_path: Path) -> None:
    assert read_one(tmp_path, TEXT.encode()) == REPORT


def test_the_folder_reads_like_the_zip(tmp_path: Path) -> None:
    (tmp_path / NAME).parent.mkdir(parents=True)
    (tmp_path / NAME).write_text(TEXT)
    assert list(read_source("mimic-cxr", tmp_path)) == [REPORT]
    assert list(read_source("mimic-cxr", tmp_path / "files")) == [REPORT]
    assert list(read_source("mimic-cxr", tmp_path / "files/p10")) == [REPORT]


def test_lists_licences_and_macos_leftovers_are_no_reports(tmp_path: Path) -> None:
    others = {"LICENSE.txt": b"-", "files/p10/p10000007/index.html": b"-", "cxr-study-list.csv": b"-"}
    others |= {"__MACOSX/files/p10/p10000007/._s50000001.txt": b"\0\5", "files/p10/": b""}
    path = write_zip(tmp_path / "a.zip", {NAME: TEXT.encode()} | others)
    assert list(read_mimic_cxr(path)) == [REPORT]


def test_two_studies_of_one_patient_share_the_patient(tmp_path: Path) -> None:
    files = {NAME: TEXT.encode(), NAME.replace("s5", "s6"): TEXT.encode()}
    reports = list(read_mimic_cxr(write_zip(tmp_path / "a.zip", files)))
    assert [report.id for report in reports] == ["50000001", "60000001"]
    assert {report.patient_id for report in reports if isinstance(report, Report)} == {"10000007"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"The lungs are clear.\n\nNothing acute.", NO_HEADINGS),
        (b" FINAL REPORT\n FINDINGS AND IMPRESSION: Clear lungs.", COMBINED),
        ("FINDINGS: déjà vu\nIMPRESSION: Same.".encode("latin-1"), NOT_UTF8),
    ],
)
def test_text_that_cannot_be_split_is_unusable_with_a_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    assert read_one(tmp_path, data) == Unusable("50000001", reason)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    assert read_one(tmp_path, TEXT.encode("utf-8-sig")) == REPORT


def test_a_report_without_findings_is_left_to_the_dataset_to_count(tmp_path: Path) -> None:
    report = read_one(tmp_path, b" FINAL REPORT\n INDICATION: Cough.\n\n IMPRESSION: Clear lungs.")
    assert isinstance(report, Report)
    assert (report.findings, report.impression) == ("", "Clear lungs.")


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"images/1.dcm": b"-"})
    with pytest.raises(InputError, match=r"no reports in it; expected mimic-cxr-reports\.zip"):
        list(read_mimic_cxr(path))


def test_a_single_report_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s50000001.txt").write_text(TEXT)
    with pytest.raises(InputError, match=r"unknown kind of file '\.txt'"):
        list(read_mimic_cxr(tmp_path / "s50000001.txt"))
