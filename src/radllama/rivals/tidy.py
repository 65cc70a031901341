"""Tidying: what chat models say around an impression is taken off, by written rules that are counted.

A rule only takes away: what is left stands in the answer, in its order. No rule reads what an impression says, and
each can be seen in the drafts file, which keeps the answer as it came.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

TIDY_VERSION = 1  # of the rules, as run files record it: raise it with every change
NEXT_TURN = "next_turn"
_MARKS = r"[ \t>*_#-]*"  # of a heading, a quotation or a list
_IMPRESSION = r"(?:(?:final|overall|radiology|radiological|diagnostic|clinical)\s+)?impressions?|印象|诊断印象|影像诊断"
_THOUGHT = re.compile(
    r"<(think|thinking|thought|reasoning)>.*?</\1>"  # DeepSeek, Qwen and most others
    r"|<unused94>.*?<unused95>"  # MedGemma
    r"|\A\s*##\s*Thinking\b.*?^##\s*Final Response\b[ \t:]*",  # HuatuoGPT-o1
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_THOUGHT_WITHOUT_START = re.compile(r"\A.*</(?:think|thinking|thought|reasoning)>", re.DOTALL | re.IGNORECASE)
_THOUGHT_WITHOUT_END = re.compile(
    r"<(?:think|thinking|thought|reasoning)>.*|<unused94>.*|\A\s*##\s*Thinking\b.*", re.DOTALL | re.IGNORECASE
)
_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(rf"^{_MARKS}(?:{_IMPRESSION})[ \t*_]*(?:[:：][ \t*_]*|$)", re.MULTILINE | re.IGNORECASE)
_PREAMBLE = re.compile(
    r"\A\s*(?:(?:sure|certainly|of course|okay|ok|absolutely|great|yes)\b[^\n:]{0,60}?[,.!:]\s*)?"
    r"(?=[^\n:：]*\b(?:impression|findings|report|summary))"
    r"(?:here(?:'s|’s| is| are)|based on|according to|the (?:\w+ )?impression)\b[^\n:：]{0,200}[:：]\s*",
    re.IGNORECASE,
)
_GREETING = re.compile(r"\A\s*(?:sure|certainly|of course|absolutely|okay)[,.!:]\s*", re.IGNORECASE)
_CLOSING = re.compile(
    rf"\n\s*{_MARKS}(?:(?:note|disclaimer)[*_ ]*[:：][*_ ]*(?:this|these|the (?:above|impression)|i\b|please|it is|as )"
    r"|please (?:note|consult)|let me know|i hope|if you (?:have|need|would)|is there anything|feel free|as an ai"
    r"|this (?:impression|summary) (?:is|was)|it(?: is|'s|’s) important to note).*\Z",
    re.DOTALL | re.IGNORECASE,
)
_NEXT_TURN = re.compile(
    rf"\n{_MARKS}(?:findings|instruction|input|response|user|human|assistant)\s*[:：].*\Z"
    r"|\n\s*Below is an instruction that.*\Z|(?:<\|[a-z_]+\|>|\[INST\]|<start_of_turn>|<end_of_turn>|</s>).*\Z",
    re.DOTALL | re.IGNORECASE,
)
_NEXT_IMPRESSION = re.compile(rf"\n{_MARKS}(?:{_IMPRESSION})[ \t*_]*[:：].*\Z", re.DOTALL | re.IGNORECASE)
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("«", "»"))


@dataclass(frozen=True, slots=True)
class Tidied:
    """What is left of an answer, and the rules that took something off, in the order of RULES."""

    text: str
    rules: tuple[str, ...]


def tidy(answer: str, continues: bool = False) -> Tidied:
    """The impression in an answer. Tidying what is tidy changes nothing.

    Where the answer `continues` a text that ends in "impression:", it begins with the impression, and one that is
    headed so further on is the next.
    """
    rules = RULES | {NEXT_TURN: _next_block} if continues else RULES
    text, used = answer.strip(), set()
    while True:
        before = text
        for name, rule in rules.items():
            if (after := rule(text).strip()) != text:
                text = after
                used.add(name)
        if text == before:
            return Tidied(text, tuple(name for name in RULES if name in used))


def _thinking(text: str) -> str:
    text = _THOUGHT.sub("", text)
    text = _THOUGHT_WITHOUT_START.sub("", text)  # where the template opens the thought, the answer only closes it
    return _THOUGHT_WITHOUT_END.sub("", text)  # all tokens went into the thought: there is no impression


def _next_turn(text: str) -> str:
    return _NEXT_TURN.sub("", text)


def _next_block(text: str) -> str:
    return _NEXT_IMPRESSION.sub("", _next_turn(text))


def _fence(text: str) -> str:
    match = _FENCE.search(text)
    return match[1] if match else text


def _heading(text: str) -> str:
    match = _HEADING.search(text)
    return text[match.end() :] if match else text


def _preamble(text: str) -> str:
    match = _PREAMBLE.match(text) or _GREETING.match(text)
    return text[match.end() :] if match else text


def _closing(text: str) -> str:
    return _CLOSING.sub("", text)


def _emphasis(text: str) -> str:
    return re.sub(r"\*\*|(?<!\w)__|__(?!\w)", "", text)


def _quotes(text: str) -> str:
    for opening, closing in _QUOTES:
        inside = text[len(opening) : -len(closing)]
        if len(text) > 1 and text.startswith(opening) and text.endswith(closing) and opening not in inside:
            return inside
    return text


RULES: dict[str, Callable[[str], str]] = {
    "thinking": _thinking,  # a thought before the answer
    "fence": _fence,  # all but the inside of ```
    "preamble": _preamble,  # "Sure! Here is the impression:"
    NEXT_TURN: _next_turn,  # the question after this one, which base models go on to write
    "heading": _heading,  # what stands before "Impression:", and the heading
    "closing": _closing,  # "Note: this ...", "Let me know ..." in a line of their own at the end
    "emphasis": _emphasis,  # ** and __
    "quotes": _quotes,  # around the whole
}
