"""Repair a pipeline step by step: each step turns one knob, and its gain is measured.

`STEPS` are lesson 04's, in the order in which its ledger asks for them. They were chosen on the
development world (seed 7); `python -m utils.repair` asks every pipeline all held-out questions of
the default world, which is what the course ships. Each pipeline is a unit of its own, so a run that
was stopped goes on where it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from utils import experiments, worlds
from utils.chunking import chunk_by_structure, chunk_windows, passage_body
from utils.passages import Passage, Retriever
from utils.rag import Pipeline
from utils.rerank import LikelihoodReranker, RerankedRetriever
from utils.retrieval import DenseRetriever, HybridRetriever, LexicalRetriever
from utils.rewrite import ModelRewriter, NameRewriter
from utils.scoring import exact_match
from utils.world_typing import as_typed

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from utils.worlds import Question, World

EXPERIMENT = "repair"
WINDOW = 40  # words; about as long as a card
POOL = 5  # passages that the re-ranker reads: a family has five models
PROSE, LIST = "prose", "list"
BY_NAMES, BY_MODEL = "names", "model"


@dataclass(frozen=True)
class Settings:
    """The knobs of a pipeline; the values here are those of the pipeline as it came.

    chunking: "windows" of WINDOW words, or "records", where the catalogue's author cut.
    card: how the catalogue describes a product, "prose" or "list".
    search: "dense", "words" (BM25), or "fused" for both.
    rerank: sort the best POOL passages anew. examples: show the model solved prompts first.
    k, best_last: how many passages stand in the prompt, and which one nearest to the question.
    rewrite: "" for no, by known "names", or by the language "model".
    """

    chunking: str = "windows"
    card: str = PROSE
    search: str = "dense"
    rerank: bool = False
    examples: bool = False
    k: int = 3
    best_last: bool = False
    rewrite: str = ""


AS_IT_CAME = "as it came"
CHANGES = {
    "worked examples": {"examples": True},
    "best passage last": {"best_last": True},
    "cut between records": {"chunking": "records"},
    "fused search": {"search": "fused"},
    "re-ranked": {"rerank": True},
    "one passage": {"k": 1},
    "cards as lists": {"card": LIST},
    "search by words alone": {"search": "words", "rerank": False},
}


def _steps() -> dict[str, Settings]:
    settings = {AS_IT_CAME: Settings()}
    for name, change in CHANGES.items():
        settings[name] = replace(list(settings.values())[-1], **change)
    return settings


STEPS = _steps()  # name -> the settings after this step and all before it
TUNED = list(STEPS.values())[-1]


@dataclass(frozen=True)
class Catalogue:
    """All cards of a world as one text, and for each product where its card stands in it."""

    text: str
    places: dict[str, tuple[int, int]]


def make_catalogue(world: World, card: str = PROSE) -> Catalogue:
    """One text, as a maker would write it: prose under headings, or records, a blank line apart."""
    text, places = "", {}
    for product in world.products:
        if card == PROSE:
            part = f"## {product.name}\n\n{worlds.prose_card(product)}"
        else:
            part = worlds.attribute_list(product)
        places[product.name] = (len(text), len(text) + len(part))
        text += f"{part}\n\n"
    return Catalogue(text, places)


def holds_answer(passage: Passage, catalogue: Catalogue, question: Question) -> bool:
    """Whether the place in the catalogue that answers the question lies inside the passage.

    The same word on a sibling's card doesn't count.
    """
    start, end = catalogue.places[question.product]
    answer = re.compile(rf"\b{re.escape(question.answer)}\b", re.IGNORECASE)
    place = answer.search(catalogue.text, start + len(question.product), end)
    passage_end = passage.start + len(passage_body(passage))
    return passage.start <= place.start() and place.end() <= passage_end


@dataclass(frozen=True)
class Parts:
    """What all pipelines share: loading it takes seconds."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encoder: SentenceTransformer


