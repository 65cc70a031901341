"""A draft as a DICOM Basic Text SR: partial, unverified, preliminary, and a successor of the document it came from.

The tree follows TID 2000, Basic Diagnostic Imaging Report (PS3.16), with the headings Findings and Impressions.
"""

import hashlib
import os
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import radllama
from radllama.errors import InputError
from radllama.reports.dicom import BASIC_TEXT_SR, parse_document, parse_parts
from radllama.reports.parts import join_dictated

# Whose document it is and of what: taken over as it stands (PS3.3, Patient and General Study modules).
_KEPT = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber",
    "StudyDescription", "ReferencedRequestSequence",
)  # fmt: skip
_REQUIRED = ("PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_MAY_BE_EMPTY = (
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)


@dataclass(frozen=True, slots=True)
class Dictated:
    """A document that wants an impression, and the sections it is drafted from."""

    document: Any
    findings: str
    indication: str


def read_dictated(path: Path) -> Dictated:
    """The document at `path` and its findings. Raises InputError for none, or one that has been verified."""
    document = parse_document(path.read_bytes(), str(path))
    if document.get("VerificationFlag") == "VERIFIED":
        raise InputError(f"{path}: a verified document is signed; there is nothing to draft")
    if missing := [name for name in _REQUIRED if name not in document]:
        raise InputError(f"{path}: lacks {', '.join(missing)}, which every document has")
    sections = join_dictated(parse_parts(document, str(path)))
    if not sections.findings.strip():
        raise InputError(
            f"{path}: no findings in it; expected a heading Findings (121070, DCM), or text without headings"
        )
    return Dictated(document, sections.findings, sections.indication)


def make_draft_document(dictated: Dictated, impression: str, model: str, weights_sha256: str, moment: datetime) -> Any:
    """The draft as pydicom's Dataset with its file meta. `model` and its hash are the device that observed."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    given, made = dictated.document, Dataset()
    for name in _KEPT:
        if name in given or name in _MAY_BE_EMPTY:
            setattr(made, name, given.get(name, ""))
    made.SpecificCharacterSet = "ISO_IR 192"  # UTF-8: a draft may hold what the given one's cannot
    made.SOPClassUID, made.SOPInstanceUID = BASIC_TEXT_SR, generate_uid()
    made.SeriesInstanceUID, made.SeriesNumber, made.InstanceNumber = generate_uid(), 1, 1
    made.Modality = "SR"
    made.SeriesDescription = "Draft impression"
    made.ReferencedPerformedProcedureStepSequence = []
    made.Manufacturer, made.ManufacturerModelName = "radllama", model[:64]
    made.SoftwareVersions = radllama.__version__
    made.ContentDate = made.InstanceCreationDate = f"{moment:%Y%m%d}"
    made.ContentTime = made.InstanceCreationTime = f"{moment:%H%M%S}"
    made.TimezoneOffsetFromUTC = f"{moment:%z}" or "+0000"
    made.CompletionFlag, made.VerificationFlag, made.PreliminaryFlag = "PARTIAL", "UNVERIFIED", "PRELIMINARY"
    made.CompletionFlagDescription = "Draft by software; a radiologist reads, corrects and signs"
    made.PerformedProcedureCodeSequence = [_copy_code(one) for one in given.get("PerformedProcedureCodeSequence") or []]
    reference = _reference(given)
    made.PredecessorDocumentsSequence = [reference]
    for name in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        if given.get(name):
            setattr(made, name, given.get(name))
    _fill_root(made, dictated.findings, impression, model, weights_sha256)

    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = BASIC_TEXT_SR
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def write_document(document: Any, path: Path) -> None:
    """Write a DICOM file, aside first."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that were taken over: they quote them
            document.save_as(aside, enforce_file_format=True)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _fill_root(made: Any, findings: str, impression: str, model: str, weights_sha256: str) -> None:
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = [_code("18748-4", "LN", "Diagnostic Imaging Report")]
    template = _dataset(MappingResource="DCMR", TemplateIdentifier="2000")
    made.ContentTemplateSequence = [template]
    device_uid = f"2.25.{int(hashlib.sha256(weights_sha256.encode()).hexdigest()[:30], 16)}"
    made.ContentSequence = [
        _item(
            "HAS CONCEPT MOD",
            "CODE",
            ("121049", "DCM", "Language of Content Item and Descendants"),
            ConceptCodeSequence=[_code("en", "RFC5646", "English")],
        ),
        _item(
            "HAS OBS CONTEXT",
            "CODE",
            ("121005", "DCM", "Observer Type"),
            ConceptCodeSequence=[_code("121007", "DCM", "Device")],
        ),
        _item("HAS OBS CONTEXT", "UIDREF", ("121012", "DCM", "Device Observer UID"), UID=device_uid),
        _item(
            "HAS OBS CONTEXT",
            "TEXT",
            ("121013", "DCM", "Device Observer Name"),
            TextValue=f"radllama {radllama.__version__}, model {model}, weights {weights_sha256 or 'not hashed'}",
        ),
        _heading(("121070", "DCM", "Findings"), ("121071", "DCM", "Finding"), findings),
        _heading(("121072", "DCM", "Impressions"), ("121073", "DCM", "Impression"), impression),
    ]


def _heading(name: tuple[str, str, str], item: tuple[str, str, str], text: str) -> Any:
    return _item(
        "CONTAINS",
        "CONTAINER",
        name,
        ContinuityOfContent="SEPARATE",
        ContentSequence=[_item("CONTAINS", "TEXT", item, TextValue=text)],
    )


def _item(relation: str, kind: str, name: tuple[str, str, str], **values: Any) -> Any:
    return _dataset(RelationshipType=relation, ValueType=kind, ConceptNameCodeSequence=[_code(*name)], **values)


def _code(value: str, scheme: str, meaning: str) -> Any:
    return _dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _copy_code(code: Any) -> Any:
    return _code(*(str(code.get(name, "")) for name in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")))


def _reference(given: Any) -> Any:
    """The given document, as a later one refers to it."""
    instance = _dataset(ReferencedSOPClassUID=given.SOPClassUID, ReferencedSOPInstanceUID=given.SOPInstanceUID)
    series = _dataset(SeriesInstanceUID=given.SeriesInstanceUID, ReferencedSOPSequence=[instance])
    return _dataset(StudyInstanceUID=given.StudyInstanceUID, ReferencedSeriesSequence=[series])


def _dataset(**values: Any) -> Any:
    from pydicom.dataset import Dataset

    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made
