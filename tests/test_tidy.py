"""Tidying: only what surrounds an impression goes, nothing is invented, and what is tidy stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.rivals.tidy import RULES, tidy

CHATTY = [
    # answer, what is left, rules
    ("Impression: Normal chest.", "Normal chest.", "heading"),
    ("IMPRESSION:\n1. Small effusion.\n2. Normal heart.", "1. Small effusion.\n2. Normal heart.", "heading"),
    ("**Impression:** Normal chest.", "Normal chest.", "heading"),
    ("### Final Impression\n\nNormal chest.", "Normal chest.", "heading"),
    ("**Impression**: Normal chest.", "Normal chest.", "heading"),
    ("Impression: >5 mm nodule.", ">5 mm nodule.", "heading"),
    ("Findings: The lungs are clear.\nImpression: Normal chest.", "Normal chest.", "heading"),
    ("印象：双肺未见异常。", "双肺未见异常。", "heading"),
    ("Here is the impression: Normal chest.", "Normal chest.", "preamble"),
    ("Sure! Here's the impression derived from the findings:\n\nNormal chest.", "Normal chest.", "preamble"),
    ("Based on the findings, the impression is: small effusion.", "small effusion.", "preamble"),
    ("The impression is: Normal chest.", "Normal chest.", "preamble"),
    ("Certainly, Normal chest.", "Normal chest.", "preamble"),
    ("Of course! Normal chest.", "Normal chest.", "preamble"),
    ("Sure, here you go, my summary:\nImpression: Normal.", "Normal.", "preamble heading"),
    ("```\nNormal chest.\n```", "Normal chest.", "fence"),
    ("```text\nNormal chest.\n```\nLet me know if that helps.", "Normal chest.", "fence"),
    ("```\nNormal chest.", "Normal chest.", "fence"),
    ("<think>Is it clear? Impression: no.</think>\n\nNormal chest.", "Normal chest.", "thinking"),
    ("Is it clear?\n</think>\nNormal chest.", "Normal chest.", "thinking"),
    ("<think>Is it clear? It may be, but", "", "thinking"),
    ("<unused94>thought\nIs it clear?<unused95>Normal chest.", "Normal chest.", "thinking"),
    ("## Thinking\n\nIt is clear.\n\n## Final Response\n\nNormal chest.", "Normal chest.", "thinking"),
    ("## Thinking\n\nIt is clear, and", "", "thinking"),
    ("Normal chest.\n\nNote: This is a draft by an AI.", "Normal chest.", "closing"),
    ("Normal chest.\n\n**Note:** Please consult a radiologist.", "Normal chest.", "closing"),
    ("Normal chest.\nLet me know if you need more.\nBye.", "Normal chest.", "closing"),
    ("Normal chest.\n\nfindings: Effusion.\nimpression: Effusion.", "Normal chest.", "next_turn"),
    ("Normal chest.\n\n### Instruction:\nDerive the", "Normal chest.", "next_turn"),
    ("Normal chest.\n\nBelow is an instruction that describes", "Normal chest.", "next_turn"),
    ("Normal chest.<|im_end|>\n<|im_start|>user", "Normal chest.", "next_turn"),
    ("Normal chest. [INST] Derive", "Normal chest.", "next_turn"),
    ("Small **left** effusion.", "Small left effusion.", "emphasis"),
    ('"Normal chest."', "Normal chest.", "quotes"),
    ("“Normal chest.”", "Normal chest.", "quotes"),
    (
        "<think>Well.</think>Sure! Here is the impression:\n\n```\nImpression: **Normal** chest.\n```\nI hope so.",
        "Normal chest.",
        "thinking fence heading emphasis",
    ),
    (
        'Impression: "Normal chest."\n\nThis impression is based on the findings.',
        "Normal chest.",
        "heading closing quotes",
    ),
]

TIDY = [
    "Normal chest.",
    "No acute cardiopulmonary abnormality.",
    "1. Small left effusion.\n2. Stable 5 mm nodule; recommend CT in 6 months.",
    "Note is made of a hiatal hernia.",
    "Small effusion.\nNote: recommend CT in 6 months.",
    "Certainly normal chest.",
    "Given the history of tuberculosis: scarring.",
    "Based on comparison with 2010: stable.",
    "The impression of a mass is caused by overlap.",
    "Findings are consistent with edema.",
    "The findings suggest: edema or infection.",
    'Right "water bottle" heart.',
    '"Water bottle" heart, "boot" shape no longer "seen".',
    "Effusion < 5 mm, nodule >5 mm.",
    "Vertebral impression fracture.",
    "Impression fracture of T12.",
    "- Edema\n- Effusion",
    "",
]


@pytest.mark.parametrize(("answer", "left", "rules"), CHATTY)
def test_what_surrounds_an_impression_is_taken_off(answer: str, left: str, rules: str) -> None:
    tidied = tidy(answer)
    assert tidied.text == left
    assert " ".join(tidied.rules) == rules


@pytest.mark.parametrize("impression", TIDY)
def test_an_impression_stays_as_it_is(impression: str) -> None:
    assert tidy(impression) == tidy(f"  {impression}\n")
    assert tidy(impression).text == impression
    assert tidy(impression).rules == ()


CONTINUED = [
    ("Normal chest.\nimpression: Normal chest.\nimpression: Nor", "Normal chest.", "next_turn"),
    ("Normal chest.\n\nfindings: Effusion.\nimpression: Effusion.", "Normal chest.", "next_turn"),
    ("Impression: Normal chest.", "Normal chest.", "heading"),
    ("Normal chest.\nImpression fracture of T12.", "Normal chest.\nImpression fracture of T12.", ""),
]


@pytest.mark.parametrize(("answer", "left", "rules"), CONTINUED)
def test_an_answer_that_continues_a_text_begins_with_the_impression(answer: str, left: str, rules: str) -> None:
    tidied = tidy(answer, continues=True)
    assert tidied.text == left
    assert " ".join(tidied.rules) == rules


def test_every_rule_is_shown_above() -> None:
    assert {rule for _, _, rules in CHATTY for rule in rules.split()} == RULES.keys()


pieces = st.sampled_from([answer for answer, _, _ in CHATTY] + TIDY + ["\n", "\n\n", "```", "**", '"', "</think>", ":"])
answers = st.lists(pieces | st.text(max_size=20), max_size=5).map("".join)


@given(answers, st.booleans())
def test_what_is_left_stands_in_the_answer_in_its_order(answer: str, continues: bool) -> None:
    rest = iter(answer)
    assert all(character in rest for character in tidy(answer, continues).text)


@given(answers, st.booleans())
def test_tidying_twice_changes_nothing_more(answer: str, continues: bool) -> None:
    once = tidy(answer, continues)
    assert tidy(once.text, continues).text == once.text


@given(st.text(alphabet="`*_\"' \n<>/think#:note", max_size=3_000))
def test_any_text_is_done_with_soon(answer: str) -> None:
    assert len(tidy(answer).text) <= len(answer)