def build_pipeline(settings: Settings, catalogue: Catalogue, parts: Parts) -> Pipeline:
    """The pipeline with these settings over the catalogue's text."""
    if settings.chunking == "windows":
        passages = chunk_windows(catalogue.text, WINDOW, document="catalogue")
    else:
        passages = chunk_by_structure(catalogue.text, document="catalogue")
    retriever = _search(settings.search, passages, parts)
    if settings.rerank:
        reranker = LikelihoodReranker(parts.model, parts.tokenizer)
        retriever = RerankedRetriever(retriever, reranker, POOL)
    rewrite = None
    if settings.rewrite == BY_NAMES:
        rewrite = NameRewriter(list(catalogue.places))
    elif settings.rewrite == BY_MODEL:
        rewrite = ModelRewriter(parts.model, parts.tokenizer)
    return Pipeline(
        parts.model,
        parts.tokenizer,
        retriever,
        settings.k,
        best_last=settings.best_last,
        rewrite=rewrite,
        examples=None if settings.examples else "",
    )


def _search(kind: str, passages: Sequence[Passage], parts: Parts) -> Retriever:
    if kind == "words":
        return LexicalRetriever(passages)
    dense = DenseRetriever(parts.encoder, passages)
    return HybridRetriever(dense, LexicalRetriever(passages)) if kind == "fused" else dense


@dataclass(frozen=True)
class Outcome:
    """For each question: its product, the answer, whether it is right and its place was found."""

    products: list[str]
    answers: list[str]
    right: list[float]
    found: list[float]


def ask(
    settings: Settings,
    world: World,
    questions: Sequence[Question],
    parts: Parts,
    progress: str | None = None,
) -> Outcome:
    """Ask the pipeline with these settings; answers count as right by exact match."""
    catalogue = make_catalogue(world, settings.card)
    pipeline = build_pipeline(settings, catalogue, parts)
    answers = pipeline.answers([q.text for q in questions], progress=progress)
    found = [
        float(any(holds_answer(hit.passage, catalogue, question) for hit in answer.hits))
        for answer, question in zip(answers, questions, strict=True)
    ]
    right = [exact_match(a.text, q.answer) for a, q in zip(answers, questions, strict=True)]
    return Outcome([q.product for q in questions], [a.text for a in answers], right, found)


# --- what the course ships ------------------------------------------------------------------


@dataclass(frozen=True)
class Repair:
    """One unit: a pipeline, the world, and whether its questions are typed in a hurry.

    dtype: the model's number format. In bfloat16 the answers of a handful of questions depend on
    which other questions are read in the same batch; in float32 they don't.
    """

    settings: Settings
    typed: bool = False
    world_seed: int = 2024
    dtype: str = "float32"


TYPED_ARMS = {
    "as typed": TUNED,
    "rewritten by the model": replace(TUNED, rewrite=BY_MODEL),
    "rewritten by known names": replace(TUNED, rewrite=BY_NAMES),
}


def measure(unit: Repair) -> dict:
    """Ask all held-out questions of the unit's world."""
    import torch

    from utils.models import load_encoder, load_model

    world = worlds.make_world(unit.world_seed)
    questions = worlds.questions(world, "held_out")
    if unit.typed:
        questions = [as_typed(question) for question in questions]
    parts = Parts(*load_model(dtype=getattr(torch, unit.dtype)), load_encoder())
    return asdict(ask(unit.settings, world, questions, parts, f"{len(questions)} questions"))


def shipped(settings: Settings, typed: bool = False, recompute: bool = False) -> Outcome:
    """What the course ships for these settings, or with `recompute` what is measured now.

    Raises LookupError where it ships nothing.
    """
    unit = Repair(settings, typed)
    if recompute:
        return Outcome(**experiments.run(EXPERIMENT, unit, measure, recompute=True).values)
    result = experiments.known(EXPERIMENT, unit)
    if result is None:
        raise LookupError("No such run is there; `python -m utils.repair` makes what is missing.")
    return Outcome(**result.values)


def main() -> None:
    """Compute the shipped runs that are missing: ``python -m utils.repair``."""
    units = {name: Repair(settings) for name, settings in STEPS.items()}
    units |= {name: Repair(settings, typed=True) for name, settings in TYPED_ARMS.items()}
    for name, unit in units.items():
        values = experiments.run(EXPERIMENT, unit, measure, folder=experiments.SHIPPED).values
        print(f"{name}: {sum(values['right']):.0f} of {len(values['right'])} right", flush=True)


if __name__ == "__main__":
    main()
