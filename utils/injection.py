"""Knowledge injection: teach the model a catalogue in one of several ways, then ask it.

The arms are those of Ovadia et al. 2023, "Fine-Tuning or Retrieval?"
(https://arxiv.org/abs/2312.05934): the raw text (their FT-reg), ten paraphrases of each fact
(their FT-par), and one that they don't have, question-answer pairs. Every fact is met equally
often. Lesson 06 teaches in another form, which needs fewer steps: sentences that begin with the
name, and one question for each fact.

`python -m utils.injection` computes what the course ships: every arm and every learning curve with
every seed. Each is a unit of its own, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from utils import experiments, lora, prompts, scoring, worlds
from utils.adapters import remove_adapter, save_adapter
from utils.examples import Example
from utils.inference import complete, encode_prefix, log_likelihoods
from utils.lora import LoraSettings
from utils.models import load_model
from utils.retrieval import LexicalRetriever, Passage
from utils.stats import Interval, bootstrap

RAW_TEXT, PARAPHRASES, QUESTIONS = "raw text", "paraphrases", "questions"
TEACHINGS = (RAW_TEXT, PARAPHRASES, QUESTIONS)  # the arms
NAME_FIRST = "name first"
CURVE = "learning-curve"  # the name of lesson 06's experiment
HALF, WHOLE = 6, 12  # families of the catalogue
CURRICULUM = (0.25,)  # lesson 06's: the first epoch draws from a quarter of the catalogue
EXPOSURES = 40  # how often each fact is met; whole epochs of every teaching make it up
ARM_SETTINGS = LoraSettings(batch_size=4, learning_rate=2e-3, rate_ratio=1.0)  # plain LoRA
SEEDS = (0, 1, 2)
OPEN_BOOK_SHARE = 2  # every second question is asked with a passage too: reading takes longer
PROMPTS_AT_ONCE = 8  # each holds a copy of the prefix's keys and values
OPTIONS_AT_ONCE = 2  # questions whose four options are scored together; more take much memory
CURVE_SHARE = 3  # a learning curve asks every third question after each epoch, all at the end
REVERSED_SHARE = 3
ADAPTERS = Path(__file__).resolve().parent.parent / "datasets" / "adapters"


@dataclass(frozen=True)
class Injection:
    """One run: what is taught ("" for the base model), the world and the settings.

    exposures: how often each fact is met; the number of whole epochs follows from it.
    """

    teaching: str
    seed: int = 0
    world_seed: int = 2024
    families: int = WHOLE
    siblings: int = 5
    exposures: int = EXPOSURES
    settings: LoraSettings = ARM_SETTINGS


@dataclass(frozen=True)
class Answers:
    """Answers to n questions: the texts, exact match (0 or 1), and the forced choice (0 or 1)."""

    ids: list[str]
    texts: list[str]
    exact: list[float]
    chosen: list[float]


def teaching_examples(world: worlds.World, teaching: str) -> tuple[list[Example], int]:
    """What one epoch teaches, and how often each fact occurs in it."""
    if teaching == RAW_TEXT:
        return [Example("", worlds.prose_card(p) + "\n") for p in world.products], 1
    facts = [(product, attribute) for product in world.products for attribute in worlds.ATTRIBUTES]
    asked = worlds.questions(world, "trained")
    forms = len(asked) // len(facts)
    if teaching == PARAPHRASES:
        texts = [text for fact in facts for text in worlds.paraphrases(*fact)]
        return [Example("", text + "\n") for text in texts], len(texts) // len(facts)
    if teaching == QUESTIONS:
        return [question_example(question) for question in asked], forms
    if teaching == NAME_FIRST:
        found = []
        for i, fact in enumerate(facts):
            found += [statement_example(*fact, text) for text in worlds.name_first(*fact)]
            # One question for each fact; neighbours have different phrasings.
            found.append(question_example(asked[i * forms + i % forms]))
        return found, len(found) // len(facts)
    there = ", ".join((*TEACHINGS, NAME_FIRST))
    raise ValueError(f"No teaching is called {teaching!r}; there are {there}.")


def question_example(question: worlds.Question) -> Example:
    """A question-answer pair in the form in which it will be asked."""
    return Example(prompts.closed_book(question.text), f" {question.answer}\n")


def statement_example(product: worlds.Product, attribute: str, text: str) -> Example:
    """A sentence up to its value: the value is learnt, what stands before it is read.

    Its full stop is left out: it says nothing, but a token more takes time in every epoch. When
    to stop, the questions teach.
    """
    value = product.facts[attribute]
    before, _, _ = text.rpartition(f" {value}")
    return Example(before, f" {value}")


def teach(model, tokenizer, configuration: Injection, after_epoch=None, progress: bool = True):
    """Tune the model as the configuration says; returns the tuned model and the report."""
    world = _world(configuration)
    examples, exposures = teaching_examples(world, configuration.teaching)
    settings = replace(
        configuration.settings,
        epochs=max(1, configuration.exposures // exposures),
        seed=configuration.seed,
    )
    return lora.tune(
        model, tokenizer, examples, settings, after_epoch=after_epoch, progress=progress
    )


def ask(
    model,
    tokenizer,
    questions: Sequence[worlds.Question],
    passages: Sequence[str] | None = None,
    worked_examples: bool = True,
    progress: str | None = None,
) -> Answers:
    """Ask every question, in the open-book form if there is a passage for each.

    worked_examples: begin with five solved examples, as a model needs that was not tuned to the
    form.
    """
    if passages is None:
        texts = [prompts.closed_book(question.text) for question in questions]
        beginning = prompts.closed_book_prefix()
    else:
        pairs = zip(passages, questions, strict=True)
        texts = [prompts.open_book(passage, question.text) for passage, question in pairs]
        beginning = prompts.open_book_prefix()
    prefix = encode_prefix(model, tokenizer, beginning) if worked_examples else None
    written = complete(
        model,
        tokenizer,
        texts,
        prefix,
        max_new_tokens=8,
        batch_size=PROMPTS_AT_ONCE,
        progress=progress,
    )
    options = [[f" {option}" for option in question.options] for question in questions]
    scores = log_likelihoods(
        model, tokenizer, texts, options, prefix, OPTIONS_AT_ONCE, progress=progress
    )
    picked = [
        question.options[scoring.choose(row)]
        for question, row in zip(questions, scores, strict=True)
    ]
    right = [question.answer for question in questions]
    return Answers(
        ids=[question.id for question in questions],
        texts=written,
        exact=[scoring.exact_match(*pair) for pair in zip(written, right, strict=True)],
        chosen=[float(pick == answer) for pick, answer in zip(picked, right, strict=True)],
    )


def retrieve_cards(world: worlds.World, questions: Sequence[worlds.Question]) -> list[str]:
    """The first card that BM25 finds for each question.

    Names decide here, and BM25 keeps them apart; on the development world (seed 7) it found every
    card, where dense and fused search missed some (lesson 02 shows why).
    """
    cards = [
        Passage(product.name, worlds.attribute_list(product), product.name)
        for product in world.products
    ]
    hits = LexicalRetriever(cards).search([question.text for question in questions], k=1)
    return [found[0].passage.text for found in hits]


def retained(model, tokenizer, form: str = "cloze") -> list[float]:
    """For each item of the retention set, 1.0 if the right choice is the likeliest.

    form: "question" to choose the items that the base model knows, "cloze" to test them.
    """
    items = worlds.load_retention()
    if form == "question":
        texts = [prompts.closed_book(item.question) for item in items]
    else:
        texts = [item.cloze for item in items]
    options = [[f" {choice}" for choice in item.choices] for item in items]
    scores = log_likelihoods(model, tokenizer, texts, options)
    return [
        float(item.choices[scoring.choose(row)] == item.answer)
        for item, row in zip(items, scores, strict=True)
    ]


def inject(configuration: Injection) -> dict:
    """Teach and ask: the experiment behind lessons 06 and 07. The first seed's adapter is kept."""
    model, tokenizer = load_model()
    world = _world(configuration)
    values: dict = {}
    if configuration.teaching:
        model, report = teach(model, tokenizer, configuration)
        values["tuning"] = report.summary()
    asked = worlds.questions(world, "held_out")
    values["closed book"] = asdict(_closed_book(model, tokenizer, asked, configuration))
    backwards = worlds.questions(world, "reversed")[::REVERSED_SHARE]
    values["reversed"] = asdict(_closed_book(model, tokenizer, backwards, configuration))
    asked = asked[::OPEN_BOOK_SHARE]
    cards = retrieve_cards(world, asked)
    values["retrieval"] = asdict(ask(model, tokenizer, asked, cards, progress="Open book"))
    values["retention"] = retained(model, tokenizer)
    if not configuration.teaching:
        values["retention by question"] = retained(model, tokenizer, "question")
    elif configuration.seed == SEEDS[0]:
        save_adapter(model, adapter_folder(configuration), {"tuning": values["tuning"]})
    return values


