"""Retrieval-augmented generation: a language model, and a control module that stands before it.

The language model only continues text. The *control module* decides what it is asked, and whether
it is asked at all. A question passes these stages, and each writes one line into a trace:

1. rule: a fixed question has a fixed answer. Nothing else is asked.
2. retrieve: which passages belong to the question, and how well does the best one fit?
3. decide: a best score below the threshold means "I don't know".
4. prompt: worked examples, the passages, the question.
5. answer: the model continues the prompt.
6. cite: the passages in which the answer stands. If it stands in none, it can be refused.

The idea of answering from retrieved passages is that of Lewis et al. 2020
(https://arxiv.org/abs/2005.11401). Thresholds are chosen on data: `utils.abstain`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from utils.chunking import Passage
from utils.prompts import SEPARATOR, open_book, open_book_prefix
from utils.retrieval import Hit
from utils.scoring import normalise_answer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

RULE, RETRIEVAL, REFUSED = "rule", "retrieval", "refused"
REFUSAL = "I don't know: I found nothing that answers this question."
LONGEST_QUESTION = 1000  # characters; more is a document, not a question


class Retriever(Protocol):
    """Whatever finds passages: the retrievers of `utils.retrieval`, and a table of rules."""

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """For each query its best k hits, best first; an empty list where nothing fits."""


# --- rules: the simplest retrieval ------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A fixed answer for every question that contains all of `words`."""

    name: str
    words: tuple[str, ...]
    answer: str


class RuleRetriever:
    """A table of rules behind the call that every retriever has.

    The query is the question, the passage is the answer, the score is 1 or there is no hit.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Keep the rules in their order. Raises ValueError for a rule without words."""
        for rule in rules:
            if not rule.words:
                raise ValueError(f"Rule {rule.name!r} has no words: it would catch every question.")
        self.rules = tuple(rules)

    def search(self, queries: Sequence[str], k: int = 1) -> list[list[Hit]]:
        """For each query the first k rules that match it; often none."""
        return [self._matches(query)[:k] for query in queries]

    def _matches(self, query: str) -> list[Hit]:
        asked = set(re.findall(r"\w+", query.lower()))
        fitting = [rule for rule in self.rules if {w.lower() for w in rule.words} <= asked]
        return [
            Hit(Passage(f"rule: {rule.name}", rule.answer), score=1.0, rank=rank)
            for rank, rule in enumerate(fitting, start=1)
        ]


# --- the pipeline -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One line of the trace: the stage, and what happened there, in words."""

    stage: str
    note: str


@dataclass(frozen=True)
class Answer:
    """What the pipeline says, and where it has it from.

    route: "rule", "retrieval" or "refused". citation: ids of the passages in which the answer
    stands. hits: everything that the retriever found, best first. prompt: what the model read after
    the worked examples, "" where it wasn't asked.
    """

    question: str
    text: str
    route: str
    citation: tuple[str, ...]
    hits: tuple[Hit, ...]
    prompt: str
    trace: tuple[Step, ...]


def trace_text(answer: Answer) -> str:
    """The trace as lines of plain text, one a stage."""
    return "\n".join(
        f"{number}. {step.stage}: {step.note}" for number, step in enumerate(answer.trace, start=1)
    )


def passages_prompt(passages: Sequence[Passage], question: str) -> str:
    """The prompt for passages given best first: the best one ends up nearest to the question.

    A small model answers from what stands nearest, so order matters as much as what is found.
    """
    return open_book(SEPARATOR.join(passage.text for passage in reversed(passages)), question)


