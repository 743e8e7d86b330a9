"""Cut documents into passages: by sentences, by windows of words, or by the document's structure.

A passage is what a retriever finds and a model reads, so it should hold enough to be understood
alone, and not much more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from utils.passages import Passage

# After . ! or ?, or such a sign of Arabic, Urdu or Hindi, with a space behind (and closing quotes
# between), after their East Asian forms, and at an empty line. Not after the short forms of English
# titles and of "for example".
SENTENCE_END = re.compile(
    r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\be\.g)(?<!\bi\.e)"
    r"[.!?؟۔।][\"'”’)\]]*\s+|[。！？]\s*|\n\s*\n"
)
# Chinese characters, Japanese hiragana and katakana: scripts without spaces between words.
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Each of these characters counts as a word, with the signs behind it; else spaces part words.
WORD = re.compile(rf"[{CJK}][^\w\s]*|[^\s{CJK}]+")
LINE_END = re.compile(r"\n")
BLANK_LINE = re.compile(r"\n\s*\n")
# Markdown: "## Care". It comes before every passage under it, so a long line is no heading.
HEADING = re.compile(r"(#{1,6})[ \t]+(\S.{0,199})$")
CODE_FENCE = re.compile(r"```[^`]*$|~~~")
KEY_AND_VALUE = re.compile(
    r"\s*(?:[-*] )?[^\s:][^:]{0,60}:\s+\S"
)  # "Colour: teal", "- colour: teal"

Span = tuple[int, int]  # the places, in characters, where a part of a text starts and ends


def chunk_sentences(
    text: str, size: int, overlap: int = 0, document: str = "document"
) -> list[Passage]:
    """Cut a text into passages of ``size`` sentences; neighbours share ``overlap`` of them.

    A text without a sentence's end is one sentence, however long: cut such a text by windows.
    Raises ValueError for a size below 1 and an overlap that isn't smaller.
    """
    _check_text(text)
    return _chunks(text, _parts(text, SENTENCE_END, (0, len(text))), size, overlap, document)


def chunk_windows(
    text: str, size: int, overlap: int = 0, document: str = "document"
) -> list[Passage]:
    """Cut a text into windows of ``size`` words; neighbours share ``overlap`` words.

    Words are what stands between spaces, and each Chinese or Japanese character. Raises ValueError
    for a size below 1 and an overlap that isn't smaller.
    """
    _check_text(text)
    spans = [match.span() for match in WORD.finditer(text)]
    return _chunks(text, spans, size, overlap, document)


def chunk_by_structure(text: str, longest: int = 150, document: str = "document") -> list[Passage]:
    """Cut a text where its author did: at Markdown headings and between records.

    A record is a block between blank lines whose lines read "key: value" or "- key: value", under a
    line with its name or without one. It is a passage of its own, and the rest of a section is one
    too. What has more than ``longest`` words is cut between sentences (a record between lines), and
    a sentence longer than that between words.

    A passage begins with the headings above it, "Kettles > Care", so that both kinds of search and
    the reader know what it is about; they stand in ``metadata["heading"]`` too, and aren't counted
    in ``longest``. ``start`` is the place of what follows them. A heading with nothing under it
    gives no passage. Raises ValueError for ``longest`` below 1.
    """
    _check_text(text)
    if longest < 1:
        raise ValueError(f"longest is {longest}; a passage needs at least 1 word.")
    passages = []
    for heading, section in _sections(text):
        for start, end in _section_pieces(text, section, longest):
            body, number = text[start:end], f"{document}#{len(passages) + 1}"
            if heading:
                body = f"{heading}\n{body}"
            metadata = {"heading": heading} if heading else {}
            passages.append(Passage(number, body, document, start, metadata))
    return passages


def passage_body(passage: Passage) -> str:
    """The passage as it stands in its document: without the headings in front of it."""
    heading = passage.metadata.get("heading")
    return passage.text.removeprefix(f"{heading}\n") if heading else passage.text


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"The document must be one text; it is of the kind {type(text).__name__}.")


def _parts(text: str, separator: re.Pattern, within: Span) -> list[Span]:
    """What stands between the separators, without spaces around it and never empty."""
    ends = [match.end() for match in separator.finditer(text, *within)] + [within[1]]
    spans = []
    for start, end in zip([within[0], *ends], ends, strict=False):
        part = text[start:end]
        if part.strip():
            first = start + len(part) - len(part.lstrip())
            spans.append((first, start + len(part.rstrip())))
    return spans


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


# --- structure ----------------------------------------------------------------------------------


def _sections(text: str) -> Iterator[tuple[str, Span]]:
    """For each section the headings above it, joined by " > ", and where its own text stands."""
    path: list[tuple[int, str]] = []  # (level, title) of the headings above this place
    start = place = 0
    in_code = False
    for line in text.splitlines(keepends=True):
        if CODE_FENCE.match(line):
            in_code = not in_code
        match = None if in_code else HEADING.match(line)  # in code, # begins a comment
        if match:
            yield " > ".join(title for _, title in path), (start, place)
            level = len(match[1])
            title = match[2].rstrip().rstrip("#").rstrip()
            path = [above for above in path if above[0] < level] + [(level, title)]
            start = place + len(line)
        place += len(line)
    yield " > ".join(title for _, title in path), (start, place)


def _section_pieces(text: str, section: Span, longest: int) -> Iterator[Span]:
    """The passages of one section: each record alone, and the prose between records."""
    prose: list[Span] = []  # sentences since the last record
    for block in _parts(text, BLANK_LINE, section):
        if _is_record(text[slice(*block)]):
            yield from _pack(text, prose, longest)
            prose = []
            yield from _pack(text, _parts(text, LINE_END, block), longest)
        else:
            prose += _parts(text, SENTENCE_END, block)
    yield from _pack(text, prose, longest)


def _is_record(block: str) -> bool:
    """Whether two lines or more are all "key: value", but for a first line with a name."""
    lines = block.split("\n")
    keyed = [KEY_AND_VALUE.match(line) is not None for line in lines]
    return len(lines) >= 2 and all(keyed[1:])


def _pack(text: str, spans: list[Span], longest: int) -> Iterator[Span]:
    """Join neighbouring spans as long as they have at most ``longest`` words together."""
    start = end = words = 0
    for first, last, count in _short_spans(text, spans, longest):
        if words and words + count > longest:
            yield start, end
            words = 0
        if not words:
            start = first
        end, words = last, words + count
    if words:
        yield start, end


def _short_spans(text: str, spans: list[Span], longest: int) -> Iterator[tuple[int, int, int]]:
    """Each span with its number of words; a span that has too many is cut into windows."""
    for span in spans:
        words = [match.span() for match in WORD.finditer(text, *span)]
        for first in range(0, len(words), longest):
            part = words[first : first + longest]
            yield part[0][0], part[-1][1], len(part)
