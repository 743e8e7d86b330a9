"""What retrievers hold and find, passages and hits, and the checks that all of them share."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Passage:
    """A piece of text that can be found and cited.

    ``document`` names where it comes from; ``start`` is its place there, in characters.
    ``metadata`` says more about it, such as {"language": "en"}: a search can be narrowed by it.
    """

    id: str
    text: str
    document: str = ""
    start: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)  # a dict has no hash


@dataclass(frozen=True)
class Hit:
    """A passage that was found; ``rank`` counts from 1, a higher ``score`` is better."""

    passage: Passage
    score: float
    rank: int


class Retriever(Protocol):
    """Whatever finds passages: a search over many of them, or a table of fixed answers."""

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """For each query its best k hits, best first; an empty list where nothing fits."""


# A filter says of each passage whether a search may find it, for example
# lambda passage: passage.metadata.get("language") == "en"
Filter = Callable[[Passage], bool]


def rank_hits(passages: Iterable[Passage], scores: Iterable[float]) -> list[Hit]:
    """Hits of passages that come best first."""
    return [
        Hit(passage, float(score), rank)
        for rank, (passage, score) in enumerate(zip(passages, scores, strict=True), start=1)
    ]


# --- checks of what comes in --------------------------------------------------------------------


def check_text(text: str, what: str) -> None:
    """Raises TypeError for what is no text, and ValueError for a text that no file can hold.

    Such a text holds half of a character, as reading with the wrong encoding leaves it behind; a
    tokenizer can't read it either. ``what``: its name at the start of a sentence.
    """
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a text; it is {text!r:.60}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{what} holds half of a character, {text[error.start]!a}, at place {error.start}. Was "
            "it read with the wrong encoding? Replace it: text.encode(errors='replace').decode()"
        ) from None


def check_texts(texts: Iterable[str], what: str) -> list[str]:
    """The texts as a list; the errors of `check_text` say which one is wrong."""
    if isinstance(texts, str):
        name = what.lower()
        raise TypeError(f"{what}s must come as a list; for one {name} write [{name}].")
    texts = list(texts)
    for number, text in enumerate(texts, start=1):
        check_text(text, f"{what} number {number}")
    return texts


def check_k(k: int) -> int:
    """k as Python's own kind of number. Raises TypeError or ValueError for no count."""
    try:
        k = operator.index(k)  # numpy's whole numbers too, which FAISS would not take
    except TypeError:
        raise TypeError(f"k is {k!r}; it must be a whole number.") from None
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least 1 passage.")
    return k


def check_questions(questions: Iterable[str]) -> list[str]:
    """The questions as a list. Raises TypeError or ValueError for what is none, or empty."""
    questions = check_texts(questions, "Question")
    for number, question in enumerate(questions, start=1):
        if not question.strip():
            raise ValueError(f"Question number {number} is empty.")
    return questions


def check_search(
    queries: Iterable[str], k: int, where: Filter | None = None
) -> tuple[list[str], int]:
    """The questions as a list, and k. Raises TypeError or ValueError for what can't be searched."""
    if where is not None:
        check_filter(where)
    return check_questions(queries), check_k(k)


def check_new(passages: Iterable[Passage], held: Collection[str] = ()) -> list[Passage]:
    """The passages as a list.

    Raises ValueError for none, for an id used twice or ``held``, and for a text that no file can
    hold; TypeError for what is no passage.
    """
    passages = passage_list(passages)
    if not passages:
        raise ValueError("There are no passages: at least one is needed.")
    seen = set(held)
    for passage in passages:
        check_text(passage.id, "The id of a passage")
        check_text(passage.text, f"The text of passage {passage.id!r}")
        if passage.id in seen:
            raise ValueError(f"Two passages have the id {passage.id!r}; ids must differ.")
        seen.add(passage.id)
    return passages


def passage_list(passages: Iterable[Passage]) -> list[Passage]:
    """The passages as a list. Raises TypeError for one alone, and for what is no passage."""
    if isinstance(passages, (Passage, str)):
        raise TypeError("passages must be a list; for one passage write [passage].")
    passages = list(passages)
    for passage in passages:
        if not isinstance(passage, Passage):
            raise TypeError(f"{passage!r:.60} is no passage: write Passage(id, text).")
    return passages


def check_document(document: str, held: Iterable[Passage]) -> None:
    """Raises LookupError where no passage that is held comes from this document."""
    # "" is what a passage without a document has: no name to ask for all of those at once.
    if not document or all(passage.document != document for passage in held):
        raise LookupError(f"There is no document {document!r} here.")


def check_edit(
    document: str, passages: Iterable[Passage], held: Sequence[Passage]
) -> list[Passage]:
    """The passages of the document's new text, as a list.

    Raises LookupError for an unknown document, and ValueError for passages that are none, belong to
    another document, or have an id that another document's passage has.
    """
    check_document(document, held)
    passages = passage_list(passages)
    for passage in passages:
        if passage.document != document:
            raise ValueError(f"Passage {passage.id!r} belongs to {passage.document!r}.")
    return check_new(passages, {other.id for other in held if other.document != document})


def check_filter(where: Filter) -> None:
    """Raises TypeError for what can't be asked about a passage."""
    if not callable(where):
        raise TypeError("where must be a function that takes a passage and says yes or no.")
