"""Faults put into radiologists' impressions, one kind at a time, for `bench/check.py` to look for.

Written from the words of reports alone: nothing here uses the lexicon or the rules that are to find the faults, and a
place is corrupted only where the findings bear out what stands there (the same word in a sentence that asserts it,
or in one that denies it). Each function takes findings, impression and a seeded generator, and returns the corrupted
impression, or None where this impression offers no place for that fault.
"""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from radllama.text import sentences

_DENIAL = re.compile(
    r"\b(?:no|not|without|negative|free|clear of|absent|normal|unremarkable|unlikely|resolved|nor)\b", re.I
)
_WORDS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("corruptions.yaml").read_text(encoding="utf-8"))
_OBSERVATION, _OTHER = (
    re.compile(rf"\b(?:{'|'.join(_WORDS[key])})\b", re.I) for key in ("observations", "other_findings")
)
_NAME = re.compile(rf"{_OBSERVATION.pattern}|{_OTHER.pattern}", re.I)
_GENERIC = re.compile(r"\b(?:abnormalit(?:y|ies)|disease|process|findings?|pathology|infiltrates?)\b", re.I)
_COMMON = frozenset(_WORDS["common"].split())

Corruption = Callable[[str, str, random.Random], str | None]


def _content(text: str) -> set[str]:
    return {word[:6] for word in re.findall(r"[a-z]{4,}", text.lower()) if word not in _COMMON}


def _stem(name: str) -> str:
    return name.lower()[: 7 if name.lower().startswith("pneumo") else 6]


def _asserting(text: str) -> list[str]:
    return [sentence for sentence in sentences(text) if not _DENIAL.search(sentence)]


def _replace(text: str, span: tuple[int, int], by: str) -> str:
    if text[span[0]].isupper():
        by = by[:1].upper() + by[1:]
    return text[: span[0]] + by + text[span[1] :]


def _sentence_at(text: str, position: int) -> str:
    at = 0
    for sentence in sentences(text):
        at = text.index(sentence, at)
        if at <= position < at + len(sentence):
            return sentence
        at += len(sentence)
    return text


def _join(parts: list[str]) -> str:
    """Sentences as an impression, list numbers counted anew."""
    numbered = len(parts) > 1 and all(re.match(r"\d\.\s", part) for part in parts)
    parts = [part if part[-1] in ".!?" else part + "." for part in parts]
    bare = [re.sub(r"^\d\.\s*", "", part) for part in parts]
    return " ".join(f"{i}. {part}" for i, part in enumerate(bare, 1)) if numbered else " ".join(bare)


def swap_side(findings: str, impression: str, rng: random.Random) -> str | None:
    """Left for right or right for left, where every sentence of the findings about the same thing names that side."""
    places = []
    for match in re.finditer(r"\b(left|right)(?=\b|-)", impression, re.I):
        side = match[1].lower()
        other = "right" if side == "left" else "left"
        about = _content(_clause(impression, match.start()))
        same = [s.lower() for s in sentences(findings) if about & _content(s)]
        if any(side in s for s in same) and not any(re.search(rf"{other}|bilat|\bboth\b|\bbi-?bas", s) for s in same):
            places.append((match.span(), other))
    return _replace(impression, *rng.choice(places)) if places else None


def _clause(text: str, position: int) -> str:
    sentence = _sentence_at(text, position)
    start = text.index(sentence)
    for part in re.split(r"(?<=[,;])\s|\band\b|\bwith\b", sentence):
        if text.index(part, start) + len(part) > position:
            return part
    return sentence


def flip_negation(findings: str, impression: str, rng: random.Random) -> str | None:
    """A denial made an assertion, or an assertion a denial, in one sentence of the impression."""
    flips = []
    parts = sentences(impression)
    for i, sentence in enumerate(parts):
        for flipped in (*_assert_denied(findings, sentence, len(parts) == 1), *_deny_asserted(findings, sentence)):
            flips.append([*parts[:i], flipped[:1].upper() + flipped[1:], *parts[i + 1 :]])
    return " ".join(rng.choice(flips)) if flips else None


