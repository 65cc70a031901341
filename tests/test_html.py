import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.evaluation.html import line_through, mark_differences, render_evaluation, share_in_bins
from radllama.evaluation.measures import FAITHFULNESS, MEASURES

HOSTILE = """<script>alert("x")</script> & 'quoted' <img src=x onerror=y> {{ 7 * 7 }} 5 < 6"""


def summary(n: int = 3, score: float | None = 0.5, empty: int = 0) -> dict[str, Any]:
    bounds = None if score is None else [score - 0.1, score + 0.1]
    return {
        "n": n,
        **dict.fromkeys(MEASURES, score),
        "ci95": dict.fromkeys(MEASURES, bounds),
        "denominators": {name: n for name, measure in MEASURES.items() if measure.per},
        "empty_drafts": empty,
    }


def observed(repeated: float | None, invented: float) -> dict[str, Any]:
    return {
        "repeated": repeated,
        "invented": invented,
        "ci95": {"repeated": None if repeated is None else [0.1, 0.9], "invented": [0.0, 0.5]},
        "denominators": {"repeated": 0 if repeated is None else 4, "invented": 10},
    }


def page(text: str = "No effusion.", trivial: bool = True, difference: float = 0.2, **changes: Any) -> str:
    rows = {"constant": 0.4, "lead": 0.1, "nearest": 0.3} if trivial else {}
    apart = {"mean": difference, "ci95": [difference - 0.1, difference + 0.1]}
    observations = {"Edema": observed(0.5, 0.0), "Hernia": observed(None, 0.2)}
    scores = {
        "overall": summary() | {"observations": observations},
        "strata": {"normal": summary(2), "abnormal": summary(1, 0.2), "observation:Edema": summary(1, None)},
        "trivial": {
            row: {
                "overall": summary(score=score) | {"observations": {}},
                "strata": {"normal": summary(2), "abnormal": summary(1), "observation:Edema": summary(1)},
                "difference": dict.fromkeys(MEASURES, apart),
            }
            for row, score in rows.items()
        },
        "empty_drafts": 0,
        "missing_references": 0,
        "system": text,
        "notes": [text],
    }
    # An observation has a summary of all its measures, or of none: this one keeps ROUGE.
    scores["strata"]["observation:Edema"] |= {"rouge1": 0.5, "rougeL": 0.5}  # type: ignore[index]
    draft = {"id": text, "findings": text, "reference": text, "draft": text + " More.", "nearest": text}
    draft |= {"flags": [{"kind": "side", "message": text}], "omitted": ["Edema"], "invented": []}  # type: ignore[dict-item]
    shown = [{**draft, "rouge1": 0.5, "strata": ["normal"]}]
    curve, counts = changes.pop("curve", None), changes.pop("counts", {"grave": 1, "known": 3})
    return render_evaluation(
        scores | changes,
        measures=MEASURES,
        families={"faithfulness": list(FAITHFULNESS)},
        rows={"system": text, **{row: f"{row} explained" for row in rows}},
        strata={"normal": "normal reference", "abnormal": "abnormal reference", "observation:Edema": "shows Edema"},
        main_strata=["normal", "abnormal"],
        histograms={row: [0.25] * 4 for row in ["system", *rows]},
        harmful=shown,
        sample=shown,
        curve=curve,
        counts=counts,
    )


