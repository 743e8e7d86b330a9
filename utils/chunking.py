"""Cut documents into passages: by sentences, or by windows of words.

A passage is what a retriever finds and a model reads, so it should hold enough to be understood
alone, and not much more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Passage:
    """A piece of text that can be found and cited.

    ``document`` names where it comes from; ``start`` is its place there, in characters.
    """

    id: str
    text: str
    document: str = ""
    start: int = 0


# After . ! or ? (and closing quotes) with a space behind, after their East Asian forms, and at
# an empty line. Not after the short forms of English titles and of "for example".
SENTENCE_END = re.compile(
    r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\be\.g)(?<!\bi\.e)"
    r"[.!?][\"'”’)\]]*\s+|[。！？]\s*|\n\s*\n"
)


def chunk_sentences(
    text: str, size: int, overlap: int = 0, document: str = "document"
) -> list[Passage]:
    """Cut a text into passages of ``size`` sentences; neighbours share ``overlap`` of them."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)] + [len(text)]
    spans = []
    for start, end in zip([0, *ends], ends, strict=False):
        sentence = text[start:end]
        if sentence.strip():
            first = start + len(sentence) - len(sentence.lstrip())
            spans.append((first, start + len(sentence.rstrip())))
    return _chunks(text, spans, size, overlap, document)


def chunk_windows(
    text: str, size: int, overlap: int = 0, document: str = "document"
) -> list[Passage]:
    """Cut a text into windows of ``size`` words; neighbours share ``overlap`` words."""
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    return _chunks(text, spans, size, overlap, document)


def _chunks(
    text: str, spans: list[tuple[int, int]], size: int, overlap: int, document: str
) -> list[Passage]:
    """Passages of ``size`` consecutive spans (start, end in characters) of the text."""
    if size < 1:
        raise ValueError(f"size is {size}; a passage needs at least 1.")
    if not 0 <= overlap < size:
        raise ValueError(f"overlap is {overlap}; it must be at least 0 and less than size {size}.")
    passages = []
    for number, first in enumerate(range(0, len(spans), size - overlap), start=1):
        part = spans[first : first + size]
        start, end = part[0][0], part[-1][1]
        passages.append(Passage(f"{document}#{number}", text[start:end], document, start))
        if first + size >= len(spans):
            break  # the rest of the text is already in this passage
    return passages