def _assert_denied(findings: str, sentence: str, alone: bool) -> list[str]:
    denied = [s for s in sentences(findings) if _DENIAL.search(s)]
    flips = []
    for pattern, by in (
        (r"\bno (?:radiographic |definite |convincing )*evidence (?:of|for) (?:an? )?", "evidence of "),
        (r"\b[Nn]o (?=\w)", ""),
        (r"\bwithout (?:evidence of )?", "with "),
        (r"\bnegative for\b", "positive for"),
        (r"\bare clear\b", "are not clear"),
        (r"\bclear of\b", "full of"),
        (r"\b(heart (?:size )?(?:is )?)normal\b", r"\1enlarged"),
        (r"\bnormal (?=chest|exam|study)", "abnormal "),
    ):
        for match in re.finditer(pattern, sentence, re.I):
            rest = sentence[match.end() :]
            named = _NAME.search(rest)
            supported = named and any(_stem(named.group()) in s.lower() for s in denied)
            # "No acute abnormality" denies all at once: findings that say so too cannot be told by a word. It is
            # flipped where it is all that the radiologist says.
            generic = alone and not named and _GENERIC.search(rest) and not _asserted_names(findings)
            if supported or generic:
                flips.append(sentence[: match.start()] + match.expand(by) + rest)
    return flips


def _deny_asserted(findings: str, sentence: str) -> list[str]:
    if _DENIAL.search(sentence) or re.search(r"\b(?:may|could|possibl|likely|or|versus|question|if)\b", sentence, re.I):
        return []
    names = {name for name in map(_stem, _NAME.findall(sentence)) if name in _asserted_names(findings)}
    if not names:
        return []
    number = re.match(r"\d\.\s*", sentence)
    head, body = (number.group(), sentence[number.end() :]) if number else ("", sentence)
    if re.match(r"There (?:is|are)\b", body):
        return [head + re.sub(r"^There (is|are) (?:an? )?", r"There \1 no ", body)]
    if match := re.search(r"\b(?:is|are) (?:present|seen|noted)\b", body):
        return [
            head
            + body[: match.end()].replace(match.group(), match.group().replace(" ", " not ", 1))
            + body[match.end() :]
        ]
    if re.search(r"\b(?:is|are|has|have|represents?|measures?)\b", body):
        return []
    # "No stable cardiomegaly" is nothing that anyone writes.
    lowered = re.sub(
        r"^(?:(?:An?|The|Stable|Unchanged|Persistent|Improved|Improving|Increas\w+|Redemon\w+) )+", "", body
    )
    lowered = lowered[:1].lower() + lowered[1:]
    return [f"{head}No {lowered}", f"{head}No evidence of {lowered}"]


def _asserted_names(findings: str) -> set[str]:
    return {_stem(name) for s in _asserting(findings) for name in _NAME.findall(s)}


_SIZE = re.compile(r"\b(\d+(?:\.\d+)?)(?: ?(?:x|by) ?(\d+(?:\.\d+)?))? ?-?(mm|cm)\b", re.I)
_MEASURABLE = re.compile(
    r"\b(?:nodules?|mass(?:es)?|opacity|opacities|effusions?|pneumothorax|lesions?|granulomas?|hernia|consolidation|"
    r"density|infiltrate|air ?space disease|scar|atelectasis)\b",
    re.I,
)


def change_measurement(findings: str, impression: str, rng: random.Random) -> str | None:
    """Another number or unit in a size that the findings give; where there is none, a size made up for a finding."""
    sizes = list(_SIZE.finditer(impression))
    held = {(float(m[1]), m[3].lower()) for m in _SIZE.finditer(findings)}
    if sizes:
        match = rng.choice(sizes)
        number, unit = float(match[1]), match[3].lower()
        other = "cm" if unit == "mm" else "mm"
        half, more = round(number * 0.6, 1), round(number * rng.choice([1.3, 1.5, 2.0, 3.0]), 1)
        tries = [(f"{half:g}", unit), (f"{more:g}", unit), (match[1], other), (f"{number + 1:g}", unit)]
        tries = [one for one in tries if (float(one[0]), one[1]) not in {*held, (number, unit)}]
        new, new_unit = rng.choice(tries)
        start, end = match.span(1)
        return impression[:start] + new + impression[end : match.start(3)] + new_unit + impression[match.end(3) :]
    places = [m for m in _MEASURABLE.finditer(impression) if not _DENIAL.search(_sentence_at(impression, m.start()))]
    if not places:
        return None
    match = rng.choice(places)
    size = rng.choice([f"{rng.randint(3, 28)} mm", f"{rng.randint(8, 65) / 10} cm", "1.2 x 0.8 cm", "15 x 9 mm"])
    if rng.random() < 0.5:
        return f"{impression[: match.end()]} measuring {size}{impression[match.end() :]}"
    return f"{impression[: match.start()]}{size} {impression[match.start() :]}"