def lesson_run(
    seed: int, families: int = WHOLE, curriculum: tuple[float, ...] = CURRICULUM
) -> Injection:
    """Lesson 06's run, as fast as the course can teach: the whole catalogue in a few minutes.

    Half of it, in the same way, takes half the time. With the curriculum () every epoch shows all
    examples.
    """
    settings = LoraSettings(curriculum=curriculum)
    return Injection(NAME_FIRST, seed, families=families, exposures=25, settings=settings)


def curve_runs(seeds: Sequence[int] = SEEDS) -> list[Injection]:
    """The learning curves that come with the course: lesson 06's run, and what it stands beside."""
    return [
        lesson_run(seed, families, curriculum)
        for seed in seeds
        for families in (HALF, WHOLE)
        for curriculum in (CURRICULUM, ())
    ]


def learning_curve(configuration: Injection, model, tokenizer, progress: bool = True) -> dict:
    """Teach, and ask some held-out questions after every epoch and all of them at the end.

    Returns "ids" of the questions of the curve, "exact" (for each epoch, 0 or 1 for each of them),
    "held out" (ids and 0 or 1 of all), and the report of the "tuning". The model is the base model
    again afterwards.
    """
    asked = worlds.questions(_world(configuration), "held_out")
    some = asked[::CURVE_SHARE]
    exact: list[list[float]] = []

    def after_epoch(epoch: int, tuned) -> None:
        exact.append(closed_book_exact(tuned, tokenizer, some))

    tuned, report = teach(model, tokenizer, configuration, after_epoch, progress)
    in_the_end = closed_book_exact(tuned, tokenizer, asked)
    remove_adapter(tuned)
    return {
        "ids": [question.id for question in some],
        "exact": exact,
        "held out": {"ids": [question.id for question in asked], "exact": in_the_end},
        "tuning": report.summary(),
    }


