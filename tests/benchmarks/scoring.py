"""Forced choice: the course's log-likelihoods against those of EleutherAI's evaluation harness.

`python -m tests.benchmarks.scoring` lets `utils.inference.log_likelihoods` and
lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness) score the four options
of the same questions about the default world: five worked examples, the card, the question, as
`utils.injection.ask` puts them. Both have the same model object in fp32, the same threads and the
same texts; they take turns on `--block` questions each, so that whatever else the machine does hits
both alike. The last line printed is JSON:

- `speedup_vs_lm_eval`: seconds of the harness / seconds of the course. The course's seconds include
  reading the worked examples, which it does once; building the harness is not counted.
- `speedup_range`: the smallest and the largest of these quotients in any block, without the
  examples; far apart, they say that the machine was busy.
- `max_abs_diff`: the largest difference between the two log-likelihoods of any option, in nats.
- `equal_choices`: share of questions for which both find the same option likeliest.
- `same_tokens`: share of options that both split, with all that stands before, into the same
  tokens.
- `tokens`: of all prompts with each of their options, from the beginning to the end;
  `course_tokens_read` and `lm_eval_tokens_read` are those that went through the model, padding
  counted: what each way saves by sharing.
- `lm_eval_batch_size`: the fastest for the harness in a trial on the first `TRIAL` questions, whose
  seconds stand in `lm_eval_trial_seconds`. `auto` isn't tried unless asked for: it tries batches of
  64 texts in each call, which takes a processor longer than the call itself.

`closed_book` holds the same for questions without a card, after shorter worked examples.

The harness is used as its own users do, `HFLM(pretrained=..., tokenizer=..., batch_size=...)` with
its other settings as they are: so it reads options only once that differ in nothing but the last
token.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch
from tqdm import tqdm

from tests.benchmarks.encoding import timed
from utils import injection, prompts, worlds
from utils.inference import encode_prefix, log_likelihoods
from utils.models import load_model
from utils.scoring import choose

QUESTIONS = 200
BLOCK = 10
WARM_UP = 2
TRIAL = 12
BATCH_SIZES = (1, 8, 16)  # of the harness


@dataclass(frozen=True)
class Item:
    """A prompt, and its options, each with the space that separates it from the prompt."""

    prompt: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """Items in one form, and the worked examples that stand before each of them."""

    examples: str
    items: list[Item]

    def context(self, item: Item) -> str:
        """The whole text before the options of an item."""
        return prompts.SEPARATOR.join([self.examples, item.prompt])


# For each item the log-likelihoods of its options, shape (options,).
Way = Callable[[Sequence[Item]], list[np.ndarray]]


# --- what is asked ----------------------------------------------------------------------------


def open_book_form(world: worlds.World, questions: Sequence[worlds.Question]) -> Form:
    """Each question after the card that is found for it."""
    cards = injection.retrieve_cards(world, questions)
    texts = [prompts.open_book(card, q.text) for card, q in zip(cards, questions, strict=True)]
    return Form(prompts.open_book_prefix(), _items(texts, questions))


def closed_book_form(questions: Sequence[worlds.Question]) -> Form:
    """Each question alone."""
    texts = [prompts.closed_book(question.text) for question in questions]
    return Form(prompts.closed_book_prefix(), _items(texts, questions))


def _items(texts: Sequence[str], questions: Sequence[worlds.Question]) -> list[Item]:
    return [
        Item(text, tuple(f" {option}" for option in question.options))
        for text, question in zip(texts, questions, strict=True)
    ]


# --- the two ways -----------------------------------------------------------------------------


def course_way(model, tokenizer, examples: str, batch_size: int) -> Way:
    """Reads the worked examples here, once, and each prompt once for all of its options."""
    prefix = encode_prefix(model, tokenizer, examples)

    def score(items: Sequence[Item]) -> list[np.ndarray]:
        texts, options = [item.prompt for item in items], [item.options for item in items]
        return log_likelihoods(model, tokenizer, texts, options, prefix, batch_size)

    return score


def import_harness() -> tuple[type, type]:
    """lm_eval's classes of a model and of a request; ends the program if they are missing."""
    try:
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM
    except ModuleNotFoundError as error:
        sys.exit(
            f"{error.name.partition('.')[0]} is missing: make a new environment, so that the "
            "course's own stays as it is,\n"
            "and there: pip install -r tests/benchmarks/requirements.txt"
        )
    return HFLM, Instance


def load_harness(model, tokenizer, batch_size: int | str):
    """The harness around a model that is loaded already."""
    model_class, _ = import_harness()
    return model_class(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)


def lm_eval_way(harness, form: Form) -> Way:
    """One request for each option, with the whole text before it as its context."""
    _, request_class = import_harness()

    def score(items: Sequence[Item]) -> list[np.ndarray]:
        pairs = [(form.context(item), option) for item in items for option in item.options]
        requests = [
            request_class("loglikelihood", doc={}, arguments=pair, idx=number)
            for number, pair in enumerate(pairs)
        ]
        found = iter(harness.loglikelihood(requests, disable_tqdm=True))
        return [np.array([next(found)[0] for _ in item.options]) for item in items]

    return score


# --- do both read the same? -------------------------------------------------------------------


def course_tokens(tokenizer, form: Form, item: Item) -> list[tuple[list[int], list[int]]]:
    """For each option the tokens before it and its own: split apart, then put together."""
    parts = [form.examples, prompts.SEPARATOR + item.prompt, *item.options]
    first, second, *options = tokenizer(parts, add_special_tokens=False).input_ids
    return [(first + second, option) for option in options]