class Reader(HTMLParser):
    """What a browser would see: tags with their attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_tag_is_closed_where_it_was_opened() -> None:
    reader = Reader(page())
    assert reader.open == []
    assert reader.tags.count("html") == 1


@pytest.mark.parametrize("trivial", [True, False])
def test_the_file_stands_alone_and_runs_nothing(trivial: bool) -> None:
    html = page(trivial=trivial)
    reader = Reader(html)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name in ("src", "href") or name.startswith("on")]
    assert "http" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_report_text_is_escaped_wherever_it_stands() -> None:
    html = page(HOSTILE)
    reader = Reader(html)
    assert not {"script", "img"} & set(reader.tags)
    assert "onerror" not in dict(reader.attributes)
    # System, note, id, findings, reference, draft and nearest show the text as it is, and nothing is evaluated.
    assert reader.text.count(HOSTILE) >= 2 * 5 + 3
    assert "49" not in reader.text.replace("&", "")


def test_a_difference_is_called_by_its_interval() -> None:
    assert "better</span> in wording (+20.0 ROUGE-1)" in squeezed(page(difference=0.2))
    assert "worse</span> in wording (\u221220.0 ROUGE-1)" in squeezed(page(difference=-0.2))
    assert "not different</span> in wording (+5.0 ROUGE-1)" in squeezed(page(difference=0.05))


def test_to_invent_more_is_worse() -> None:
    html = squeezed(page(difference=0.2))
    assert "better</span> in what it repeats (+20.0)" in html
    assert "worse</span> in what it invents (+20.0)" in html


def squeezed(html: str) -> str:
    return re.sub(r"\s+", " ", html)


def test_faithfulness_stands_before_wording() -> None:
    text = Reader(page()).text
    assert text.index("Repeated") < text.index("Answered normal") < text.index("Invented") < text.index("ROUGE-1")
    head = page().split("<thead>")[1].split("</thead>")[0]
    assert [head.index(name) for name in (">repeated", ">answered normal", ">invented", ">ROUGE-1")] == sorted(
        head.index(name) for name in (">repeated", ">answered normal", ">invented", ">ROUGE-1")
    )


def test_what_has_no_value_is_a_dash_and_not_a_zero() -> None:
    row = page().split("shows Edema")[1].split("</tr>")[0]
    assert row.count("\u2013") == len(FAITHFULNESS)
    assert "None" not in Reader(page()).text and "nan" not in Reader(page()).text.lower()


def test_without_findings_the_cards_say_that_nothing_can_be_said() -> None:
    unknown = summary(score=0.5) | dict.fromkeys(FAITHFULNESS) | {"observations": {}}
    html = page(overall=unknown, trivial=False, counts={"grave": 0, "known": 0})
    assert html.count("the findings are not known") == 3
    assert "something grave" not in html


def test_flags_and_what_was_left_out_stand_beside_the_draft() -> None:
    html = page("Left effusion.")
    assert "<b>side</b> Left effusion." in html
    assert "<b>left out</b> Edema stands in findings and reference" in html


def test_observations_are_shown_by_what_is_repeated_and_what_is_invented() -> None:
    html = page()
    assert 'Edema <span class="ci">n 4</span>' in html
    assert 'aria-label="Hernia: 2 drafts"' in html


def test_the_learning_curve_is_shown_where_there_is_one() -> None:
    assert "How did it learn" not in page() + page(curve=[])
    html = page(curve=[{"step": 5, "loss": 2.0}, {"step": 9, "loss": 1.0}])
    assert "2.000 at step 5, 1.000 at step 9" in html
    assert "ROUGE-1 of validation drafts" not in html


def test_a_line_goes_through_its_points_from_the_first_step_to_the_last() -> None:
    points = [{"step": 10.0, "loss": 3.0}, {"step": 20.0, "loss": 1.0}, {"step": 30.0}, {"step": 50.0, "loss": 2.0}]
    assert line_through(points, "loss") == "0.00,5.00 25.00,95.00 100.00,50.00"
    assert line_through(points[:1], "loss") == "0.00,95.00"


def test_what_went_wrong_is_said_in_short() -> None:
    assert "are empty" not in page()
    html = page(empty_drafts=2, missing_references=1)
    assert "2 drafts are empty." in html
    assert "1 draft had no reference and could not be scored." in html


def test_without_trivial_rows_the_page_says_that_there_is_nothing_to_compare_with() -> None:
    assert "Nothing to compare with" in page(trivial=False)
    assert "Nothing to compare with" not in page()


def test_bars_end_at_their_score() -> None:
    bars = re.findall(r'class="bar" x="0" y="7" width="([\d.]+)%"', page())
    assert [float(width) for width in bars[:4]] == pytest.approx([50, 40, 10, 30])


def test_the_share_in_bins_counts_every_report_once() -> None:
    assert share_in_bins([0.0, 0.04, 0.05, 0.5, 1.0], bins=20)[0] == 0.4
    assert share_in_bins([0.99, 1.0], bins=4) == [0, 0, 0, 1]
    assert sum(share_in_bins([at / 13 for at in range(14)], bins=7)) == pytest.approx(1)


def test_words_that_differ_are_marked_a_phrase_at_a_time() -> None:
    marked = mark_differences("Small left effusion, no edema.", "Large right effusion. No edema", "extra")
    assert marked == '<mark class="extra">Small left</mark> effusion, no edema.'


def test_case_and_punctuation_are_no_difference() -> None:
    assert mark_differences("No edema, no mass.", "no EDEMA no mass", "extra") == "No edema, no mass."


def test_a_list_number_is_no_difference_and_a_measurement_is() -> None:
    assert mark_differences("1. 6 mm cyst. 2. Scar.", "8 mm cyst. Scar.", "missed") == (
        '1. <mark class="missed">6</mark> mm cyst. 2. Scar.'
    )


def test_a_word_at_another_place_is_a_difference() -> None:
    assert "mark" in mark_differences("left lung right kidney", "right lung left kidney", "extra")


def test_against_nothing_all_is_marked_and_nothing_has_no_marks() -> None:
    assert mark_differences("No edema.", "", "missed") == '<mark class="missed">No edema</mark>.'
    assert mark_differences("", "No edema.", "missed") == ""


@given(st.text(), st.text())
def test_marking_keeps_every_character(text: str, other: str) -> None:
    marked = mark_differences(text, other, "extra")
    assert re.sub(r'</?mark(?: class="extra")?>', "", str(marked)) == str(mark_differences(text, text, "extra"))
    assert mark_differences(text, text, "extra").unescape() == text