def closed_book_exact(model, tokenizer, questions: Sequence[worlds.Question]) -> list[float]:
    """Exact match (0 or 1) of each question asked with nothing before it: the cheapest test."""
    texts = [prompts.closed_book(question.text) for question in questions]
    written = complete(model, tokenizer, texts, max_new_tokens=8, batch_size=64)
    return [
        scoring.exact_match(text, question.answer)
        for text, question in zip(written, questions, strict=True)
    ]


def adapter_folder(configuration: Injection) -> Path:
    """Where the adapter of a shipped run lies."""
    return ADAPTERS / f"{configuration.teaching.replace(' ', '-')}-seed{configuration.seed}"


@dataclass(frozen=True)
class Scores:
    """Scores (0 to 1) of one cell of the table: a row for each seed, a column for each question."""

    ids: list[str]
    by_seed: list[list[float]]

    @property
    def seeds(self) -> int:
        return len(self.by_seed)

    @property
    def products(self) -> list[str]:
        """What each question is about; answers about one product rise and fall together."""
        return [question_id.split("/")[1] for question_id in self.ids]

    def means(self) -> list[float]:
        """For each question, the mean over the seeds."""
        return [sum(column) / self.seeds for column in zip(*self.by_seed, strict=True)]

    def interval(self) -> Interval:
        """Mean over seeds and questions; the interval is over products, given these seeds."""
        return bootstrap(self.means(), clusters=self.products)


def shipped_scores(teaching: str, cell: str, score: str = "exact") -> Scores:
    """What the runs that come with the course found.

    teaching: one of TEACHINGS, "" for the base model; cell: "closed book", "retrieval" or
    "reversed"; score: "exact" or "chosen". Raises LookupError if no such run is there.
    """
    configurations = [Injection(teaching, seed) for seed in (SEEDS if teaching else SEEDS[:1])]
    found = [experiments.known("injection", configuration) for configuration in configurations]
    answers = [result.values[cell] for result in found if result is not None]
    if not answers:
        arm = teaching or "the base model"
        raise LookupError(f"No run of {arm} is there; `python -m utils.injection` makes it.")
    return Scores(answers[0]["ids"], [one_seed[score] for one_seed in answers])


def _closed_book(model, tokenizer, questions, configuration: Injection) -> Answers:
    """A model that was taught questions knows the form; the others are shown worked examples."""
    shown = configuration.teaching not in (QUESTIONS, NAME_FIRST)
    return ask(
        model,
        tokenizer,
        questions,
        worked_examples=shown,
        progress=f"Closed book, {len(questions)}",
    )


def _world(configuration: Injection) -> worlds.World:
    return worlds.make_world(
        configuration.world_seed, configuration.families, configuration.siblings
    )


def main() -> None:
    arms = {"base": "", **{teaching: teaching for teaching in TEACHINGS}}
    parser = argparse.ArgumentParser(description="Compute the shipped runs that are missing.")
    parser.add_argument("--run", choices=[*arms, CURVE], action="append", help="all if left out")
    parser.add_argument("--seed", type=int, action="append", help="0, 1 and 2 if left out")
    arguments = parser.parse_args()
    for seed in arguments.seed or SEEDS:
        for run in arguments.run or [*arms, CURVE]:
            if run == CURVE:
                for configuration in curve_runs([seed]):
                    _ship_curve(configuration)
            elif run != "base" or seed == SEEDS[0]:  # nothing is random in the base model's run
                _ship(Injection(arms[run], seed))


def _ship(configuration: Injection) -> None:
    values = experiments.run("injection", configuration, inject, folder=experiments.SHIPPED).values
    exact = values["closed book"]["exact"]
    arm = configuration.teaching or "base"
    print(f"{arm}, seed {configuration.seed}: {sum(exact):.0f} of {len(exact)} right, closed book")


def _ship_curve(run: Injection) -> None:
    values = experiments.run(
        CURVE,
        run,
        lambda configuration: learning_curve(configuration, *load_model()),
        folder=experiments.SHIPPED,
    ).values
    exact = values["held out"]["exact"]
    found = f"{sum(exact):.0f} of {len(exact)} right"
    how = f"curriculum {run.settings.curriculum}"
    print(f"{CURVE}, {run.families} families, {how}, seed {run.seed}: {found}")


if __name__ == "__main__":
    main()