_GRADES = (
    (("tiny", "trace"), ("small",), ("moderate", "moderate-sized"), ("large", "massive")),
    (("minimal", "subtle"), ("mild", "slight"), ("moderate",), ("severe", "marked")),
    (("minimally",), ("mildly", "slightly"), ("moderately",), ("severely", "markedly")),
)


def change_severity(findings: str, impression: str, rng: random.Random) -> str | None:
    """Another size or degree, two steps of four away or from or to the moderate one."""
    places = []
    for scale in _GRADES:
        for rank, grades in enumerate(scale):
            for grade in grades:
                for match in re.finditer(rf"\b{grade}\b(?! to)", impression, re.I):
                    sentence = _sentence_at(impression, match.start())
                    said = [s for s in _asserting(findings) if _content(sentence) & _content(s)]
                    if _DENIAL.search(sentence) or not any(re.search(rf"\b{grade}", s, re.I) for s in said):
                        continue
                    far = [r for r in range(4) if abs(r - rank) >= 2 or (abs(r - rank) == 1 and 2 in (r, rank))]
                    places.append((match.span(), rng.choice(scale[rng.choice(far)])))
    return _replace(impression, *rng.choice(places)) if places else None


def add_finding(findings: str, impression: str, rng: random.Random) -> str | None:
    """A finding that no asserting sentence of the findings comes near to, before, among or after the others."""
    asserted = " ".join(_asserting(findings)).lower()
    new = [
        text for text, near in _WORDS["additions"].items() if not re.search(near, asserted + " " + impression.lower())
    ]
    if not new:
        return None
    parts = sentences(impression)
    at = rng.randint(0, len(parts))
    if len(parts) == 1 and _DENIAL.search(impression) and rng.random() < 0.3:
        return str(rng.choice(new))
    numbered = parts[:1] and re.match(r"\d\.", parts[0])
    added = f"9. {rng.choice(new)}" if numbered else rng.choice(new)
    return _join([*parts[:at], added, *parts[at:]])


_DOUBT = re.compile(
    r"\b(?:may|might|could|possibl\w+|probabl\w+|suspect\w*|or|versus|question\w*|borderline|cannot|exclude\w*|likely|"
    r"suggest\w*|xxxx (?:represent|reflect)\w*)\b",
    re.I,
)


def _left_under_another_name(name: str, rest: str) -> bool:
    groups = [group for group in _WORDS["one_thing"] if re.match(group, name)] or [re.escape(_stem(name))]
    return any(re.search(group, rest.lower()) for group in groups)


def drop_observation(findings: str, impression: str, rng: random.Random) -> str | None:
    """Without a sentence, or a part of one, that asserts one of CheXpert's observations as the findings do."""
    return _drop(_OBSERVATION, findings, impression, rng)


def drop_other(findings: str, impression: str, rng: random.Random) -> str | None:
    """Without a sentence, or a part of one, that asserts any other finding as the findings do."""
    return _drop(_OTHER, findings, impression, rng)


def _drop(names: re.Pattern[str], findings: str, impression: str, rng: random.Random) -> str | None:
    parts = sentences(impression)
    plain = " ".join(sentence for sentence in sentences(findings) if not _DOUBT.search(sentence))
    asserted = _asserted_names(plain)
    dropped = []
    for i, sentence in enumerate(parts):
        for kept, lost in _without_a_part(sentence):
            gone = {name.lower() for name in names.findall(lost) if _stem(name) in asserted}
            rest = [part for part in (*parts[:i], kept, *parts[i + 1 :]) if part]
            left = " ".join(_asserting(" ".join(rest)))
            if gone and not _DENIAL.search(lost) and not any(_left_under_another_name(name, left) for name in gone):
                dropped.append(_join(rest))
    if not dropped:
        return None
    return rng.choice(dropped) or str(rng.choice(_WORDS["normals"]))