def harness_tokens(
    encode: Callable[[str], list[int]], form: Form, item: Item
) -> list[tuple[list[int], list[int]]]:
    """The same, by the harness's rule: the whole is split, then as much cut off as its context."""
    context = form.context(item)
    length = len(encode(context))
    wholes = [encode(context + option) for option in item.options]
    return [(whole[:length], whole[length:]) for whole in wholes]


def compare_tokens(tokenizer, encode: Callable[[str], list[int]], form: Form) -> dict:
    """What share of the texts both split alike, and how many tokens these are."""
    ours = [pair for item in form.items for pair in course_tokens(tokenizer, form, item)]
    theirs = [pair for item in form.items for pair in harness_tokens(encode, form, item)]
    return {
        "same_tokens": sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours),
        "tokens": sum(len(before) + len(option) for before, option in ours),
    }


# --- measuring --------------------------------------------------------------------------------


@contextmanager
def tokens_read(model) -> Iterator[list[int]]:
    """A list that grows, while the block runs, by the tokens of each pass through the model."""
    read: list[int] = []
    embedding = model.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda _, inputs, __: read.append(inputs[0].numel()))
    try:
        yield read
    finally:
        hook.remove()


def trial(ways: dict[str, Way], items: Sequence[Item]) -> dict[str, float]:
    """Seconds of each way for the same items."""
    for way in ways.values():
        way(items[:WARM_UP])
    return {name: round(timed(way, items)[0], 2) for name, way in ways.items()}


def compare_ways(
    model, ways: dict[str, Way], items: Sequence[Item], block: int
) -> tuple[dict[str, list[float]], dict[str, int], dict[str, list[np.ndarray]]]:
    """Each way's seconds for each block, tokens read, and log-likelihoods; block by block."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    scores: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    tokens = dict.fromkeys(ways, 0)
    for way in ways.values():  # all are warm before the clock starts
        way(items[:WARM_UP])
    for first in tqdm(range(0, len(items), block), unit="block"):
        for name, way in ways.items():
            with tokens_read(model) as read:
                duration, found = timed(way, items[first : first + block])
            seconds[name].append(duration)
            tokens[name] += sum(read)
            scores[name] += found
    return seconds, tokens, scores


def agreement(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> dict:
    """How far the log-likelihoods of two ways are apart, and how often the choice is the same."""
    pairs = list(zip(ours, theirs, strict=True))
    return {
        "max_abs_diff": float(max(np.abs(a - b).max() for a, b in pairs)),
        "equal_choices": sum(choose(a) == choose(b) for a, b in pairs) / len(pairs),
    }


def measure_form(
    model,
    tokenizer,
    form: Form,
    batch_size: int,
    lm_eval_batch_sizes: Sequence[int | str],
    block: int,
) -> dict:
    """What the JSON line holds about one form."""
    sizes = {str(size): size for size in lm_eval_batch_sizes}
    harnesses = {name: load_harness(model, tokenizer, size) for name, size in sizes.items()}
    ways = {name: lm_eval_way(harness, form) for name, harness in harnesses.items()}
    tried = trial(ways, form.items[:TRIAL])
    best = min(tried, key=tried.get)
    with tokens_read(model) as once:
        reading, course = timed(course_way, model, tokenizer, form.examples, batch_size)
    both = {"course": course, "lm_eval": ways[best]}
    seconds, tokens, scores = compare_ways(model, both, form.items, block)
    course_seconds, lm_eval_seconds = reading + sum(seconds["course"]), sum(seconds["lm_eval"])
    quotients = [b / a for a, b in zip(seconds["course"], seconds["lm_eval"], strict=True)]
    return {
        "speedup_vs_lm_eval": round(lm_eval_seconds / course_seconds, 2),
        "speedup_range": [round(min(quotients), 2), round(max(quotients), 2)],
        **agreement(scores["course"], scores["lm_eval"]),
        "items": len(form.items),
        **compare_tokens(tokenizer, harnesses[best].tok_encode, form),
        "course_tokens_read": sum(once) + tokens["course"],
        "lm_eval_tokens_read": tokens["lm_eval"],
        "course_seconds": round(course_seconds, 2),
        "lm_eval_seconds": round(lm_eval_seconds, 2),
        "lm_eval_batch_size": best,
        "lm_eval_trial_seconds": tried,
    }


def measure(
    count: int, batch_size: int, lm_eval_batch_sizes: Sequence[int | str], block: int
) -> dict:
    """Let both ways score the options of `count` questions; returns what the JSON line holds."""
    import_harness()  # what is missing is said before anything takes time
    model, tokenizer = load_model(dtype=torch.float32)
    world = worlds.load_world()
    questions = worlds.questions(world, "held_out")[:count]
    forms = [open_book_form(world, questions), closed_book_form(questions)]
    open_book, closed_book = (
        measure_form(model, tokenizer, form, batch_size, lm_eval_batch_sizes, block)
        for form in forms
    )
    return {
        **open_book,
        "closed_book": closed_book,
        "course_batch_size": batch_size,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("lm_eval", "torch", "transformers")},
    }


def size(text: str) -> int | str:
    """A batch size: a number, or a word that the harness knows."""
    return int(text) if text.isdigit() else text


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--block", type=int, default=BLOCK)
    parser.add_argument("--batch-size", type=int, default=injection.OPTIONS_AT_ONCE)
    parser.add_argument("--lm-eval-batch-sizes", type=size, nargs="+", default=BATCH_SIZES)
    options = parser.parse_args(arguments)
    found = measure(
        options.questions, options.batch_size, options.lm_eval_batch_sizes, options.block
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
