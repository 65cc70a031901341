"""The sample hospital: reproducible, readable, and never at odds with itself."""

import csv
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports import sample
from radllama.reports.phi import scan
from radllama.reports.sample import COLUMNS, SampleReport, exam_names, generate, write_sample
from radllama.reports.sample_grammar import COURSES, Size, expand, parse_exam, read_exams
from radllama.reports.sample_study import (
    MINOR_BELOW,
    URGENT_FROM,
    Abnormality,
    draw_first,
    draw_next,
    render_findings,
    render_impression,
)
from radllama.reports.sections import parse_sections

SIZE = re.compile(r"\d+(?:\.\d)? (?:mm|cm)\b")
TINY = """
title: XR TOE {side}
noun: toe radiograph
share: 1
study: {side: [left]}
opening: ["{side} toe."]
technique: [Two views.]
indications: ["{patient} stubbed it."]
normal: Normal {side} toe.
minor: Nothing much.
groups:
  - covers: [bone, joint]
    say: [Bone and joint are fine.]
structures:
  - name: bone
    limit: 2
    normal: [Bone is fine.]
    conditions:
      - {name: crack, weight: 80, course: fixed, findings: [a crack], impression: crack, advise: Advise a boot.}
      - {name: hole, weight: 95, slots: {size: 2-20 mm}, findings: ["a {size} hole"], impression: "{size} hole",
         advise: {10: Advise filling., 2: Advise waiting.}}
      - {name: dot, weight: 5, course: chronic, findings: [a dot], impression: dot}
  - name: joint
    normal: [Joint is fine.]
    conditions:
      - {name: water, weight: 40, slots: {severity: [mild, severe]}, heavier: {severe: 50, mild: -30},
         findings: ["{severity} water"], impression: "{severity} water", silences: [skin]}
  - name: skin
    normal: [Skin is fine.]
    conditions: []
"""


@pytest.fixture(scope="module")
def reports() -> list[SampleReport]:
    return list(generate(3000, seed=1))


def toe(name: str, **values: str) -> Abnormality:
    exam = parse_exam("toe", TINY)
    condition = next(each for part in exam.structures for each in part.conditions if each.name == name)
    return Abnormality(condition, {"side": "left", **values})


def impression_of(*found: Abnormality) -> str:
    return render_impression(parse_exam("toe", TINY), found, {"side": "left"})


# The hospital as a whole


def test_the_same_seed_gives_the_same_reports() -> None:
    assert list(generate(60, seed=4)) == list(generate(60, seed=4))


def test_another_seed_gives_other_reports() -> None:
    first = {each.findings for each in generate(60, seed=4)}
    assert len(first & {each.findings for each in generate(60, seed=5)}) < 5


def test_a_longer_run_begins_with_the_shorter_one() -> None:
    assert list(generate(200, seed=2))[:50] == list(generate(50, seed=2))


def test_no_reports_are_no_reports() -> None:
    assert list(generate(0)) == []


def test_every_exam_occurs_and_the_chest_radiograph_is_the_largest_share(reports: list[SampleReport]) -> None:
    counts = Counter(each.exam for each in reports)
    assert set(counts) == set(exam_names())
    assert counts.most_common(1)[0][0] == "chest_xray"
    assert 0.35 < counts["chest_xray"] / len(reports) < 0.55


def test_a_run_may_be_restricted_to_some_exams() -> None:
    assert {each.exam for each in generate(80, exams=["ct_head", "mr_knee"])} == {"ct_head", "mr_knee"}


def test_an_unknown_exam_is_named_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no sample exam 'pet'; there are: chest_xray, "):
        list(generate(1, exams=["chest_xray", "pet"]))


def test_accessions_are_unique_and_some_patients_return(reports: list[SampleReport]) -> None:
    assert len({each.accession for each in reports}) == len(reports)
    patients = Counter(each.mrn for each in reports)
    assert 0.1 < sum(count > 1 for count in patients.values()) / len(patients) < 0.5


def test_a_returning_patient_keeps_exam_and_side(reports: list[SampleReport]) -> None:
    exams: dict[str, str] = {}
    for each in reports:
        title = each.report.splitlines()[0]
        assert exams.setdefault(each.mrn, title) == title


def test_a_comparison_is_named_when_and_only_when_the_patient_was_here_before(
    reports: list[SampleReport],
) -> None:
    seen: set[str] = set()
    for each in reports:
        assert ("earlier" in each.comparison) == (each.mrn in seen)
        seen.add(each.mrn)


