"""Retrieval-augmented generation: a language model, and a control module that stands before it.

The language model only continues text. The *control module* decides what it is asked, and whether
it is asked at all. A question passes these stages, and each writes a line into a trace:

1. rewrite (if there is a rewriter): the question as its author would have put it with more care.
2. routes: rules, small talk, a look into a catalogue (`utils.routes`). The first that fits answers.
3. retrieve: which passages belong to the question, and how well does the best one fit?
4. decide: a best score below the threshold means "I don't know".
5. prompt: worked examples, as many passages as the token budget allows, the question.
6. answer: the model continues the prompt.
7. cite: the passages in which the answer stands. If it stands in none, it can be refused.

The idea of answering from retrieved passages is that of Lewis et al. 2020
(https://arxiv.org/abs/2005.11401). Thresholds are chosen on data: `utils.abstain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from utils.passages import Hit, Retriever, check_k, check_questions
from utils.prompts import fit_passages, open_book_prefix, passages_prompt
from utils.scoring import normalise_answer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

RETRIEVAL, REFUSED = "retrieval", "refused"
REFUSAL = "I don't know: I found nothing that answers this question."
LONGEST_QUESTION = 1000  # characters; more is a document, not a question
TOKEN_BUDGET = 1500  # for passages and question; the default model keeps 46 kB for each in fp32


@dataclass(frozen=True)
class Step:
    """One line of the trace: the stage, and what happened there, in words."""

    stage: str
    note: str


@dataclass(frozen=True)
class Answer:
    """What the pipeline says, and where it has it from.

    route: the name of the route that answered, else "retrieval" or "refused". citation: ids of the
    passages in which the answer stands. hits: everything that was found, best first. prompt: what
    the model read after the worked examples, "" where it wasn't asked.
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


