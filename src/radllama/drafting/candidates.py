"""Candidates for a draft beyond what was said: what lacks something is completed, not thrown away.

"Small left effusion. No pneumothorax." is as close to "No pneumothorax." as a text can be that tells of the effusion.
So a candidate that leaves out what must be repeated gets a sentence for it, the findings' own in short or one that
colleagues wrote of findings alike, before it, behind it, or in its place; the vote decides which reads best.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, product

from radllama.clinical.checks.claims import Section
from radllama.clinical.segment import find_sentences
from radllama.library.habits import find_topics, topics_in
from radllama.wording import shorten, strip_list_numbers

_OF_A_BONE = frozenset({"Fracture", "Deformity", "Bone Lesion"})
_ADJECTIVE = re.compile(r"(?:ed|ic|al|ous|ent)$", re.IGNORECASE)
Names = Callable[[str, str], bool]

_BASES = 6  # candidates that are completed
_SENTENCES = 6  # for each topic
_COMBINATIONS = 40  # of sentences for several topics


def complete(
    bases: Iterable[str], topics: Sequence[str], sentences: Mapping[str, Sequence[str]], names: Names
) -> Iterator[str]:
    """For the first bases, as far as they do not name all `topics`: the base with sentences for the missing ones.

    Without any base there are the sentences alone. `sentences` holds at least one for each topic, `names` says whether
    a text tells of a topic. Texts may come twice.
    """
    for base in map(strip_list_numbers, list(islice(bases, _BASES)) or [""]):
        missing = [topic for topic in topics if not names(base, topic)]
        if not missing:
            continue
        for added in _combine(missing, sentences, names):
            yield f"{added} {base}".strip()
            yield f"{base} {added}".strip()
            yield added


def own_sentences(findings: Section, topic: str) -> list[str]:
    """The findings' sentences that assert or doubt a topic, in short, in their order."""
    spans = dict.fromkeys(claim.mention.sentence for claim in find_topics(findings).get(topic, ()))
    shortened = (shorten(findings.text[start:end]) for start, end in spans)
    return list(dict.fromkeys(sentence for sentence in shortened if sentence))


def bare_phrase(findings: Section, topic: str) -> str:
    """The topic in the fewest words of the findings: how severe, which side, what ("Small left effusion.").

    Empty where so few words would tell nothing: of an adjective ("blunted"), or of a bone without its name.
    """
    claims = find_topics(findings).get(topic, ())
    if not claims:
        return ""
    mention = max(claims, key=lambda claim: claim.value).mention
    if mention.concept.kind == "organ":
        return f"{topic.capitalize()}."
    if topic in _OF_A_BONE or _ADJECTIVE.search(findings.text[slice(*mention.span)]):
        return ""
    spans = sorted({word.span for word in (*mention.severity[:1], *mention.side[:1])})
    words = [findings.text[start:end].lower() for start, end in (*spans, mention.span)]
    phrase = " ".join(words)
    return f"{phrase[:1].upper()}{phrase[1:]}."


def sentences_naming(topic: str, impressions: Sequence[str]) -> Iterator[str]:
    """The sentences of some impressions that name a topic, without the number of a list."""
    for impression in map(strip_list_numbers, impressions):
        for start, end in find_sentences(impression):
            sentence = impression[start:end]
            if topic in topics_in(sentence):
                yield sentence if sentence.endswith(".") else f"{sentence}."


def _combine(topics: Sequence[str], sentences: Mapping[str, Sequence[str]], names: Names) -> list[str]:
    """Texts that name all topics: a sentence for each that those before it do not name."""
    texts: dict[str, None] = {}
    choices = product(*(sentences[topic][:_SENTENCES] for topic in topics))
    for chosen in islice(choices, _COMBINATIONS):
        parts: dict[str, None] = {}
        for topic, sentence in zip(topics, chosen, strict=True):
            if not any(names(part, topic) for part in parts):
                parts[sentence] = None
        texts[" ".join(parts)] = None
    return list(texts)
