"""An index that takes minutes to make, kept in the course's cache folder for the next time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from utils.index_files import IndexFileError
from utils.passages import Passage, passage_list
from utils.pinned import cache_folder
from utils.retrieval import DenseRetriever

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def make_or_load(
    name: str, encoder: SentenceTransformer, passages: Sequence[Passage], progress: bool = False
) -> DenseRetriever:
    """A flat retriever of these passages, read from ``<cache>/indexes/<name>`` if it is there.

    It is made, and kept under this name, where there is none yet, where the one there is damaged,
    and where it holds other passages or another encoder's vectors. Where nothing can be kept a
    line is printed that says so.
    """
    folder, passages = cache_folder() / "indexes" / name, passage_list(passages)
    with suppress(IndexFileError, ValueError):
        kept = DenseRetriever.load(folder, encoder)
        if kept.passages == passages:
            return kept
    made = DenseRetriever(encoder, passages, progress=progress)
    try:
        made.save(folder)
    except OSError as error:  # a folder that a class shares may not be writable
        print(f"The index could not be kept in {folder} ({error}): next time it is made again.")
    return made
