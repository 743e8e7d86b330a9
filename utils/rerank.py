"""Re-rank: read a few passages more closely than a search over many can, and sort them anew.

A retriever compares a question with every passage, so it must be quick. A *re-ranker* sees only the
few best and may take its time. This one needs no model of its own: it asks the language model how
likely the question is after each passage (Sachan et al. 2022, "Improving Passage Retrieval with
Zero-Shot Question Generation", https://arxiv.org/abs/2204.07496). A question about the K340 is
likelier after the card of the K340 than after that of the K345, because its name can be copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from utils.passages import Hit, Retriever, check_search, check_texts, rank_hits
from utils.prompts import READING_EXAMPLES, SEPARATOR, WorkedExample, first_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ASKED_AFTER = "\nQuestion:"  # what stands between a passage and the question
SHOWN = READING_EXAMPLES[:2]  # chosen on the development world (seed 7): better than none or five
# What is read of a passage and of a question, in tokens. A question's cost most memory: the model
# gives 49,152 probabilities for each.
PASSAGE_TOKENS, QUESTION_TOKENS = 500, 100


class LikelihoodReranker:
    """Sorts passages by log P(question | passage), in nats, as the language model sees it."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        examples: Sequence[WorkedExample] = SHOWN,
    ) -> None:
        """Read the examples once: passages with a question each, which show the form."""
        from utils.inference import encode_prefix

        self.model, self.tokenizer = model, tokenizer
        shown = SEPARATOR.join(f"{e.passage}{ASKED_AFTER} {e.question}" for e in examples)
        self.prefix = encode_prefix(model, tokenizer, shown)

    def rerank(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        progress: str | None = None,
    ) -> list[list[Hit]]:
        """Each query's hits in their new order; a hit's score is then the log-likelihood in nats.

        Of a long question the first 100 tokens are read, of a long passage the first 500. Raises
        ValueError if there are not as many lists of hits as queries.
        """
        queries = check_texts(queries, "Question")
        if len(queries) != len(hits):
            raise ValueError(f"There are {len(queries)} questions, but {len(hits)} lists of hits.")
        scores = self._scores(queries, hits, progress)
        reranked = []
        for number, found in enumerate(hits):
            scored = [(scores[number, hit.passage.id], hit.passage) for hit in found]
            scored.sort(key=lambda pair: -pair[0])
            reranked.append(rank_hits([p for _, p in scored], [score for score, _ in scored]))
        return reranked

    def _scores(self, queries, hits, progress) -> dict[tuple[int, str], float]:
        """(number of the query, id of the passage) -> log-likelihood.

        A passage that several queries found is read once, and all of these start from there.
        """
        from utils.inference import log_likelihoods

        asked = [self._first(query, QUESTION_TOKENS) for query in queries]
        texts: dict[str, str] = {}  # passage id -> text
        asking: dict[str, list[int]] = {}  # passage id -> numbers of the queries that found it
        for number, (_, found) in enumerate(zip(queries, hits, strict=True)):
            for hit in found:
                texts[hit.passage.id] = hit.passage.text
                asking.setdefault(hit.passage.id, []).append(number)
        rows = log_likelihoods(
            self.model,
            self.tokenizer,
            [f"{self._first(text, PASSAGE_TOKENS)}{ASKED_AFTER}" for text in texts.values()],
            [[f" {asked[number]}" for number in asking[name]] for name in texts],
            self.prefix,
            progress=progress,
        )
        return {
            (number, name): float(score)
            for name, row in zip(texts, rows, strict=True)
            for number, score in zip(asking[name], row, strict=True)
        }

    def _first(self, text: str, count: int) -> str:
        return first_tokens(self.tokenizer, text, count)


class RerankedRetriever:
    """A retriever whose best `pool` passages are sorted anew before the first k are returned."""

    def __init__(self, retriever: Retriever, reranker: LikelihoodReranker, pool: int = 10) -> None:
        if pool < 1:
            raise ValueError(f"pool is {pool}; the re-ranker needs at least 1 passage.")
        self.retriever, self.reranker, self.pool = retriever, reranker, pool

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """For each query its k best passages after re-ranking; scores are in nats."""
        queries, k = check_search(queries, k)
        found = self.retriever.search(queries, max(k, self.pool))
        return [hits[:k] for hits in self.reranker.rerank(queries, found)]