class Pipeline:
    """Answers questions from a store of passages; see the module's text for the stages.

    retriever: `search(queries, k)`. k: passages in the prompt. rules: fixed answers.
    threshold: a best score below it is refused; by default nothing is. The score's unit is the
    retriever's, so choose the threshold on data (`utils.abstain`) for the retriever in use.
    must_cite: refuse an answer that stands in none of the passages, because the model made it up.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        retriever: Retriever,
        k: int = 1,
        rules: Sequence[Rule] = (),
        threshold: float = float("-inf"),
        must_cite: bool = False,
        examples: str | None = None,
    ) -> None:
        """Read the worked examples once (by default the open-book form's)."""
        from utils.inference import encode_prefix

        if k < 1:
            raise ValueError(f"k is {k}; the prompt needs at least 1 passage.")
        self.model, self.tokenizer = model, tokenizer
        self.retriever, self.k = retriever, k
        self.threshold, self.must_cite = threshold, must_cite
        self.rules = RuleRetriever(rules)
        examples = open_book_prefix() if examples is None else examples
        self.prefix = encode_prefix(model, tokenizer, examples)

    def answer(self, question: str) -> Answer:
        """Answer one question."""
        return self.answers([question])[0]

    def answers(
        self, questions: Sequence[str], batch_size: int = 4, progress: str | None = None
    ) -> list[Answer]:
        """Answer many questions; the model reads them in batches.

        Raises ValueError for an empty question or one that is too long, before any is answered.
        """
        from utils.inference import complete

        check_questions(questions)
        planned = self.plan(questions)
        asked = [number for number, answer in enumerate(planned) if answer.route == RETRIEVAL]
        texts = complete(
            self.model,
            self.tokenizer,
            [planned[number].prompt for number in asked],
            self.prefix,
            batch_size=batch_size,
            progress=progress,
        )
        for number, text in zip(asked, texts, strict=True):
            planned[number] = self._cite(planned[number], text)
        return planned

    def plan(self, questions: Sequence[str]) -> list[Answer]:
        """All stages before the model: answers whose text is missing where it must be asked."""
        by_rule = self.rules.search(questions, 1)
        rest = [question for question, hits in zip(questions, by_rule, strict=True) if not hits]
        found = iter(self.retriever.search(rest, self.k) if rest else [])
        return [
            _answer_by_rule(question, rule_hits[0])
            if rule_hits
            else self._decide(question, next(found))
            for question, rule_hits in zip(questions, by_rule, strict=True)
        ]

    def _decide(self, question: str, hits: Sequence[Hit]) -> Answer:
        steps = [Step("rule", "no rule matches."), Step("retrieve", _found(hits))]
        if not hits or hits[0].score < self.threshold:
            reason = f"below the threshold {self.threshold:.2f}" if hits else "nothing was found"
            steps.append(Step("decide", f"refuse, {reason}. The model isn't asked."))
            return Answer(question, REFUSAL, REFUSED, (), tuple(hits), "", tuple(steps))
        prompt = passages_prompt([hit.passage for hit in hits], question)
        if self.threshold > float("-inf"):
            note = f"answer, the best score reaches the threshold {self.threshold:.2f}."
        else:
            note = "answer, no threshold is set."
        steps.append(Step("decide", note))
        read = f"after {len(self.prefix)} tokens of worked examples" if self.prefix else "alone"
        steps.append(Step("prompt", f"{_counted(hits)} and the question, read {read}."))
        return Answer(question, "", RETRIEVAL, (), tuple(hits), prompt, tuple(steps))

    def _cite(self, planned: Answer, text: str) -> Answer:
        """The answer with its text and the passages in which this text stands."""
        cited = tuple(hit.passage.id for hit in planned.hits if stands_in(text, hit.passage.text))
        steps = (*planned.trace, Step("answer", f"the model continues with {text!r}."))
        if cited or not self.must_cite:
            note = f"{', '.join(cited)}." if cited else "nothing: no passage holds this answer."
            return replace(planned, text=text, citation=cited, trace=(*steps, Step("cite", note)))
        step = Step("cite", "refuse: no passage holds this answer, so the model made it up.")
        return replace(planned, text=REFUSAL, route=REFUSED, trace=(*steps, step))


def stands_in(answer: str, passage: str) -> bool:
    """Whether the passage holds the answer, word for word ("2 hours" is not in "12 hours")."""
    words = normalise_answer(answer)
    return bool(words) and f" {words} " in f" {normalise_answer(passage)} "


def check_questions(questions: Sequence[str]) -> None:
    """Raise an error that says what is wrong with the questions; nothing is wrong with most."""
    if isinstance(questions, str):
        raise TypeError("questions must be a list; for one question write [question].")
    for number, question in enumerate(questions, start=1):
        if not question.strip():
            raise ValueError(f"Question number {number} is empty.")
        if len(question) > LONGEST_QUESTION:
            raise ValueError(
                f"Question number {number} has {len(question)} characters; "
                f"the pipeline takes at most {LONGEST_QUESTION}."
            )


def _answer_by_rule(question: str, hit: Hit) -> Answer:
    note = f"{hit.passage.id!r} matches. Its answer is given, and the model isn't asked."
    trace = (Step("rule", note),)
    return Answer(question, hit.passage.text, RULE, (hit.passage.id,), (hit,), "", trace)


def _found(hits: Sequence[Hit]) -> str:
    if not hits:
        return "no passage shares anything with the question."
    return "; ".join(f"{hit.passage.id} (score {hit.score:.2f})" for hit in hits) + "."


def _counted(hits: Sequence[Hit]) -> str:
    return "1 passage" if len(hits) == 1 else f"{len(hits)} passages, the best one last,"