def _without_a_part(sentence: str) -> list[tuple[str, str]]:
    """(what is kept, what is lost) for the whole sentence, and for each half of one that joins two findings."""
    ways = [("", sentence)]
    for joint in re.finditer(r",? (?:and|with) |, ", sentence):
        one, two = sentence[: joint.start()], sentence[joint.end() :]
        if _NAME.search(one) and _NAME.search(two):
            ways.append((one + ".", two))
            ways.append((two[:1].upper() + two[1:], one))
    return ways


_COMPARES = re.compile(
    r"prior|previous|compar|interval|stable|chang|since|again|persist|\bnew|increas|decreas|improv|wors|resol|progress|"
    r"earlier|develop|remain|redemon|similar|longer",
    re.I,
)


def add_prior(findings: str, impression: str, rng: random.Random) -> str | None:
    """A comparison with an earlier examination, where neither section makes one."""
    if _COMPARES.search(findings) or _COMPARES.search(impression):
        return None
    asserting = [i for i, s in enumerate(sentences(impression)) if not _DENIAL.search(s) and _NAME.search(s)]
    parts = sentences(impression)
    if asserting and rng.random() < 0.5:
        i = rng.choice(asserting)
        head, body = re.fullmatch(r"(\d\.\s*)?(.*)", parts[i], re.S).groups()  # type: ignore[union-attr]
        parts[i] = (head or "") + rng.choice(_WORDS["prior_prefixes"]) + body[:1].lower() + body[1:]
        return " ".join(parts)
    return _append(parts, rng.choice(_WORDS["priors"]))


_ADVISES = re.compile(
    r"recommend|suggest|advis|follow|correlat|further|consider|evaluat|repeat|obtain|helpful|warrant|dedicated|\bct\b|"
    r"should|if clinic|biopsy|refer|ultrasound|mri",
    re.I,
)


def add_recommendation(findings: str, impression: str, rng: random.Random) -> str | None:
    """Advice, where neither section gives any."""
    if _ADVISES.search(findings) or _ADVISES.search(impression):
        return None
    return _append(sentences(impression), rng.choice(_WORDS["advice"]))


def _append(parts: list[str], sentence: str) -> str:
    """The sentences and one more, with a number where the first has one (`_join` counts anew)."""
    numbered = parts[:1] and re.match(r"\d\.", parts[0])
    return _join([*parts, ("9. " if numbered else "") + sentence])


def break_form(findings: str, impression: str, rng: random.Random) -> str | None:
    """Said twice, said over and over, broken off inside or between words, or no impression at all."""
    parts = sentences(impression)
    words = impression.split()
    ways: list[str] = []
    if len(parts) > 0 and len(parts[-1].split()) > 2:
        ways.append(" ".join([*parts, re.sub(r"^\d\.\s*", "", rng.choice(parts))]))
    if len(words) > 4:
        start = rng.randrange(len(words) - 3)
        run = words[start : start + rng.randint(1, 3)]
        ways.append(" ".join([*words[: start + len(run)], *run * rng.randint(2, 6), *words[start + len(run) :]]))
        last = words[-min(len(words) - 2, len(parts[-1].split())) :]
        if len(last) > 2:
            keep = len(words) - rng.randint(1, len(last) - 1)
            if not re.search(r"[.!?]$", words[keep - 1]):
                ways.append(" ".join(words[:keep]))
        long = [word for word in last if len(word) > 6]
        if long:
            word = rng.choice(long)
            ways.append(impression[: impression.rindex(word) + rng.randint(2, len(word) - 3)])
    ways.append(rng.choice(_WORDS["not_impressions"]))
    if rng.random() < 0.1:
        ways.append(f"FINDINGS: {findings} IMPRESSION: {impression}")
    return rng.choice(ways)


CORRUPTIONS: dict[str, Corruption] = {
    "side": swap_side,
    "negation": flip_negation,
    "measurement": change_measurement,
    "severity": change_severity,
    "unsupported": add_finding,
    "omitted": drop_observation,
    "omitted_other": drop_other,
    "prior": add_prior,
    "recommendation": add_recommendation,
    "malformed": break_form,
}