def test_changes_are_told_only_where_there_is_a_prior_study(reports: list[SampleReport]) -> None:
    change = re.compile(r", (?:new|unchanged|increased|decreased|resolved)\b")
    told = [each for each in reports if change.search(each.impression)]
    assert len(told) > 200
    assert all("earlier" in each.comparison for each in told)


# What a report looks like


def test_every_report_parses_back_to_its_own_sections(reports: list[SampleReport]) -> None:
    for each in reports:
        parsed = parse_sections(each.report)
        assert parsed.problem is None
        assert parsed.findings == each.findings
        assert parsed.impression == each.impression
        assert parsed.indication == each.indication
        assert parsed.comparison == each.comparison
        assert parsed.technique == each.technique


def test_findings_are_never_empty_and_stay_short(reports: list[SampleReport]) -> None:
    lengths = [len(each.findings.split()) for each in reports]
    assert min(lengths) >= 5
    assert max(lengths) <= 90


def test_no_template_shows_through(reports: list[SampleReport]) -> None:
    slip = re.compile(r"[\[\]{}|]| {2}|\.\.|,\.| [.,]|\b(\w+) \1\b|\b[Aa] (?:[aeio]|8 |11 )")
    for each in reports:
        for text in (each.findings, each.impression, each.indication, each.technique, each.comparison):
            assert not slip.search(text), text
            assert not text or text.endswith(".")


def test_findings_of_abnormal_studies_are_hardly_ever_the_same(reports: list[SampleReport]) -> None:
    abnormal = [each.findings for each in reports if "No follow-up needed" not in each.impression]
    assert len(abnormal) > 0.5 * len(reports)
    assert len(set(abnormal)) > 0.99 * len(abnormal)


def test_normal_studies_have_many_wordings_and_one_impression(reports: list[SampleReport]) -> None:
    normal = [each for each in reports if each.impression == "Normal chest radiograph. No follow-up needed."]
    assert len(normal) > 100
    assert len({each.findings for each in normal}) > 0.8 * len(normal)


def test_layouts_vary_and_some_reports_are_messy(reports: list[SampleReport]) -> None:
    texts = [each.report for each in reports]
    assert any("\nFINDINGS:\n" in text for text in texts)
    assert any("\nFINDINGS: " in text for text in texts)
    assert any("\nFindings: " in text for text in texts)
    assert any("Electronically signed" in text for text in texts)
    assert any("ADDENDUM:" in text for text in texts)
    assert any(re.search(r"\bw/o?\b", text) for text in texts)
    assert any("TECHNIQUE" not in text.upper() for text in texts)


def test_nothing_looks_like_it_could_identify_anyone(reports: list[SampleReport]) -> None:
    for each in reports:
        report = Report(each.accession, each.mrn, each.findings, each.impression, each.indication)
        assert scan(report) == set()
    ages = re.findall(r"(\d+)-year-old", " ".join(each.indication for each in reports))
    assert max(map(int, ages)) < 90  # safe harbour: older ages identify


# What the impression owes the findings


def test_sides_in_the_impression_stand_in_the_findings(reports: list[SampleReport]) -> None:
    for each in reports:
        for side in re.findall(r"\b(?:right|left|bilateral)\b", each.impression.lower()):
            assert side in each.findings.lower(), each


def test_measurements_in_the_impression_stand_in_the_findings(reports: list[SampleReport]) -> None:
    measured = 0
    for each in reports:
        # The advice to withdraw a tube by 3 cm measures nothing.
        for size in SIZE.findall(each.impression.replace("withdrawal by 3 cm", "")):
            assert size in each.findings, each
            measured += 1
    assert measured > 500


def test_severities_in_the_impression_stand_in_the_findings(reports: list[SampleReport]) -> None:
    grades = r"\b(?:trace|small|mild|moderate|marked|large|severe|extensive)\b"
    for each in reports:
        # "mild" may stand there as "mildly"; the body part "small bowel" is no grade
        for grade in re.findall(grades, each.impression.lower().replace("small bowel", "")):
            assert grade in each.findings.lower(), each


def test_nothing_of_weight_is_dropped_and_nothing_minor_is_told() -> None:
    rng = random.Random(3)
    for exam in read_exams().values():
        for _ in range(150):
            study = {slot: rng.choice(values) for slot, values in exam.study.items()}
            found = draw_first(exam, study, rng)
            found = draw_next(exam, found, study, rng) if rng.random() < 0.5 else found
            impression = render_impression(exam, found, study).lower()
            for each in found:
                size = each.condition.size
                values = {**each.values} | ({"size": size.render(each.size or 0)} if size else {})
                told = expand(each.condition.impression, values, rng).lower() in impression
                assert told == (each.weight >= MINOR_BELOW), (exam.name, each.condition.name)


