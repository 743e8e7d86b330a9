"""What retrievers found for a question: a table for each, with the words that a passage shares.

`found` maps each retriever's name to its hits, best first. Words are those that BM25 counts
(`utils.retrieval.tokenise`): no stop words, and whole model names beside the single words.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from utils.passages import Hit
from utils.retrieval import MODEL, MODEL_MARK, WORD, tokenise

# Characters of a passage that are shown: in a table alone, beside others, and in plain text.
ALONE, BESIDE, PLAIN = 1000, 120, 100
COLUMNS = ("rank", "score", "passage", "shared words")
NO_WORD = "no shared word"
CELL = "border: 1px solid currentColor; padding: 3px 6px; text-align: left; vertical-align: top"
CAPTION = "text-align: left; font-weight: bold; padding: 6px 0 2px"
GRID = "display: grid; gap: 4px 12px; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr))"
TEXT = "white-space: pre-line; overflow-wrap: anywhere; margin-top: 2px"
TABLE = "border-collapse: collapse; width: 100%"


def shared_words(question: str, text: str) -> list[str]:
    """The words of the question that the text holds too, each once, in the question's order."""
    held = set(tokenise(text))
    return [word for word in dict.fromkeys(tokenise(question)) if word in held]


def marked(text: str, words: Collection[str]) -> Iterator[tuple[str, bool]]:
    """The text piece by piece, each with whether it is one of the `words` that tokenise gives."""
    spans = [m.span() for m in MODEL.finditer(text) if f"{MODEL_MARK}{m[0].lower()}" in words]
    spans += [m.span() for m in WORD.finditer(text) if not set(words).isdisjoint(tokenise(m[0]))]
    place = 0
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= place:  # else it is a part of a model name
            yield text[place:start], False
            yield text[start:end], True
            place = end
    yield text[place:], False


def agreement(found: Mapping[str, Sequence[Hit]]) -> str:
    """In one sentence, where two retrievers or more agree and differ ("" for one)."""
    if len(found) < 2:
        return ""
    first: dict[str, list[str]] = {}
    for name, hits in found.items():
        first.setdefault(hits[0].passage.id if hits else "none", []).append(name)
    if not any(found.values()):
        return f"{_listed(found)} find nothing."
    if len(first) == 1:
        sentence = f"{_listed(found)} agree on the first passage, {next(iter(first))}"
    else:
        by = [f"{passage} by {_listed(names)}" for passage, names in first.items()]
        sentence = f"They differ in the first passage: {', '.join(by)}"
    ids = [{hit.passage.id for hit in hits} for hits in found.values()]
    common, everything = len(set.intersection(*ids)), len(set.union(*ids))
    return f"{sentence}; in every table: {common} of {everything} passages."


def hits_text(question: str, found: Mapping[str, Sequence[Hit]], k: int) -> str:
    """The question and what each retriever found, as plain text; texts are shortened."""
    lines = [f"Question: {question}", *filter(None, [agreement(found)])]
    for name, hits in found.items():
        lines.append(f"\n{_caption(name, hits, k)}")
        for hit in hits:
            words = _words(shared_words(question, hit.passage.text))
            text = _clip(" ".join(hit.passage.text.split()), PLAIN)
            lines.append(f"{hit.rank}. {hit.passage.id} (score {_score(hit)}; {words}): {text}")
    return "\n".join(lines)


def hits_html(question: str, found: Mapping[str, Sequence[Hit]], k: int) -> str:
    """The same as HTML tables; shared words are bold and underlined in the passages' texts."""
    longest = ALONE if len(found) == 1 else BESIDE
    tables = [_table(question, name, hits, k, longest) for name, hits in found.items()]
    sentences = [agreement(found)]
    if len(found) > 1:
        sentences.append("Each search has its own scale of scores: compare ranks.")
    if any(len(hit.passage.text) > longest for hits in found.values() for hit in hits):
        sentences.append(f"Texts are shown up to {longest} characters.")
    said = html.escape(" ".join(filter(None, sentences)))
    return (
        f'<div style="line-height: 1.4"><div>Question: {html.escape(_clip(question, ALONE))}</div>'
        f'<div>{said}</div><div style="{GRID}">{"".join(tables)}</div></div>'
    )


def _table(question: str, name: str, hits: Sequence[Hit], k: int, longest: int) -> str:
    head = "".join(f'<th scope="col" style="{CELL}">{column}</th>' for column in COLUMNS)
    rows = []
    for hit in hits:
        words = shared_words(question, hit.passage.text)
        text = "".join(
            f"<strong><u>{html.escape(piece)}</u></strong>" if shared else html.escape(piece)
            for piece, shared in marked(_clip(hit.passage.text, longest), words)
        )
        passage = f'<em>{html.escape(hit.passage.id)}</em><div style="{TEXT}">{text}</div>'
        cells = (_score(hit), passage, html.escape(_words(words)))
        rows.append(
            f'<tr><th scope="row" style="{CELL}">{hit.rank}</th>'
            + "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells)
            + "</tr>"
        )
    caption = f'<caption style="{CAPTION}">{html.escape(_caption(name, hits, k))}</caption>'
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>" if hits else ""
    return f'<div><table style="{TABLE}">{caption}{body}</table></div>'


def _caption(name: str, hits: Sequence[Hit], k: int) -> str:
    if not hits:
        return f"{name}: nothing found"
    few = f" ({k} asked for)" if len(hits) < k else ""
    return f"{name}: {len(hits)} passage{'s' * (len(hits) > 1)}{few}"


def _words(words: Sequence[str]) -> str:
    """The shared words in words; model names say that they are whole ones."""
    named = [
        f"model name: {word.removeprefix(MODEL_MARK)}" if word.startswith(MODEL_MARK) else word
        for word in words
    ]
    return ", ".join(named) or NO_WORD


def _score(hit: Hit) -> str:
    return f"{hit.score:#.4g}"  # four digits suit cosines, BM25 and points of fusion alike


def _clip(text: str, longest: int) -> str:
    """The text, or its beginning up to the end of a word (if one is near) and three dots."""
    return text if len(text) <= longest else re.sub(r"\s+\S{0,30}$", "", text[:longest]) + " ..."


def _listed(names: Collection[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
