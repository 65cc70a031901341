"""The sample hospital: a department that does not exist, with reports that no patient ever had.

A seeded generator of radiology reports of several modalities in a house style of their own, for the
demo, the tests and training. Every sentence comes from the grammar in `sample_exams/`, which was
written for this purpose; nothing is taken from real reports. See docs/sample-hospital.md.
"""

import csv
import random
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from radllama.errors import InputError
from radllama.files import write_aside
from radllama.reports.sample_grammar import Exam, expand, read_exams
from radllama.reports.sample_study import (
    Abnormality,
    draw_first,
    draw_next,
    render_findings,
    render_impression,
)

COLUMNS = ("accession", "mrn", "exam", "report")

_FOLLOW_UP = 0.28  # the chance that a study is not its patient's last
_HURRIED = 0.1  # the share of findings dictated in shorthand
_SHORTHAND = {"without": "w/o", "with": "w/", "status post": "s/p", "evidence of": "e/o"}
_SHORTHAND_WORDS = re.compile(r"\b(" + "|".join(_SHORTHAND) + r")\b")
_TITLE_CASE = {
    "INDICATION": "Clinical History",
    "COMPARISON": "Comparison",
    "TECHNIQUE": "Technique",
    "FINDINGS": "Findings",
    "IMPRESSION": "Impression",
}
_UNITS = (("days", 9), ("weeks", 8), ("months", 11))
_ADDENDA = (
    "Discussed with the referring team by telephone.",
    "Laterality confirmed with the technologist.",
    "Prior outside images were requested.",
)


@dataclass(frozen=True, slots=True)
class SampleReport:
    """One synthetic report, whole and in parts; a section that the report lacks is the empty string.

    `exam` names the grammar ("chest_xray"); `report` is the full text with headings, as a RIS exports it.
    An impression of several items has one a line.
    """

    accession: str
    mrn: str
    exam: str
    report: str
    findings: str
    impression: str
    indication: str
    comparison: str
    technique: str


@dataclass(frozen=True, slots=True)
class _Patient:
    mrn: str
    exam: Exam
    person: str
    study: Mapping[str, str]
    studies: int = 0
    found: tuple[Abnormality, ...] = ()  # in the latest study


def generate(count: int, seed: int = 0, exams: Collection[str] | None = None) -> Iterator[SampleReport]:
    """Yield `count` reports, the same ones for the same seed; a longer run begins with the shorter one.

    `exams` restricts to some kinds (names as in `exam_names()`), in their usual proportions. About a
    quarter of the reports are follow-ups of an earlier patient. Raises InputError for an unknown exam.
    """
    kinds = read_exams()
    if unknown := sorted(set(exams or ()) - set(kinds)):
        raise InputError(f"no sample exam {unknown[0]!r}; there are: {', '.join(kinds)}")
    chosen = [exam for name, exam in kinds.items() if exams is None or name in exams]
    rng = random.Random(f"radllama sample {seed}")  # of text: the same on every platform
    waiting: list[_Patient] = []
    patients = 0
    for number in range(1, count + 1):
        if waiting and rng.random() < 0.25:
            patient = waiting.pop(rng.randrange(len(waiting)))
        else:
            patients += 1
            patient = _new_patient(patients, chosen, rng)
        patient = _examine(patient, rng)
        yield _dictate(f"A{number:07d}", patient, rng)
        if rng.random() < _FOLLOW_UP:
            waiting.append(patient)


def exam_names() -> list[str]:
    """The kinds of exam that the hospital performs."""
    return list(read_exams())


def write_sample(out: Path, count: int = 1200, seed: int = 0) -> Path:
    """Write `out/reports.csv` as a RIS would export it, with the columns in `COLUMNS`; returns its path.

    The file takes its place only when complete. Raises InputError for a count below 1.
    """
    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    path = out / "reports.csv"
    with write_aside(path) as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for sample in generate(count, seed):
            writer.writerow([getattr(sample, column) for column in COLUMNS])
    return path


def _new_patient(number: int, exams: list[Exam], rng: random.Random) -> _Patient:
    exam = rng.choices(exams, weights=[exam.share for exam in exams])[0]
    person = f"{rng.randint(19, 88)}-year-old {rng.choice(('woman', 'man'))}"
    study = {slot: rng.choice(values) for slot, values in exam.study.items()}
    return _Patient(f"S{number:06d}", exam, person, study)


def _examine(patient: _Patient, rng: random.Random) -> _Patient:
    if patient.studies:
        found = draw_next(patient.exam, patient.found, patient.study, rng)
    else:
        found = draw_first(patient.exam, patient.study, rng)
    return replace(patient, studies=patient.studies + 1, found=tuple(found))


def _dictate(accession: str, patient: _Patient, rng: random.Random) -> SampleReport:
    exam = patient.exam
    values = {**patient.study, "patient": patient.person}
    findings = render_findings(exam, patient.found, patient.study, rng)
    if rng.random() < _HURRIED:
        findings = _SHORTHAND_WORDS.sub(lambda match: _SHORTHAND[match[1]], findings)
    sections = {
        "INDICATION": _sentence(expand(rng.choice(exam.indications), values, rng)),
        "COMPARISON": _comparison(patient, rng),
        "TECHNIQUE": expand(rng.choice(exam.technique), values, rng) if rng.random() < 0.7 else "",
        "FINDINGS": findings,
        "IMPRESSION": render_impression(exam, patient.found, patient.study),
    }
    return SampleReport(
        accession=accession,
        mrn=patient.mrn,
        exam=exam.name,
        report=_lay_out(expand(exam.title, values, rng).upper(), sections, rng),
        findings=findings,
        impression=sections["IMPRESSION"],
        indication=sections["INDICATION"],
        comparison=sections["COMPARISON"],
        technique=sections["TECHNIQUE"],
    )


def _comparison(patient: _Patient, rng: random.Random) -> str:
    if patient.studies == 1:
        return rng.choice(("None.", "None available.", ""))
    unit, most = rng.choice(_UNITS)
    return f"{_sentence(patient.exam.noun)} {rng.randint(2, most)} {unit} earlier."


def _lay_out(title: str, sections: Mapping[str, str], rng: random.Random) -> str:
    """The full text: three layouts, now and then an addendum, a signature that names nobody."""
    layout = rng.choice(("blocks", "blocks", "run in", "title case"))
    blocks = [f"EXAM: {title}"]
    for heading, text in sections.items():
        if text:
            name = _TITLE_CASE[heading] if layout == "title case" else heading
            # An impression of several items starts on a line of its own in every layout.
            gap = "\n" if layout == "blocks" or "\n" in text else " "
            blocks.append(f"{name}:{gap}{text}")
    if rng.random() < 0.6:
        blocks.append(f"Electronically signed by attending radiologist R{rng.randint(1, 14):02d}.")
    if rng.random() < 0.04:
        blocks.append(f"ADDENDUM: {rng.choice(_ADDENDA)}")
    return ("\n" if layout == "run in" else "\n\n").join(blocks) + "\n"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