def test_the_heaviest_stands_first() -> None:
    rng = random.Random(4)
    exam = read_exams()["chest_xray"]
    for _ in range(300):
        found = [each for each in draw_first(exam, {"views": "2 views"}, rng) if not each.minor]
        lines = render_impression(exam, found, {}).splitlines() if len(found) > 1 else []
        assert len(lines) in (0, len(found))
        if lines:
            heaviest = max(found, key=lambda each: each.weight)
            urgent = heaviest.weight >= URGENT_FROM
            assert lines[0].startswith("1. URGENT: " if urgent else "1. ")
            assert not any("URGENT" in line for line in lines[1:]) or urgent


def test_the_impression_is_a_function_of_what_is_abnormal() -> None:
    rng = random.Random(5)
    for exam in read_exams().values():
        study = {slot: values[0] for slot, values in exam.study.items()}
        found = draw_first(exam, study, rng)
        assert len({render_impression(exam, found, study) for _ in range(5)}) == 1
        assert len({render_findings(exam, found, study, rng) for _ in range(30)}) > 3


def test_conditions_that_exclude_each_other_do_not_meet() -> None:
    rng = random.Random(6)
    for exam in read_exams().values():
        limits = {structure.name: structure.limit for structure in exam.structures}
        for _ in range(300):
            study = {slot: rng.choice(values) for slot, values in exam.study.items()}
            conditions = [each.condition for each in draw_first(exam, study, rng)]
            names = {condition.name for condition in conditions}
            assert len(names) == len(conditions)
            assert not any(names & set(condition.not_with) for condition in conditions)
            for structure in exam.structures:
                assert sum(each in structure.conditions for each in conditions) <= limits[structure.name]


# The house style, on a grammar small enough to see through


def test_nothing_abnormal_gets_the_normal_phrase() -> None:
    assert impression_of() == "Normal left toe."


def test_only_minor_things_get_the_minor_phrase() -> None:
    assert impression_of(toe("dot")) == "Nothing much."
    assert impression_of(toe("water", severity="mild")) == "Nothing much."


def test_one_item_has_no_number_and_carries_its_advice() -> None:
    assert impression_of(toe("crack"), toe("dot")) == "Crack. Advise a boot."


def test_several_items_are_numbered_by_weight() -> None:
    found = (toe("crack"), toe("water", severity="severe"))
    assert impression_of(*found) == "1. URGENT: Severe water.\n2. Crack. Advise a boot."


@pytest.mark.parametrize(("size", "advice"), [(20.0, "filling"), (10.0, "filling"), (9.0, "waiting")])
def test_advice_may_depend_on_size(size: float, advice: str) -> None:
    hole = Abnormality(toe("hole").condition, {}, size)
    assert impression_of(hole) == f"URGENT: {size:.0f} mm hole. Advise {advice}."


def test_what_was_advised_before_is_not_advised_again() -> None:
    crack = toe("crack").condition
    assert impression_of(Abnormality(crack, {}, change="unchanged")) == "Crack, unchanged."
    assert impression_of(Abnormality(crack, {}, change="new")) == "Crack, new. Advise a boot."


def test_a_changed_size_is_told_with_the_one_before() -> None:
    hole = Abnormality(toe("hole").condition, {}, 6.0, "increased", 4.0)
    assert impression_of(hole) == "URGENT: 6 mm hole, increased from 4 mm. Advise waiting."
    findings = render_findings(parse_exam("toe", TINY), [hole], {"side": "left"}, random.Random(0))
    assert re.search(r"A 6 mm hole, increased(?: from|, previously) 4 mm\.", findings)


def test_what_has_resolved_is_told_last_and_its_place_is_normal_again() -> None:
    water = Abnormality(toe("water").condition, {"severity": "severe"}, change="resolved")
    assert impression_of(water, toe("crack")) == "1. Crack. Advise a boot.\n2. Severe water, resolved."
    texts = {
        render_findings(parse_exam("toe", TINY), [water], {"side": "left"}, random.Random(seed)) for seed in range(20)
    }
    assert all(re.search("severe water", text) and "resol" in text for text in texts)
    assert any("Joint is fine." in text for text in texts)


