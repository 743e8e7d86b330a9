"""The passages of a document as numbered boxes: their words, what they share, what they lack.

Each function takes the passages of one document in order, as `utils.chunking` cuts them, and
`name`: a text that every good passage should hold, such as a product's name ("" for none).
"""

from __future__ import annotations

import html
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from statistics import median

from utils.chunking import CJK, WORD, passage_body
from utils.passages import Passage

MOST_PASSAGES = 60  # shown at once
MOST_CHARACTERS = 6000
MOST_NUMBERS = 12  # of passages without the name, in the summary

BOX = "margin: 6px 0; padding: 2px 10px; line-height: 1.5;"
MISSING = "name missing"
WHOLE, BROKEN = "border: 1px solid currentColor;", "border: 2px dashed currentColor;"
TEXT = "white-space: pre-wrap; overflow-wrap: anywhere"

Words = Counter[int]  # where a word starts in the document -> how many passages hold it


def summary(passages: Sequence[Passage], name: str = "") -> str:
    """In sentences: how many passages, how long, how much is stored twice, what lacks the name."""
    if not passages:
        return "No passage: the document holds no word."
    lengths = [_length(passage) for passage in passages]
    sentences = [
        f"{_count(len(passages), 'passage')}.",
        f"Words a passage: shortest {min(lengths)}, median {median(lengths):g}, "
        f"longest {max(lengths)}.",
        _stored_twice(_words(passages)),
    ]
    headings = sum(len(WORD.findall(_heading(passage))) for passage in passages)
    if headings:
        sentences.append(f"Headings put in front of passages add {_count(headings, 'word')}.")
    if name:
        sentences.append(_missing(passages, name))
    return " ".join(sentences)


def chunks_text(passages: Sequence[Passage], name: str = "") -> str:
    """The passages as numbered paragraphs of plain text, shared words between « and »."""
    words, shown = _words(passages), _shown(passages)
    paragraphs = []
    for number, passage in enumerate(shown, start=1):
        runs = [f"«{run}»" if shared else run for run, shared in _runs(passage, words)]
        text = "\n".join(filter(None, [_heading(passage), "".join(runs)]))
        notes = ", ".join(_notes(passage, words, name))
        paragraphs.append(f"{number}: {notes}\n{textwrap.indent(text, '   ')}")
    if _overlap(words):
        paragraphs.append("Words «in such marks» stand in a neighbouring passage too.")
    return "\n".join([*paragraphs, *_left_out(passages, shown)])


def chunks_html(passages: Sequence[Passage], name: str = "") -> str:
    """The same as HTML: a legend, and a box for each passage with its shared words underlined."""
    words, shown = _words(passages), _shown(passages)
    boxes = []
    for number, passage in enumerate(shown, start=1):
        runs = [(html.escape(run), shared) for run, shared in _runs(passage, words)]
        text = "".join(f"<u>{run}</u>" if shared else run for run, shared in runs)
        if _heading(passage):
            text = f"<em>{html.escape(_heading(passage))}</em>\n{text}"
        notes = ", ".join(_notes(passage, words, name))
        notes = notes.replace(MISSING, f"<strong>{MISSING}</strong>")
        frame = WHOLE if holds(passage, name) else BROKEN
        boxes.append(
            f'<li style="{frame} {BOX}"><div><strong>{number}</strong>: {notes}</div>'
            f'<div style="{TEXT}">{text}</div></li>'
        )
    sentences = html.escape(" ".join([*_legend(shown, words, name), *_left_out(passages, shown)]))
    listed = f'<ol style="list-style: none; padding: 0; margin: 0">{"".join(boxes)}</ol>'
    return f'<p style="margin: 4px 0; line-height: 1.5">{sentences}</p>{listed}' if boxes else ""


