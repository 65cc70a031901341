"""What a sentence says of each thing it mentions: asserted, denied, doubted, or told of the past.

ConText's idea, in six rules (the words are in `cues.yaml`):

1. A cue reaches what follows it ("no", "possible") or what stands before it ("is not seen", "cannot be excluded").
2. Its reach ends at a stop ("but", "with", "there is"), at the end of the sentence, and at a comma or "and" after
   which the words open a new statement ("no effusion, the heart is enlarged").
3. A cue that looks back takes the list it follows ("A, B and C are not seen"), but in "there is A and B is not
   seen" the last item alone.
4. A denial holds against a doubt inside its reach ("no opacity to suggest pneumonia"), a doubt after a denial's
   list has ended ("no effusion, possible nodule") stands for itself.
5. Two different findings joined by "or", "versus" or a slash are alternatives: each is doubted ("scar or atelectasis").
6. An organ says nothing by itself. The state beside it decides: normal denies, large asserts, borderline doubts; so
   does an unchanged one, which says nothing of how it was before.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from radllama.clinical.lexicon import Concept, Hit, Lexicon

_VERB = re.compile(r"\b(?:is|are|was|were|has|have|remains?|shows?|demonstrates?|appears?|measures?)\b")
_OPENING = re.compile(r"\b(?:there\s+(?:is|are|may\s+be)|with|shows?|demonstrates?|has|have)\b")
_LIST_JOIN = re.compile(r"\b(?:and|or|nor)\b")
_ALTERNATIVE = re.compile(r"\s*(?:(?:,\s*)?\b(?:or|versus|vs\.?|and/or|and or)\b(?:\s+\S+){0,4}?|/)\s*(?:\w+\s+){0,2}")
_ENDS = ("stop", "affirm", "joint")
# What may stand between an organ and its state: "size is top", "of the ... and mediastinum are".
_STATE_FAR = 90
_FILLER = re.compile(
    r"(?:\W|and|or|in|the|of|size|configuration|contour|for|pulmonary|appearance|appearing|mild(?:ly)?|x{2,}|hilar|central)*"
)


@dataclass(frozen=True, slots=True)
class Found:
    """A mention in its sentence: its concept, its value (1, 0, -1, or None: says nothing now), the cue that decided."""

    concept: Concept
    hit: Hit
    value: int | None
    cue: Hit | None


def judge(sentence: str, lexicon: Lexicon) -> list[Found]:
    """Every mention of one lower-case sentence with its value, in order."""
    mentions = lexicon.mentions.find(sentence)
    if not mentions:
        return []
    joints = [Hit("joint", m.start(), m.end()) for m in lexicon.new_statement.finditer(sentence)]
    cues = sorted([*lexicon.cues.find(sentence), *joints], key=lambda cue: cue.start)
    states = lexicon.states.find(sentence)
    found = []
    for mention in mentions:
        concept = lexicon.concepts[mention.what]
        if concept.kind == "organ":
            value, cue = _judge_organ(sentence, mention, concept, mentions, states, cues)
        else:
            value, cue = _judge_finding(sentence, mention, concept, mentions, cues, states)
        found.append(Found(concept, mention, value, cue))
    return _doubt_alternatives(sentence, found)


def _judge_finding(
    sentence: str, mention: Hit, concept: Concept, mentions: list[Hit], cues: list[Hit], states: list[Hit]
) -> tuple[int | None, Hit | None]:
    before = _reaching_forward(sentence, mention, mentions, cues)
    after = _reaching_back(sentence, mention, mentions, cues)
    for what, value in (("past", None), ("deny", 0), ("denied", 0), ("doubted", -1), ("doubt", -1)):
        for cue in (*before, *after):
            if cue.what == what:
                return value, cue
    for state in states:
        # "Vascular engorgement is within normal limits": what is called normal is not there.
        if (
            state.what == "normal"
            and state.start >= mention.end
            and re.fullmatch(r"\s*(?:is|are|appears?|remains?)?\s*(?:grossly\s+)?", sentence[mention.end : state.start])
        ):
            return 0, state
    return concept.asserted, None


def _reaching_forward(sentence: str, mention: Hit, mentions: list[Hit], cues: list[Hit]) -> list[Hit]:
    """The cues before a mention whose reach it stands in, nearest first."""
    reaching: list[Hit] = []
    for cue in reversed(cues):
        if cue.end > mention.start + 1 and cue.start >= mention.start:
            continue
        if cue.what in _ENDS:
            break
        what = "deny" if cue.what == "either" else cue.what
        if what == "past" and "," in sentence[cue.end : mention.start]:
            continue  # "history of lobectomy, without effusion"
        if what in ("deny", "doubt", "past"):
            doubted = reaching and reaching[-1].what == "doubt"
            if what == "deny" and doubted and _starts_anew(sentence[cue.end : reaching[-1].start]):
                break
            reaching.append(Hit(what, cue.start, cue.end))
    return reaching


def _starts_anew(between: str) -> bool:
    # The doubt opens its own item: "no effusion, possible nodule"; but "no effusion, or suggestion of edema" goes on.
    return bool(re.search(r",\s*(?:and\s+)?$", between))


# "The heart is rotated, and the lungs are clear": a verb and a joint part an organ from the state of another.
_OTHER_STATEMENT = re.compile(rf"{_VERB.pattern}.*(?:,|\band\b)")


def _reaching_back(sentence: str, mention: Hit, mentions: list[Hit], cues: list[Hit]) -> list[Hit]:
    """The cue after a mention that looks back at it, if any."""
    for cue in cues:
        if cue.start < mention.end:
            continue
        if cue.what in _ENDS:
            return []
        backward = cue.what in ("denied", "doubted")
        if cue.what == "either":
            backward = not any(cue.end <= other.start for other in mentions)
        if backward:
            if _in_list_before(sentence, mention, cue, mentions):
                return [Hit("denied" if cue.what == "either" else cue.what, cue.start, cue.end)]
            return []
    return []


def _in_list_before(sentence: str, mention: Hit, cue: Hit, mentions: list[Hit]) -> bool:
    between = [other for other in mentions if mention.end <= other.start and other.end <= cue.start]
    gap = sentence[mention.end : cue.start]
    if not between:
        # "Opacity is present and not seen before": a verb of its own keeps the cue away.
        return not _VERB.search(re.sub(r"^\s*(?:is|are|was|were|has|have)\b", "", gap)) or len(gap.split()) <= 3
    if _VERB.search(gap) or ("," in gap and not _LIST_JOIN.search(gap)):
        return False
    return not _OPENING.search(sentence[: mention.start])


def _judge_organ(
    sentence: str, mention: Hit, concept: Concept, mentions: list[Hit], states: list[Hit], cues: list[Hit]
) -> tuple[int | None, Hit | None]:
    state = _state_of(sentence, mention, mentions, states, cues)
    if state is None:
        return concept.asserted, None
    value = {"normal": 0, "large": 1, "borderline": -1, "stable": -1}[state.what]
    if concept.name == "Lungs" and state.what != "normal":
        return None, None
    if state.what == "large":
        before = [cue for cue in cues if cue.end <= state.start and not _stopped(cue, state, cues)]
        if any(cue.what == "deny" for cue in before):
            value = 0
        elif any(cue.what == "doubt" for cue in before):
            value = -1
    return value, state


def _state_of(sentence: str, mention: Hit, mentions: list[Hit], states: list[Hit], cues: list[Hit]) -> Hit | None:
    """The state that an organ is in: one right before it, or the nearest after it, or the nearest before it."""
    stops = [cue for cue in cues if cue.what == "stop"]
    left = [s for s in states if s.end <= mention.start]
    right = [s for s in states if s.start >= mention.end]
    near = left[-1] if left else None
    adjacent = near and not any(near.end <= stop.start < mention.start for stop in stops)
    if near and adjacent and _only_names(sentence, near.end, mention.start, mentions):
        # "Stable enlarged silhouette": of several states in a row the one that says most.
        row = [near]
        for state in reversed(left[:-1]):
            joined = sentence[state.end : row[-1].start]
            if "," in joined and any(other.end <= state.start for other in mentions):
                break  # "heart enlarged, stable mediastinum"
            if joined.strip(" ,") in ("", "and", "and mildly", "mildly", "mild", "in size"):
                row.append(state)
        row += [s for s in right[:1] if near.what == "stable" and _same_statement(sentence, mention, s, stops)]
        return _strongest(row)
    reach: list[Hit] = []
    for state in right:
        first = not reach and _same_statement(sentence, mention, state, stops)
        if not (reach or first) or state.start - mention.end > _STATE_FAR:
            break
        if reach and not re.fullmatch(r"\W*(?:\w+\W+){0,3}", sentence[reach[-1].end : state.start]):
            break
        between = [*mentions, *stops]
        if reach and any(reach[-1].end <= other.start < state.start for other in between):
            break
        reach.append(state)
    return _strongest(reach) if reach else None


def _same_statement(sentence: str, mention: Hit, state: Hit, stops: list[Hit]) -> bool:
    if any(mention.end <= stop.start and stop.end <= state.start for stop in stops):
        return False
    return not _OTHER_STATEMENT.search(sentence, mention.end, state.start)


def _only_names(sentence: str, start: int, end: int, mentions: list[Hit]) -> bool:
    """Whether nothing but other names, size words and joints stands between a state and an organ."""
    gap, position = "", start
    for other in mentions:
        if start <= other.start and other.end <= end:
            gap += sentence[position : other.start] + " "
            position = other.end
    gap += sentence[position:end]
    return bool(_FILLER.fullmatch(gap))


def _strongest(states: Sequence[Hit]) -> Hit:
    order = ("large", "borderline", "normal", "stable")
    return min(states, key=lambda state: order.index(state.what))


def _stopped(cue: Hit, state: Hit, cues: list[Hit]) -> bool:
    return any(stop.what in _ENDS and cue.end <= stop.start < state.start for stop in cues)


def _doubt_alternatives(sentence: str, found: list[Found]) -> list[Found]:
    judged = list(found)
    for i in range(len(found) - 1):
        one, two = judged[i], judged[i + 1]
        if (one.concept.observations, one.concept.kind) == (two.concept.observations, two.concept.kind):
            continue
        if one.concept.kind != "finding" or two.concept.kind != "finding" or 0 in (one.value, two.value):
            continue
        joint = _ALTERNATIVE.fullmatch(sentence, one.hit.end, two.hit.start)
        if joint:
            cue = Hit("or", one.hit.end, two.hit.start)
            judged[i] = Found(one.concept, one.hit, -1 if one.value == 1 else one.value, one.cue or cue)
            judged[i + 1] = Found(two.concept, two.hit, -1 if two.value == 1 else two.value, two.cue or cue)
    return judged
