import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from radllama.clinical.check import FLAG_KINDS, Checker, Flag, check
from radllama.clinical.check_file import check_file
from radllama.clinical.checks.claims import Claim, Section, parse_section
from radllama.clinical.checks.rules import load_rules
from radllama.clinical.segment import find_sentences
from radllama.errors import InputError

CASES = yaml.safe_load((Path(__file__).parent / "data" / "checked_drafts.yaml").read_text(encoding="utf-8"))
FLAGGED = [
    (kind, case["findings"], draft)
    for kind, cases in CASES.items()
    for case in cases
    for draft in case.get("flagged", [])
]
PASSED = [
    (kind, case["findings"], draft)
    for kind, cases in CASES.items()
    for case in cases
    for draft in case.get("passed", [])
]
FINDINGS = sorted({case["findings"] for cases in CASES.values() for case in cases})


def kinds(findings: str, draft: str) -> list[str]:
    return [flag.kind for flag in check(findings, draft)]


def only(findings: str, draft: str) -> Flag:
    (flag,) = check(findings, draft)
    return flag


def test_every_kind_has_drafts_to_flag_and_drafts_to_pass() -> None:
    assert set(CASES) == set(FLAG_KINDS)
    for kind in FLAG_KINDS:
        assert sum(one == kind for one, _, _ in FLAGGED) >= 8
        assert sum(one == kind for one, _, _ in PASSED) >= 6


@pytest.mark.parametrize(("kind", "findings", "draft"), FLAGGED, ids=[f"{k}: {d}" for k, _, d in FLAGGED])
def test_a_fault_raises_a_flag_of_its_kind(kind: str, findings: str, draft: str) -> None:
    assert kind in kinds(findings, draft)


@pytest.mark.parametrize(("kind", "findings", "draft"), PASSED, ids=[f"{k}: {d}" for k, _, d in PASSED])
def test_a_draft_that_agrees_raises_none_of_that_kind(kind: str, findings: str, draft: str) -> None:
    assert kind not in kinds(findings, draft)


EFFUSION = "Heart size is normal. There is a small left pleural effusion. The right lung is clear. No pneumothorax."


@pytest.mark.parametrize(("draft", "kind", "said", "held_against"), [
    ("Small right pleural effusion.", "side", "right", "pleural effusion"),
    ("No pleural effusion.", "negation", "pleural effusion", "pleural effusion"),
    ("Small left effusion with left pneumothorax.", "negation", "pneumothorax", "pneumothorax"),
    ("Large left pleural effusion.", "severity", "Large", "pleural effusion"),
    ("Small left pleural effusion, 4 cm.", "measurement", "4 cm", None),
    ("Small left pleural effusion and cardiomegaly.", "negation", "cardiomegaly", "Heart size"),
    ("Small left pleural effusion. Hiatal hernia.", "unsupported", "Hiatal hernia", None),
    ("No acute disease.", "omitted", None, "pleural effusion"),
    ("Small left pleural effusion, unchanged from the prior study.", "prior", "unchanged", None),
    ("Small left pleural effusion. Recommend CT.", "recommendation", "Recommend", None),
    ("Small left pleural effusion and", "malformed", "d", None),
    ("", "malformed", None, None),
])  # fmt: skip
def test_a_flag_names_both_places(draft: str, kind: str, said: str | None, held_against: str | None) -> None:
    flag = only(EFFUSION, draft)
    assert flag.kind == kind
    assert (draft[slice(*flag.draft_span)] if flag.draft_span else None) == said
    assert (EFFUSION[slice(*flag.findings_span)] if flag.findings_span else None) == held_against


def test_messages_are_sentences_of_ours_and_quote_no_report() -> None:
    finding, draft = "Zebra-like stripes. Small left effusion on 4 MAY.", "Zonkey pattern. Large right effusion, 31 mm."
    for flag in check(finding, draft):
        assert flag.message[0].isupper() and flag.message.endswith(".")
        assert not {"zebra", "zonkey", "may", "31"} & set(flag.message.lower().replace(".", " ").split())


def test_flags_come_in_the_order_of_their_kinds() -> None:
    found = kinds(EFFUSION, "Large right effusion, 3 cm, new since the prior exam. Recommend CT. Pneumonia. and")
    assert found == sorted(found, key=FLAG_KINDS.index)
    assert len(set(found)) >= 6


BOTH_SIDES = "Small left pleural effusion. Right lower lobe consolidation."


@pytest.mark.parametrize("draft", ["Left effusion with airspace disease.", "Left effusion and mild airspace disease."])
def test_a_finding_that_shares_anothers_side_does_not_stand_for_one_on_the_other(draft: str) -> None:
    assert only(BOTH_SIDES, draft).kind == "omitted"


@pytest.mark.parametrize("draft", ["Left effusion with right airspace disease.", "Left effusion. Airspace disease."])
def test_a_finding_of_no_shared_side_stands_for_it(draft: str) -> None:
    assert kinds(BOTH_SIDES, draft) == []


def test_what_is_denied_is_not_told_again_as_left_out() -> None:
    assert kinds(EFFUSION, "No pleural effusion.") == ["negation"]


def test_findings_are_read_once_for_many_drafts() -> None:
    checker = Checker(EFFUSION)
    found = [[flag.kind for flag in checker.check(draft)] for draft in ("Left effusion.", "Right effusion.")]
    assert found == [[], ["side"]]


def test_a_policy_decides_what_must_be_repeated() -> None:
    findings, draft = "Scoliosis. Small left pleural effusion.", "No acute disease."

    def curves_alone(claim: Claim, findings: Section) -> bool:
        return claim.topic == "Spinal Curvature"

    assert [flag.findings_span for flag in check(findings, draft)] == [(22, 38)]
    assert [flag.findings_span for flag in check(findings, draft, curves_alone)] == [(0, 9)]


