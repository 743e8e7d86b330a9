"""Find the passages that a question needs: by meaning, by words, and by both.

Three retrievers share one call, ``search(queries, k, where=None)``, which returns for each query a
list of hits, best first; ``where`` is a function that says of a passage whether it may be found.

* `DenseRetriever` compares meanings: texts become vectors, and FAISS finds the nearest.
* `LexicalRetriever` compares words: BM25 (Robertson & Zaragoza 2009) by the library bm25s.
* `HybridRetriever` merges the two rankings (Cormack, Clarke & Buettcher 2009).

They also share ``add(passages)``, ``update(document, passages)`` for a document with a new text,
and ``delete(document)``. Cutting documents into passages is in `utils.chunking`, vectors and their
indexes in `utils.vector_index`, merging and scoring rankings in `utils.ranking`; what lessons need
of them can be imported from here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from utils.chunking import CJK, chunk_by_structure, chunk_sentences, chunk_windows
from utils.faiss_index import import_faiss
from utils.index_files import IndexFileError
from utils.passages import (
    Filter,
    Hit,
    Passage,
    check_document,
    check_edit,
    check_new,
    check_search,
    check_texts,
    passage_list,
    rank_hits,
)
from utils.ranking import evaluate, fuse, recall_at_k, reciprocal_rank
from utils.vector_index import VectorIndex

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["DenseRetriever", "Hit", "HybridRetriever", "IndexFileError", "LexicalRetriever"]
__all__ += ["Passage", "VectorIndex", "chunk_by_structure", "chunk_sentences", "chunk_windows"]
__all__ += ["embed", "evaluate", "fuse", "import_faiss", "recall_at_k", "reciprocal_rank"]
__all__ += ["tokenise"]

SMALLEST_POOL = 50  # passages that each retriever hands to fusion, at least
SAME_VECTOR = 0.99  # cosine; the same text on another machine differs by rounding only
# No encoder here reads as far; splitting megabytes into tokens would take gigabytes for nothing.
CHARACTERS_READ = 100_000
# In a batch, padding counted: more does not fit the processor's caches and is slower, not faster.
TOKENS_AT_ONCE = 1024


# --- by meaning -----------------------------------------------------------------------------


def embed(
    encoder: SentenceTransformer,
    texts: Sequence[str],
    batch_size: int = 64,
    progress: bool = False,
) -> np.ndarray:
    """One vector of length 1 for each text: float32, shape (texts, dimensions).

    Texts of similar length share a batch, so little is wasted on padding; a batch has at most
    ``batch_size`` texts and about a thousand tokens. The encoder reads only the first part of a
    long text (256 tokens for the course's own): cut long documents first.
    Raises TypeError for what is no list of texts, and ValueError for half a character in a text.
    """
    texts = [text[:CHARACTERS_READ] for text in check_texts(texts, "Text")]
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1.")
    vectors = np.zeros((len(texts), encoder.get_embedding_dimension()), dtype=np.float32)
    with tqdm(total=len(texts), desc="embedding", unit="text", disable=not progress) as bar:
        for batch in _batches(_lengths(encoder, texts), batch_size):
            vectors[batch] = encoder.encode(
                [texts[number] for number in batch],
                batch_size=len(batch),
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            bar.update(len(batch))
    return vectors


def _lengths(encoder: SentenceTransformer, texts: Sequence[str]) -> list[int]:
    """Tokens in each text as the encoder reads it; characters where it shows no tokenizer.

    Splitting a text twice costs a hundredth of encoding it. To sort by characters instead wastes
    much: a table of numbers has many tokens, a line of blanks few.
    """
    tokenizer = getattr(encoder, "tokenizer", None)
    if tokenizer is None:
        return [len(text) for text in texts]
    parts = (texts[start : start + 1000] for start in range(0, len(texts), 1000))  # saves memory
    return [len(ids) for part in parts for ids in tokenizer(part, truncation=True)["input_ids"]]


def _batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """The numbers of the texts, longest first, in batches that are padded to their first."""
    batch: list[int] = []
    # The longest come first: what memory is needed shows at once, and is used again by the rest.
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if batch:
            padded = lengths[batch[0]] * (len(batch) + 1)
            if len(batch) == batch_size or padded > TOKENS_AT_ONCE:
                yield batch
                batch = []
        batch.append(number)
    if batch:
        yield batch


class DenseRetriever:
    """Finds passages whose vectors point the way the query's does (cosine similarity)."""

    def __init__(
        self,
        encoder: SentenceTransformer,
        passages: Sequence[Passage],
        index: str = "flat",
        progress: bool = False,
        **knobs: int,
    ) -> None:
        """Embed and index the passages. Raises ValueError for none, or for one id used twice.

        progress: whether a bar shows how far the embedding is.
        index: "flat" compares with every passage; "ivf" and "hnsw" take short cuts, and ``knobs``
        are theirs, such as ``probes=4`` (`utils.faiss_index.IndexSettings` has them all).
        """
        self.encoder = encoder
        self.index = VectorIndex(encoder.get_embedding_dimension(), index, **knobs)
        self.add(passages, progress)

    @property
    def passages(self) -> list[Passage]:
        """The passages that can be found."""
        return self.index.passages

    @property
    def vectors(self) -> np.ndarray:
        """A copy of their vectors: float32, shape (passages, dimensions)."""
        return self.index.vectors

    def add(self, passages: Sequence[Passage], progress: bool = False) -> None:
        """Add passages. Raises ValueError for none, or for an id that is there already."""
        passages = check_new(passages, {passage.id for passage in self.passages})
        self.index.add(passages, self._embed(passages, progress))

    def update(self, document: str, passages: Sequence[Passage]) -> None:
        """Put these passages in the place of all that the document had before.

        Raises LookupError for an unknown document, ValueError for passages that don't fit.
        """
        passages = check_edit(document, passages, self.passages)
        self.index.update(document, passages, self._embed(passages))

    def delete(self, document: str) -> None:
        """Delete all passages of a document. Raises LookupError if there is no such document."""
        self.index.delete(document)

    def search(
        self, queries: Sequence[str], k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """For each query its ``k`` nearest passages (all of them where there are fewer)."""
        queries, k = check_search(queries, k, where)
        return self.index.search(embed(self.encoder, queries), k, where)

    def save(self, folder: str | Path) -> Path:
        """Write passages and vectors as a folder, whole or not at all; the encoder isn't in it."""
        return self.index.save(folder)

    @classmethod
    def load(cls, folder: str | Path, encoder: SentenceTransformer) -> DenseRetriever:
        """Read what `save` wrote, to be used with the encoder that made its vectors.

        Raises IndexFileError if the folder is missing, damaged or of another version, and
        ValueError if the encoder is another one: its vectors would mean nothing here.
        """
        retriever = cls.__new__(cls)  # without __init__, which would embed all passages again
        retriever.encoder, retriever.index = encoder, VectorIndex.load(folder)
        _check_encoder(retriever)
        return retriever

    def _embed(self, passages: Sequence[Passage], progress: bool = False) -> np.ndarray:
        return embed(self.encoder, [passage.text for passage in passages], progress=progress)


def _check_encoder(retriever: DenseRetriever) -> None:
    """The encoder must give a stored passage the vector that is stored with it."""
    same = retriever.encoder.get_embedding_dimension() == retriever.index.settings.dimensions
    if same and len(retriever.index):
        first = retriever._embed(retriever.passages[:1])[0]
        same = float(first @ retriever.vectors[0]) > SAME_VECTOR
    if not same:
        raise ValueError(
            "This encoder did not make the saved vectors: load the one that did, or build the "
            "index again with this one."
        )


# --- by words -------------------------------------------------------------------------------

# Signs that belong to the letter before them: accents, the vowels of Hindi, Arabic or Hebrew.
MARKS = "".join(c for c in map(chr, range(0x10000)) if unicodedata.category(c)[0] == "M")
# A Chinese or Japanese character is a word: those languages write no spaces between words.
WORD = re.compile(rf"[{CJK}]|[^\W{CJK}]+(?:[{MARKS}]+[^\W{CJK}]*)*")
MODEL_MARK = "model:"  # stands before a whole name, so that it is no other word
# "K340", "K-340 Lite": a code with a digit, and capitalised words that directly follow it.
MODEL = re.compile(r"\b[A-Z]+-?\d[\w-]*(?: [A-Z][a-z]+\b)*")


def tokenise(text: str) -> list[str]:
    """The words that BM25 counts: lower case, no stop words, and whole model names beside them.

    "K340 Lite" gives "k340", "lite" and "model:k340 lite", "K340" gives "k340" and "model:k340".
    Without the last, a question about the K340 would fit the cards of the K340 Lite and the
    K340 Plus as well as its own. Two ways to write one letter, such as é, are made one.

    >>> tokenise("What is the Velbrin K340 Lite made of?")
    ['velbrin', 'k340', 'lite', 'made', 'model:k340 lite']
    """
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    text = unicodedata.normalize("NFKC", text)
    words = [word for word in WORD.findall(text.lower()) if word not in STOPWORDS_EN_PLUS]
    return words + [MODEL_MARK + name.lower() for name in MODEL.findall(text)]


class LexicalRetriever:
    """Finds passages that share words with the query; rare words count more (BM25)."""

    def __init__(
        self, passages: Sequence[Passage], tokenise: Callable[[str], list[str]] = tokenise
    ) -> None:
        """Count the passages' words. Raises ValueError for none, or for one id used twice.

        ``tokenise`` turns a text into a list of words.
        """
        self.tokenise = tokenise
        self._count(check_new(passages))
        if self.index is None:
            raise ValueError("No passage contains a word: there is nothing to search.")

    def add(self, passages: Sequence[Passage]) -> None:
        """Add passages. Raises ValueError for none, or for an id that is there already."""
        held = {passage.id for passage in self.passages}
        self._count(self.passages + check_new(passages, held))

    def update(self, document: str, passages: Sequence[Passage]) -> None:
        """Put these passages in the place of all that the document had before.

        Raises LookupError for an unknown document, ValueError for passages that don't fit.
        """
        passages = check_edit(document, passages, self.passages)
        self._count(self._without(document) + passages)

    def delete(self, document: str) -> None:
        """Delete all passages of a document. Raises LookupError if there is no such document."""
        check_document(document, self.passages)
        self._count(self._without(document))

    def search(
        self, queries: Sequence[str], k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """For each query its ``k`` best passages.

        A passage that shares no word with the query is no hit, so there may be fewer than ``k``,
        or none. Of passages with equal scores the one that came first in the corpus is first.
        How rare a word is counts in the whole corpus, also where ``where`` leaves a part of it.
        """
        queries, k = check_search(queries, k, where)
        allowed = [where is None or bool(where(passage)) for passage in self.passages]
        results = []
        for query in queries:
            words = self.tokenise(query)
            if self.index is None or not words:
                results.append([])
                continue
            scores = np.where(allowed, self.index.get_scores(words), 0)
            best = np.argsort(-scores, kind="stable")[:k]
            best = best[scores[best] > 0]
            results.append(rank_hits([self.passages[row] for row in best], scores[best]))
        return results

    def _without(self, document: str) -> list[Passage]:
        return [passage for passage in self.passages if passage.document != document]

    def _count(self, passages: list[Passage]) -> None:
        """Count all words anew: each passage changes how rare its words are for all others.

        So bm25s has no index to which one could add. Counting takes milliseconds for a thousand
        passages.
        """
        import bm25s

        words = [self.tokenise(passage.text) for passage in passages]
        self.index = bm25s.BM25() if any(words) else None  # None: no word, nothing to be found
        if self.index is not None:
            self.index.index(words, show_progress=False)
        self.passages = passages


# --- by both --------------------------------------------------------------------------------


class HybridRetriever:
    """Merges what a dense and a lexical retriever find in the same passages."""

    def __init__(self, dense: DenseRetriever, lexical: LexicalRetriever) -> None:
        """Raises ValueError if the two hold different passages."""
        self.dense = dense
        self.lexical = lexical
        if {passage.id for passage in dense.passages} != {p.id for p in lexical.passages}:
            raise ValueError("The two retrievers must hold the same passages.")

    @property
    def passages(self) -> list[Passage]:
        """The passages that can be found."""
        return self.dense.passages

    # The dense retriever changes first: embedding can fail, and the checks are the same in both,
    # so the two never hold different passages.

    def add(self, passages: Sequence[Passage]) -> None:
        """Add passages to both retrievers; see theirs."""
        passages = passage_list(passages)
        self.dense.add(passages)
        self.lexical.add(passages)

    def update(self, document: str, passages: Sequence[Passage]) -> None:
        """Give a document new passages in both retrievers; see theirs."""
        passages = passage_list(passages)
        self.dense.update(document, passages)
        self.lexical.update(document, passages)

    def delete(self, document: str) -> None:
        """Delete a document in both retrievers; see theirs."""
        self.dense.delete(document)
        self.lexical.delete(document)

    def search(
        self, queries: Sequence[str], k: int, where: Filter | None = None
    ) -> list[list[Hit]]:
        """For each query the ``k`` best of both rankings; a hit's score is its points."""
        queries, k = check_search(queries, k, where)
        pool = max(k, SMALLEST_POOL)
        results = []
        for both in zip(
            self.dense.search(queries, pool, where),
            self.lexical.search(queries, pool, where),
            strict=True,
        ):
            by_id = {hit.passage.id: hit.passage for hits in both for hit in hits}
            fused = fuse([hit.passage.id for hit in hits] for hits in both)[:k]
            found = [by_id[name] for name, _ in fused]
            results.append(rank_hits(found, [points for _, points in fused]))
        return results