def test_a_normal_statement_never_stands_beside_what_denies_it() -> None:
    exam = parse_exam("toe", TINY)
    for seed in range(50):
        text = render_findings(exam, [toe("water", severity="mild")], {"side": "left"}, random.Random(seed))
        assert text.startswith("Left toe. ")
        assert "Mild water." in text
        assert "oint is fine" not in text and "joint are fine" not in text
        assert "Skin" not in text  # silenced
    normal = {render_findings(exam, [], {"side": "left"}, random.Random(seed)) for seed in range(50)}
    assert any("Bone and joint are fine." in text for text in normal)
    assert any("Bone is fine. Joint is fine." in text for text in normal)


def test_a_course_says_what_may_become_of_a_condition() -> None:
    exam, rng = parse_exam("toe", TINY), random.Random(8)
    prior = [toe("crack"), toe("dot"), toe("water", severity="mild")]
    for _ in range(100):
        for each in draw_next(exam, prior, {"side": "left"}, rng):
            if each.change == "new":
                assert each.condition.course != "chronic"
            else:
                assert each.change in COURSES[each.condition.course]
            if each.condition.name == "water" and each.change in ("increased", "decreased"):
                assert each.values["severity"] == {"increased": "severe", "decreased": "mild"}[each.change]


def test_a_size_moves_the_way_the_change_says() -> None:
    exam, rng = parse_exam("toe", TINY), random.Random(9)
    changes: set[str] = set()
    for _ in range(60):
        (hole, *_) = draw_next(exam, [Abnormality(toe("hole").condition, {}, 8.0)], {"side": "left"}, rng)
        assert hole.size is not None
        if hole.change in ("increased", "decreased"):
            assert hole.size_before == 8.0
            assert (hole.size > 8.0) == (hole.change == "increased")
        changes.add(hole.change)
    assert changes == set(COURSES["acute"])


# The grammar


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{side} effusion", "left effusion"),
        ("[a|a] {size} nodule", "an 8 mm nodule"),
        ("a {old} hematoma", "an acute hematoma"),
        ("{grade+ly} enlarged", "mildly enlarged"),
        ("lungs clear [|].", "lungs clear."),
    ],
)
def test_a_template_becomes_text(template: str, text: str) -> None:
    values = {"side": "left", "size": "8 mm", "old": "acute", "grade": "mild"}
    assert expand(template, values, random.Random(0)) == text


@pytest.mark.parametrize(
    ("size", "text"), [(Size(1, 9, "mm"), "4 mm"), (Size(1, 9, "cm"), "4.2 cm"), (Size(1, 9, "degrees"), "4 degrees")]
)
def test_a_size_is_written_as_reports_write_it(size: Size, text: str) -> None:
    assert size.render(size.rounded(4.21)) == text
    assert size.low <= size.draw(random.Random(0)) <= size.high


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('["a {size} hole"]', '["a [{size}|] hole"]', r"hole: the findings may lack \['size'\]"),
        ('["a {size} hole"]', '["a {width} {size} hole"]', r"hole: unknown slots \['width'\]"),
        ("course: fixed", "course: steady", "crack: course must be one of acute, growing"),
        ("silences: [skin]", "silences: [hair]", r"water: unknown names \['hair'\]"),
        ("covers: [bone, joint]", "covers: [bone, nail]", r"a group covers unknown structures \['nail'\]"),
        ("name: dot", "name: crack", "two conditions share a name"),
        ('opening: ["{side} toe."]', "opening: [Toe.]", r"normal: no opening names \['side'\]"),
        ("2-20 mm", "about 2 mm", "hole: a size is written like 4-19 mm"),
    ],
)
def test_a_fault_in_a_grammar_is_named(old: str, new: str, fault: str) -> None:
    assert old in TINY
    with pytest.raises(ValueError, match=fault):
        parse_exam("toe", TINY.replace(old, new))


# The export


def test_the_export_has_the_columns_of_a_ris(tmp_path: Path) -> None:
    path = write_sample(tmp_path / "hospital", count=40, seed=7)
    assert path == tmp_path / "hospital" / "reports.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["report"] for row in rows] == [each.report for each in generate(40, seed=7)]
    assert list(rows[0]) == list(COLUMNS)
    assert [each.name for each in path.parent.iterdir()] == ["reports.csv"]


def test_the_export_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    first = write_sample(tmp_path / "a", count=30).read_bytes()
    assert write_sample(tmp_path / "b", count=30).read_bytes() == first


def test_an_interrupted_export_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write_sample(tmp_path, count=5).read_bytes()

    def interrupted(count: int, seed: int) -> list[SampleReport]:
        raise KeyboardInterrupt

    monkeypatch.setattr(sample, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path, count=9)
    assert (tmp_path / "reports.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_count_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="count must be at least 1, got 0"):
        write_sample(tmp_path, count=0)
    assert list(tmp_path.iterdir()) == []