def holds(passage: Passage, name: str) -> bool:
    """Whether the passage holds the name, as whole words; capitals and spaces don't matter."""
    # Chinese and Japanese write no spaces, so their characters may stand right beside the name.
    letter = rf"[^\W{CJK}]"
    words = r"\s+".join(re.escape(word) for word in name.split())
    pattern = f"(?<!{letter}){words}(?!{letter})" if words else ""
    return bool(re.search(pattern, passage.text, re.IGNORECASE))


# --- what is said of the passages ---------------------------------------------------------------


def _notes(passage: Passage, words: Words, name: str) -> list[str]:
    """What stands beside a passage's number."""
    shared = sum(words[passage.start + start] > 1 for start, _ in _spans(passage))
    notes = [_count(_length(passage), "word")]
    return notes + [f"{shared} shared"] * bool(shared) + [MISSING] * (not holds(passage, name))


def _legend(shown: Sequence[Passage], words: Words, name: str) -> list[str]:
    sentences = ["Each box is a passage."]
    if _overlap(words):
        sentences.append("Underlined words stand in a neighbouring box too.")
    if any(_heading(passage) for passage in shown):
        sentences.append("Slanted: the headings above a passage, put in front of it.")
    if not all(holds(passage, name) for passage in shown):
        sentences.append(f"A broken frame and the words “{MISSING}”: “{name}” isn't in it.")
    return sentences


def _left_out(passages: Sequence[Passage], shown: Sequence[Passage]) -> list[str]:
    sentences = []
    if cut := sum(len(passage_body(passage)[MOST_CHARACTERS:]) for passage in shown):
        sentences.append(f"The last {cut} characters of passage 1 are not shown.")
    if len(shown) < len(passages):
        sentences.append(
            f"Shown are the first {len(shown)} passages; the other {len(passages) - len(shown)} "
            "are not shown, but counted."
        )
    return sentences


def _stored_twice(words: Words) -> str:
    again = words.total() - len(words)
    if not again:
        return "No word is stored twice."
    return (
        f"Stored again because of overlap: {_count(again, 'word')}, "
        f"{100 * again / len(words):.0f} % more than the text has."
    )


def _missing(passages: Sequence[Passage], name: str) -> str:
    numbers = [str(n) for n, passage in enumerate(passages, start=1) if not holds(passage, name)]
    if not numbers:
        return f"Every passage holds “{name}”."
    rest = len(numbers) - MOST_NUMBERS
    more = f" and {rest} more" if rest > 0 else ""
    return (
        f"“{name}” is missing in {len(numbers)} of {len(passages)}: "
        f"{', '.join(numbers[:MOST_NUMBERS])}{more}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- parts of passages --------------------------------------------------------------------------


def _shown(passages: Sequence[Passage]) -> Sequence[Passage]:
    """The first passages: as many as may be shown, and at least one."""
    ends = accumulate(len(passage.text) for passage in passages[:MOST_PASSAGES])
    return passages[: max(1, sum(end <= MOST_CHARACTERS for end in ends))]


def _heading(passage: Passage) -> str:
    return passage.metadata.get("heading", "")


def _length(passage: Passage) -> int:
    return len(WORD.findall(passage.text))


def _spans(passage: Passage) -> list[tuple[int, int]]:
    """Where each word of the passage's body starts and ends in it, in characters."""
    return [match.span() for match in WORD.finditer(passage_body(passage))]


def _words(passages: Sequence[Passage]) -> Words:
    return Counter(passage.start + start for passage in passages for start, _ in _spans(passage))


def _overlap(words: Words) -> bool:
    return words.total() > len(words)


def _runs(passage: Passage, words: Words) -> Iterator[tuple[str, bool]]:
    """The part of the body that is shown, piece by piece, each with whether it is shared."""
    body, place = passage_body(passage)[:MOST_CHARACTERS], 0
    spans = [span for span in _spans(passage) if span[0] < MOST_CHARACTERS]
    for shared, group in groupby(spans, lambda span: words[passage.start + span[0]] > 1):
        (start, end), *others = group
        end = others[-1][1] if others else end
        yield body[place:start], False
        yield body[start:end], shared
        place = end
    yield body[place:], False