class Pipeline:
    """Answers questions from a store of passages; see the module's text for the stages.

    retriever: `search(queries, k)`. k: passages in the prompt, `best_last` the best one nearest to
    the question.
    routes: name -> table of answers, asked in this order before the search.
    rewrite: turns questions into better ones, list to list.
    threshold: a best score below it is refused; by default nothing is. The score's unit is the
    retriever's, so choose the threshold on data (`utils.abstain`) for the retriever in use.
    must_cite: refuse an answer that stands in none of the passages, because the model made it up.
    examples: solved prompts that the model reads first. budget: tokens for passages and question.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        retriever: Retriever,
        k: int = 1,
        *,
        best_last: bool = True,
        routes: Mapping[str, Retriever] | None = None,
        rewrite: Callable[[Sequence[str]], list[str]] | None = None,
        threshold: float = float("-inf"),
        must_cite: bool = False,
        examples: str | None = None,
        budget: int = TOKEN_BUDGET,
    ) -> None:
        """Read the worked examples once (by default the open-book form's)."""
        from utils.inference import encode_prefix

        self.model, self.tokenizer = model, tokenizer
        self.retriever, self.k, self.best_last = retriever, check_k(k), best_last
        self.budget = budget
        self.routes, self.rewrite = dict(routes or {}), rewrite
        self.threshold, self.must_cite = threshold, must_cite
        examples = open_book_prefix() if examples is None else examples
        self.prefix = encode_prefix(model, tokenizer, examples)

    def answer(self, question: str) -> Answer:
        """Answer one question."""
        return self.answers([question])[0]

    def answers(
        self, questions: Sequence[str], batch_size: int = 8, progress: str | None = None
    ) -> list[Answer]:
        """Answer many questions; the model reads them in batches.

        Raises ValueError for an empty question or one that is too long, before any is answered.
        """
        from utils.inference import complete

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

    def stream(self, question: str) -> Iterator[Answer]:
        """Answer one question while somebody watches: first the plan, then the growing text.

        The last answer that comes is the one that `answer` gives.
        """
        from utils.inference import stream

        planned = self.plan([question])[0]
        yield planned
        if planned.route != RETRIEVAL:
            return
        text = ""
        for text in stream(self.model, self.tokenizer, planned.prompt, self.prefix):
            yield replace(planned, text=text)
        yield self._cite(planned, text)

    def plan(self, questions: Sequence[str]) -> list[Answer]:
        """All stages before the model: answers whose text is missing where it must be asked.

        Raises ValueError for a bad question, before any stage.
        """
        questions = check_lengths(check_questions(questions))
        texts = self.rewrite(questions) if self.rewrite else questions
        planned = [self._route(q, text) for q, text in zip(questions, texts, strict=True)]
        rest = [number for number, answer in enumerate(planned) if not answer.route]
        found = self.retriever.search([texts[number] for number in rest], self.k) if rest else []
        for number, hits in zip(rest, found, strict=True):
            planned[number] = self._decide(planned[number], texts[number], hits)
        return planned

    def _route(self, question: str, text: str) -> Answer:
        """The answer of the first route that fits, or one without a route."""
        steps = [Step("rewrite", _rewritten(question, text))] if self.rewrite else []
        for name, table in self.routes.items():
            hits = tuple(table.search([text], 1)[0])
            if hits:
                note = f"{hits[0].passage.id!r} fits. Its answer is given, the model isn't asked."
                cited = (hits[0].passage.id,)
                trace = (*steps, Step(name, note))
                return Answer(question, hits[0].passage.text, name, cited, hits, "", trace)
            steps.append(Step(name, "nothing fits."))
        return Answer(question, "", "", (), (), "", tuple(steps))

    def _decide(self, planned: Answer, text: str, hits: Sequence[Hit]) -> Answer:
        steps = [*planned.trace, Step("retrieve", _found(hits))]
        planned = replace(planned, hits=tuple(hits))
        if not hits or hits[0].score < self.threshold:
            reason = f"below the threshold {self.threshold:.2f}" if hits else "nothing was found"
            steps.append(Step("decide", f"refuse, {reason}. The model isn't asked."))
            return replace(planned, text=REFUSAL, route=REFUSED, trace=tuple(steps))
        if self.threshold > float("-inf"):
            note = f"answer, the best score reaches the threshold {self.threshold:.2f}."
        else:
            note = "answer, no threshold is set."
        steps.append(Step("decide", note))
        found = [hit.passage.text for hit in hits]
        kept = fit_passages(self.tokenizer, found, text, self.budget)
        prompt = passages_prompt(kept, text, self.best_last)
        steps.append(Step("prompt", self._read(found, kept)))
        return replace(planned, route=RETRIEVAL, prompt=prompt, trace=tuple(steps))

    def _read(self, found: Sequence[str], kept: Sequence[str]) -> str:
        """What the model reads, in words."""
        where = "last" if self.best_last else "first"
        passages = "1 passage" if len(kept) == 1 else f"{len(kept)} passages, the best one {where},"
        read = f"after {len(self.prefix)} tokens of worked examples" if self.prefix else "alone"
        note = f"{passages} and the question, read {read}."
        if len(kept) < len(found):
            note += f" {len(found) - len(kept)} more did not fit into {self.budget} tokens."
        if kept[0] != found[0]:
            note += f" The passage was cut to fit into {self.budget} tokens."
        return note

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


def check_lengths(questions: list[str]) -> list[str]:
    """The questions. Raises ValueError for one that is too long to be one."""
    for number, question in enumerate(questions, start=1):
        if len(question) > LONGEST_QUESTION:
            raise ValueError(
                f"Question number {number} has {len(question)} characters; "
                f"the pipeline takes at most {LONGEST_QUESTION}."
            )
    return questions


def _rewritten(question: str, text: str) -> str:
    return "nothing to change." if text == question else f"understood as {text!r}."


def _found(hits: Sequence[Hit]) -> str:
    if not hits:
        return "no passage shares anything with the question."
    return "; ".join(f"{hit.passage.id} (score {hit.score:.2f})" for hit in hits) + "."
