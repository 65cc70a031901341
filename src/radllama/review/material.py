"""What a study is about: reports, each system's draft of each of them, and the drafts to calibrate with."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from radllama.errors import InputError
from radllama.evaluation.drafts import read_rows
from radllama.report import Report, parse_id, parse_text, read_reports
from radllama.review.blinding import NOTHING, is_all_capitals, show_text
from radllama.review.form import RATED, Form, check_answer
from radllama.text import words

CALIBRATION = Path(__file__).parent / "calibration.yaml"
HUMAN = "signed"
_NAME_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Text:
    """A draft of a system as it wrote it, and as raters see it."""

    system: str
    draft: str
    shown: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A draft to calibrate with: the answers that the study expects, and why."""

    draft: str
    expected: Mapping[str, int | str]
    why: str


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """A report that raters begin with."""

    id: str
    findings: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """All texts of a study: `texts[i]` are the drafts of `reports[i]`, in the order of `systems`."""

    reports: list[Report]
    systems: list[str]
    texts: list[list[Text]]
    human: str | None


def parse_systems(arguments: Sequence[str], human_reference: bool) -> dict[str, Path]:
    """`--system` arguments NAME=FILE by name. Raises InputError for two of one name, or what is no such argument."""
    systems: dict[str, Path] = {}
    taken = {HUMAN.casefold()} if human_reference else set()
    for argument in arguments:
        name, equals, path = argument.partition("=")
        name = name.strip()
        if not equals or not name or not path:
            raise InputError(f"--system {argument!r}: expected NAME=FILE")
        if len(name) > _NAME_CHARACTERS or not name.isprintable():
            raise InputError(f"--system {name!r}: a name has at most {_NAME_CHARACTERS} printable characters")
        if name.casefold() in taken:
            whose = "the signed impression's" if human_reference and name.casefold() == HUMAN else "another system's"
            raise InputError(f"--system {name}: this is {whose} name already; give each system a name of its own")
        taken.add(name.casefold())
        systems[name] = Path(path)
    if not systems:
        raise InputError("a study needs at least one --system NAME=FILE")
    return systems


def gather(
    reports_file: Path, systems: Mapping[str, Path], human_reference: bool, sample: int | None = None, seed: int = 0
) -> Material:
    """Read everything, and draw `sample` of the reports.

    Raises InputError for a draft that is missing, or a report without findings or, where the signed impression takes
    part, without one.
    """
    reports = list(read_reports(reports_file))
    if not reports:
        raise InputError(f"{reports_file}: no reports in it")
    if sample is not None:
        if not 1 <= sample <= len(reports):
            raise InputError(f"--sample {sample}: {reports_file} has {len(reports)} reports")
        # By place, so that the same seed draws the same reports; then in the order of the file.
        reports = [reports[at] for at in sorted(random.Random(seed).sample(range(len(reports)), sample))]
    _refuse(reports_file, "no findings", [one.id for one in reports if not words(one.findings)], len(reports))
    if human_reference:
        without = [one.id for one in reports if not words(one.impression)]
        _refuse(reports_file, "no signed impression to take part", without, len(reports))
    drafts = {name: _read_drafts(path) for name, path in systems.items()}
    for name, path in systems.items():
        without = [one.id for one in reports if one.id not in drafts[name]]
        _refuse(path, f"no draft of {name}'s", without, len(reports))
    texts = []
    for report in reports:
        written = [(name, drafts[name][report.id]) for name in systems]
        written += [(HUMAN, report.impression)] if human_reference else []
        texts.append([Text(name, draft, show_text(draft)) for name, draft in written])
    names = [*systems, HUMAN] if human_reference else [*systems]
    return Material(reports, names, texts, HUMAN if human_reference else None)


def _refuse(path: Path, lack: str, ids: list[str], of: int) -> None:
    if ids:
        more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
        raise InputError(f"{path}: {lack} for {len(ids)} of {of} reports ({', '.join(ids[:3])}{more}); add them")


def _read_drafts(path: Path) -> dict[str, str]:
    drafts: dict[str, str] = {}
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        identity = parse_id(row, where)
        if identity in drafts:
            raise InputError(f"{where}: a second draft of report {identity!r}; one draft a report")
        if "draft" not in row:
            raise InputError(f'{where}: no "draft"; every line needs id and draft')
        drafts[identity] = parse_text(row, "draft", where)
    if not drafts:
        raise InputError(f"{path}: no drafts in it")
    return drafts


def describe_material(material: Material) -> list[tuple[str, str]]:
    """What could give a writer away although layout is levelled, as (system, what), and what is empty or alike."""
    told = []
    for at, system in enumerate(material.systems):
        mine = [texts[at] for texts in material.texts]
        lengths = sorted(len(words(text.draft)) for text in mine)
        facts = [f"{lengths[len(lengths) // 2]} words in the middle"]
        if empty := sum(text.shown == NOTHING for text in mine):
            facts.append(f'{empty} empty, shown as "{NOTHING}"')
        if capitals := sum(is_all_capitals(text.draft) for text in mine):
            facts.append(f"{capitals} all in capitals, which raters will notice")
        told.append((system, "; ".join(facts)))
    if alike := sum(len({text.shown for text in texts}) < len(texts) for texts in material.texts):
        told.append(("alike", f"on {alike} of {len(material.texts)} reports two drafts read the same"))
    return told


def read_calibration(path: Path | None, form: Form) -> list[CalibrationReport]:
    """The calibration set in a YAML file. Raises InputError for answers that the form does not know.

    None is the set that ships with the package: of its answers, those that a form does not ask for are left out.
    """
    strict, path = path is not None, path or CALIBRATION
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(f"{path}: not YAML") from None
    if not isinstance(held, list) or not held:
        raise InputError(f"{path}: expected a list of reports, each with id, findings and drafts")
    reports = [
        _calibration_report(one, f"{path}: report {number}", form, strict) for number, one in enumerate(held, start=1)
    ]
    if len({one.id for one in reports}) < len(reports):
        raise InputError(f"{path}: two reports have one id")
    return reports


def _calibration_report(held: Any, where: str, form: Form, strict: bool) -> CalibrationReport:
    if not isinstance(held, dict) or not isinstance(held.get("drafts"), list) or not held["drafts"]:
        raise InputError(f"{where}: expected id, findings and drafts")
    findings = parse_text(held, "findings", where)
    if not words(findings):
        raise InputError(f"{where}: it has no findings")
    trials = tuple(
        _trial(one, f"{where}, draft {number}", form, strict) for number, one in enumerate(held["drafts"], start=1)
    )
    return CalibrationReport(parse_id(held, where), findings, trials)


def _trial(held: Any, where: str, form: Form, strict: bool) -> Trial:
    if not isinstance(held, dict) or not isinstance(held.get("answers"), dict):
        raise InputError(f"{where}: expected impression, answers and why")
    draft, why = parse_text(held, "impression", where), parse_text(held, "why", where)
    if not words(draft) or not words(why):
        raise InputError(f"{where}: it has no impression, or does not say why")
    expected = {}
    for name, value in held["answers"].items():
        try:
            item = form.item(name)
            if item.kind not in RATED:
                raise InputError(f"{name} is neither a scale nor a choice")
            expected[name] = check_answer(item, value, draft)
        except InputError as error:
            if strict:
                raise InputError(f"{where}: {error}") from None
    return Trial(draft, expected, why)
