"""DICOM structured reports: read, drafted into another one, and as a source."""

import io
from pathlib import Path
from typing import Any

import pydicom
import pytest
from command import CANARY, Run
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports import Unusable, read_source
from radllama.reports.dicom import BASIC_TEXT_SR, parse_document, parse_parts
from radllama.reports.parts import join_parts

FINDINGS = "Heart size is normal. Low lung volumes with bibasilar atelectasis. No effusion."


def code(value: str, meaning: str) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, "DCM", meaning
    return made


def item(kind: str, value: str, meaning: str, **values: Any) -> Dataset:
    made = Dataset()
    made.RelationshipType, made.ValueType, made.ConceptNameCodeSequence = "CONTAINS", kind, [code(value, meaning)]
    for name, one in values.items():
        setattr(made, name, one)
    return made


def document(*content: Dataset, **changes: Any) -> bytes:
    """A Basic Text SR as bytes, with these content items under its root."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = BASIC_TEXT_SR, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientName, made.PatientID, made.AccessionNumber, made.Modality = "Nobody^Named", "S000001", "F7", "SR"
    made.CompletionFlag, made.VerificationFlag = "COMPLETE", "UNVERIFIED"
    made.ValueType, made.ConceptNameCodeSequence = "CONTAINER", [code("18748-4", "Diagnostic Imaging Report")]
    made.ContentSequence = list(content)
    for name, value in changes.items():
        setattr(made, name, value)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = (
        made.SOPClassUID,
        made.SOPInstanceUID,
    )
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def heading(value: str, meaning: str, *texts: str) -> Dataset:
    children = [item("TEXT", "99", "Paragraph", TextValue=text) for text in texts]
    return item("CONTAINER", value, meaning, ContentSequence=children)


WHOLE = document(
    heading("121060", "History", "Cough."),
    heading("121070", "Findings", "Heart size is normal.", "No effusion."),
    heading("121072", "Impressions", "Normal chest."),
)


def test_texts_stand_under_the_heading_above_them() -> None:
    sections = join_parts(parse_parts(parse_document(WHOLE, "x"), "x"))
    assert (sections.findings, sections.impression) == ("Heart size is normal.\nNo effusion.", "Normal chest.")
    assert sections.indication == "Cough."


def test_one_text_with_headings_of_its_own_is_split() -> None:
    raw = document(item("TEXT", "111412", "Narrative Summary", TextValue="FINDINGS: Clear.\r\nIMPRESSION: Normal."))
    assert join_parts(parse_parts(parse_document(raw, "x"), "x")).findings == "Clear."


def test_a_draft_is_a_preliminary_successor_of_what_it_came_from(tmp_path: Path, run: Run) -> None:
    given, out = tmp_path / "in.dcm", tmp_path / "out.dcm"
    given.write_bytes(document(heading("121070", "Findings", FINDINGS)))
    assert run("dicom", "draft", given, out).code == 0
    before, made = pydicom.dcmread(given), pydicom.dcmread(out)
    assert (made.SOPClassUID, made.Modality) == (BASIC_TEXT_SR, "SR")
    assert (made.CompletionFlag, made.VerificationFlag, made.PreliminaryFlag) == (
        "PARTIAL",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    for name in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"):
        assert made[name].value == before[name].value
    assert made.SOPInstanceUID != before.SOPInstanceUID
    assert made.SeriesInstanceUID != before.SeriesInstanceUID
    referred = made.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert referred.ReferencedSOPInstanceUID == before.SOPInstanceUID
    sections = join_parts(parse_parts(parse_document(out.read_bytes(), "x"), "x"))
    assert sections.findings == FINDINGS
    assert "atelectasis" in sections.impression
    names = [one.TextValue for one in made.ContentSequence if one.ValueType == "TEXT"]
    assert names[0].startswith("radllama ")
    assert "model mini@" in names[0]


def test_every_content_item_of_a_draft_has_what_its_kind_needs(tmp_path: Path, run: Run) -> None:
    given, out = tmp_path / "in.dcm", tmp_path / "out.dcm"
    given.write_bytes(document(heading("121070", "Findings", FINDINGS)))
    run("dicom", "draft", given, out)
    needed = {"TEXT": "TextValue", "CODE": "ConceptCodeSequence", "UIDREF": "UID", "CONTAINER": "ContinuityOfContent"}
    waiting = list(pydicom.dcmread(out).ContentSequence)
    seen = set()
    while waiting:
        one = waiting.pop()
        seen.add(one.ValueType)
        assert needed[one.ValueType] in one
        assert len(one.ConceptNameCodeSequence) == 1
        assert one.RelationshipType in ("CONTAINS", "HAS CONCEPT MOD", "HAS OBS CONTEXT")
        waiting += one.get("ContentSequence", [])
    assert seen == set(needed)


def test_a_draft_is_not_read_back_as_a_signed_report(tmp_path: Path, run: Run) -> None:
    given, out = tmp_path / "in.dcm", tmp_path / "drafts" / "out.dcm"
    given.write_bytes(document(heading("121070", "Findings", FINDINGS)))
    run("dicom", "draft", given, out)
    (one,) = read_source("dicom", out.parent)
    assert isinstance(one, Unusable)
    assert one.reason == "preliminary report only"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "cannot be read as DICOM"),
        (CANARY.encode() * 100, "cannot be read as DICOM"),
        (document(heading("121070", "Findings", CANARY), Modality="CT"), "not a DICOM structured report ("),
        (document(heading("121070", "Findings", CANARY), SOPClassUID="1.2.840.10008.5.1.4.1.1.2"), "not a DICOM"),
        (document(heading("121070", "Findings", CANARY), VerificationFlag="VERIFIED"), "is signed"),
        (document(heading("121072", "Impressions", CANARY)), "no findings in it"),
        (document(), "no findings in it"),
    ],
)
def test_what_cannot_be_drafted_from_is_one_line_that_quotes_nothing(
    tmp_path: Path, run: Run, raw: bytes, told: str
) -> None:
    given, out = tmp_path / "in.dcm", tmp_path / "out.dcm"
    given.write_bytes(raw)
    done = run("dicom", "draft", given, out)
    assert done.code == 2
    assert told in done.err
    assert not out.exists()


def test_a_document_that_is_there_is_not_replaced(tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out.dcm"
    out.write_bytes(b"kept")
    assert run("dicom", "draft", tmp_path / "in.dcm", out).code == 2
    assert out.read_bytes() == b"kept"


@settings(max_examples=40)
@given(st.binary(max_size=200), st.integers(0, len(WHOLE)), st.integers(0, 40))
def test_no_bytes_crash_the_reader(noise: bytes, at: int, cut: int) -> None:
    for raw in (noise, WHOLE[:at] + noise + WHOLE[at + cut :], WHOLE[:at]):
        try:
            join_parts(parse_parts(parse_document(raw, "x"), "x"))
        except InputError:
            continue


def test_a_tree_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = item("CONTAINER", "121070", "Findings")
    for _ in range(60):
        deep = item("CONTAINER", "121070", "Findings", ContentSequence=[deep])
    assert parse_parts(parse_document(document(deep), "x"), "x") == []
    monkeypatch.setattr("radllama.reports.dicom._MOST_ITEMS", 50)
    with pytest.raises(InputError, match="over 50 content items"):
        parse_parts(parse_document(document(deep), "x"), "x")
    with pytest.raises(InputError, match="a report is far smaller"):
        parse_document(bytes(2_000_000), "x")


def test_a_folder_of_documents_becomes_reports(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(WHOLE)
    (tmp_path / "two").write_bytes(document(heading("121070", "Findings", "Clear."), AccessionNumber="F8"))
    (tmp_path / "3.dcm").write_bytes(b"nothing")
    two, one, three = read_source("dicom", tmp_path)
    assert isinstance(one, Report)
    assert (one.id, one.patient_id, one.source, one.impression) == ("F7", "S000001", "dicom", "Normal chest.")
    assert (two.id, isinstance(two, Report)) == ("F8", True)
    assert isinstance(three, Unusable)
    assert three.reason == "not a DICOM structured report"
