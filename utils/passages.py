"""What retrievers hold and find, passages and hits, and the checks that all of them share."""

from __future__ import annotations

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


def check_new(passages: Sequence[Passage], held: Collection[str] = ()) -> list[Passage]:
    """The passages as a list. Raises ValueError for none, or for an id used twice or ``held``."""
    passages = list(passages)
    if not passages:
        raise ValueError("There are no passages: at least one is needed.")
    seen = set(held)
    for passage in passages:
        if passage.id in seen:
            raise ValueError(f"Two passages have the id {passage.id!r}; ids must differ.")
        seen.add(passage.id)
    return passages


def check_document(document: str, held: Iterable[Passage]) -> None:
    """Raises LookupError where no passage that is held comes from this document."""
    # "" is what a passage without a document has: no name to ask for all of those at once.
    if not document or all(passage.document != document for passage in held):
        raise LookupError(f"There is no document {document!r} here.")


def check_edit(
    document: str, passages: Sequence[Passage], held: Sequence[Passage]
) -> list[Passage]:
    """The passages of the document's new text, as a list.

    Raises LookupError for an unknown document, and ValueError for passages that are none, belong to
    another document, or have an id that another document's passage has.
    """
    check_document(document, held)
    for passage in passages:
        if passage.document != document:
            raise ValueError(f"Passage {passage.id!r} belongs to {passage.document!r}.")
    return check_new(passages, {other.id for other in held if other.document != document})


def check_filter(where: Filter) -> None:
    """Raises TypeError for what can't be asked about a passage."""
    if not callable(where):
        raise TypeError("where must be a function that takes a passage and says yes or no.")