def test_a_claim_has_the_side_of_the_lung_it_is_placed_in() -> None:
    (opacity,) = parse_section("Opacity in the left lung.").claims
    assert opacity.topic == "Lung Opacity" and opacity.sides == {"left"}


def test_an_organ_that_is_merely_stable_makes_no_claim() -> None:
    assert [claim.topic for claim in parse_section("Stable mediastinum. The heart is enlarged.").claims] == [
        "Cardiomegaly"
    ]


def test_the_rules_name_concepts_of_the_lexicon() -> None:
    rules = load_rules()
    assert all(topic in topics for topic, topics in rules.restates.items())
    assert all(rules.restates[topic] <= topics for topic, topics in rules.related.items())


def test_a_letter_that_grows_in_lower_case_moves_no_span() -> None:
    assert only("Clear lungs.", "İ No acute acute acute disease.").draft_span == (5, 22)


@given(st.text(), st.text())
def test_any_two_texts_can_be_checked_and_spans_lie_within_them(findings: str, draft: str) -> None:
    for flag in check(findings, draft):
        assert flag.kind in FLAG_KINDS
        for span, text in ((flag.draft_span, draft), (flag.findings_span, findings)):
            assert span is None or 0 <= span[0] < span[1] <= len(text)


TEXT = (
    "no small large left right bilateral effusion pneumothorax . , and with 4 mm 1.2 cm nodule in the lung is clear "
    "unchanged since prior recommend CT may represent normal heart enlarged acute disease İ XXXX"
)
WORDS = st.sampled_from(TEXT.split())


@settings(max_examples=300)
@given(st.lists(WORDS, max_size=30).map(" ".join), st.lists(WORDS, max_size=20).map(" ".join))
def test_any_order_of_a_reports_words_can_be_checked(findings: str, draft: str) -> None:
    for flag in check(findings, draft):
        for span, text in ((flag.draft_span, draft), (flag.findings_span, findings)):
            assert span is None or 0 <= span[0] < span[1] <= len(text)


@given(st.sampled_from(FINDINGS), st.randoms(use_true_random=False))
def test_sentences_of_the_findings_contradict_nothing_in_them(findings: str, random: object) -> None:
    parts = [findings[start:end] for start, end in find_sentences(findings)]
    random.shuffle(parts)  # type: ignore[attr-defined]
    found = set(kinds(findings, " ".join(parts)))
    assert not found & {"side", "negation", "measurement", "severity", "unsupported", "omitted", "prior"}


# --- files ----------------------------------------------------------------------------------------------------------


def write_lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_file_gains_flags_and_keeps_all_else(tmp_path: Path) -> None:
    row = {"id": 7, "findings": EFFUSION, "draft": "Right effusion.", "model": "m"}
    empty = {"id": "b", "findings": EFFUSION, "draft": None, "finish_reason": "no_findings"}
    drafts = write_lines(tmp_path / "d.jsonl", row, empty, {"id": "c", "findings": EFFUSION, "draft": "Left effusion."})
    counts = check_file(drafts, tmp_path / "f.jsonl")
    one, two, three = (json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines())
    assert {key: one[key] for key in row} == row
    assert [flag["kind"] for flag in one["flags"]] == ["side"]
    assert one["flags"][0]["draft_span"] == [0, 5]
    assert [flag["kind"] for flag in two["flags"]] == []
    assert three["flags"] == []
    assert counts == {"drafts": 3, "abstained": 1, "flagged": 1, "side": 1}


@pytest.mark.parametrize(("rows", "told"), [
    ([{"id": "a", "findings": "x"}], '1: has no "draft"'),
    ([{"id": "a", "draft": "x"}], '1: has no "findings"'),
    ([{"id": "a", "findings": 3, "draft": "x"}], "must be text, found a int"),
    ([{"findings": "x", "draft": "x"}], '1: no "id"'),
    ([{"id": "a", "findings": "", "draft": ""}] * 2, "already stands on line 1"),
    ([{"id": "a", "findings": "\ud800", "draft": ""}], "half a surrogate pair"),
    ([], "holds no line"),
    (["text"], "expected a JSON object"),
])  # fmt: skip
def test_a_bad_line_is_told_and_nothing_is_written(tmp_path: Path, rows: list[object], told: str) -> None:
    out = tmp_path / "f.jsonl"
    with pytest.raises(InputError, match=told):
        check_file(write_lines(tmp_path / "d.jsonl", *rows), out)
    assert not out.exists()


def test_a_file_is_not_written_over_itself(tmp_path: Path) -> None:
    drafts = write_lines(tmp_path / "d.jsonl", {"id": "a", "findings": "", "draft": ""})
    with pytest.raises(InputError, match="another file"):
        check_file(drafts, drafts)


def test_the_command_counts_kinds_and_waits_for_no_model(tmp_path: Path) -> None:
    drafts = write_lines(tmp_path / "d.jsonl", {"id": "a", "findings": EFFUSION, "draft": "Right effusion."})
    program = (
        "import sys\nfrom radllama.cli import main\n"
        f"sys.argv = ['radllama', 'check', '--in', {str(drafts)!r}, '--out', {str(tmp_path / 'f.jsonl')!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print({'torch', 'transformers', 'sklearn'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "f.jsonl")
    summary, side, heavy = done.stderr.strip().splitlines()
    assert summary == "1 drafts checked, 1 with a flag"
    assert side.split() == ["side", "1"]
    assert heavy == "set()"
