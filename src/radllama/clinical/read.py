"""Reading a section: text in, every mention out, with its value, its words and what is said about it."""

from dataclasses import dataclass, replace
from functools import lru_cache

from radllama.clinical.attributes import assign, measure, owner_of_measurement
from radllama.clinical.context import judge
from radllama.clinical.lexicon import Concept, Hit, load_lexicon
from radllama.clinical.segment import find_sentences

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Word:
    """A word that says something about a mention or a text: its value, and where it stands."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Measurement:
    """A size: dimensions in millimetres in the order written, and where it stands."""

    millimetres: tuple[float, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Mention:
    """One thing named once. Spans are (first character, past the last) in the text that was read.

    `value` is 1 asserted, 0 denied, -1 doubted, None where nothing is said about now (an organ without a state,
    something told of the past); `cue` is the span of the words that decided it, None where it is plainly asserted.
    `side` values: left, right, bilateral; `place`: upper, middle, lower; `severity`: trace, small, moderate, large;
    `change`: new, worse, better, same, resolved.
    """

    concept: Concept
    value: int | None
    span: Span
    cue: Span | None
    sentence: Span
    side: tuple[Word, ...] = ()
    place: tuple[Word, ...] = ()
    severity: tuple[Word, ...] = ()
    change: tuple[Word, ...] = ()
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was read in a text, in its order.

    `measurements` holds every size, those of mentions too. `priors` are words that speak of an earlier examination
    (value: explicit or implied), `recommendations` those that ask for a further one.
    """

    mentions: tuple[Mention, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    priors: tuple[Word, ...] = ()
    recommendations: tuple[Word, ...] = ()


def read(text: str) -> Reading:
    """Read a section of any length; text that names nothing known gives an empty reading, never an error."""
    mentions: list[Mention] = []
    measurements: list[Measurement] = []
    priors: list[Word] = []
    recommendations: list[Word] = []
    for start, end in find_sentences(text):
        reading = _read_sentence(lower(text[start:end]))
        mentions += (_shift_mention(mention, start) for mention in reading.mentions)
        measurements += (_shift_measurement(size, start) for size in reading.measurements)
        priors += _shift_words(reading.priors, start)
        recommendations += _shift_words(reading.recommendations, start)
    return Reading(tuple(mentions), tuple(measurements), tuple(priors), tuple(recommendations))


# Half of the sentences of a report stand in others too.
@lru_cache(maxsize=20_000)
def _read_sentence(sentence: str) -> Reading:
    lexicon = load_lexicon()
    found = judge(sentence, lexicon)
    assigned = assign(sentence, found, lexicon)
    sizes: list[list[Measurement]] = [[] for _ in found]
    measurements = []
    for hit, millimetres in measure(sentence, lexicon):
        measurements.append(Measurement(millimetres, (hit.start, hit.end)))
        owner = owner_of_measurement(hit, found)
        if owner is not None:
            sizes[owner].append(measurements[-1])
    mentions = []
    for one, said, own in zip(found, assigned, sizes, strict=True):
        mentions.append(
            Mention(
                one.concept,
                one.value,
                span=(one.hit.start, one.hit.end),
                cue=(one.cue.start, one.cue.end) if one.cue else None,
                sentence=(0, len(sentence)),
                side=_words(said.side),
                place=_words(said.place),
                severity=_words(said.severity),
                change=_words(said.change),
                measurements=tuple(own),
            )
        )
    return Reading(
        tuple(mentions),
        tuple(measurements),
        priors=_words(lexicon.attributes["prior"].find(sentence)),
        recommendations=_words(lexicon.attributes["recommendation"].find(sentence)),
    )


def _words(hits: list[Hit]) -> tuple[Word, ...]:
    return tuple(Word(hit.what, (hit.start, hit.end)) for hit in hits)


def lower(text: str) -> str:
    """Lower case character by character, since offsets must hold: some capitals have lower forms of two characters."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _shift(span: Span, by: int) -> Span:
    return span[0] + by, span[1] + by


def _shift_words(words: tuple[Word, ...], by: int) -> tuple[Word, ...]:
    return tuple(Word(word.value, _shift(word.span, by)) for word in words)


def _shift_measurement(size: Measurement, by: int) -> Measurement:
    return Measurement(size.millimetres, _shift(size.span, by))


def _shift_mention(mention: Mention, by: int) -> Mention:
    if not by:
        return mention
    return replace(
        mention,
        span=_shift(mention.span, by),
        cue=_shift(mention.cue, by) if mention.cue else None,
        sentence=_shift(mention.sentence, by),
        measurements=tuple(_shift_measurement(size, by) for size in mention.measurements),
        side=_shift_words(mention.side, by),
        place=_shift_words(mention.place, by),
        severity=_shift_words(mention.severity, by),
        change=_shift_words(mention.change, by),
    )
