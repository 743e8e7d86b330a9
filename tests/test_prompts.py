"""The texts that the model reads: their form, and that examples give nothing away."""

from __future__ import annotations

import pytest

from utils import prompts
from utils.prompts import CLOSED_BOOK_EXAMPLES, READING_EXAMPLES, SEPARATOR
from utils.worlds import ATTRIBUTES, attribute_list, load_world, make_world, questions

WORLDS = {"default": load_world(), "practice": make_world(seed=7)}


def test_a_closed_book_prompt_is_the_question_and_where_the_answer_begins():
    assert prompts.closed_book("What colour is it?") == "Question: What colour is it?\nAnswer:"


def test_the_passage_stands_directly_above_the_question():
    text = prompts.open_book("A card\n- colour: teal", "What colour is it?")
    assert text == "A card\n- colour: teal\nQuestion: What colour is it?\nAnswer:"


def test_a_worked_example_is_a_prompt_with_its_answer():
    prefix = prompts.open_book_prefix()
    for example in READING_EXAMPLES:
        asked = prompts.open_book(example.passage, example.question)
        assert f"{asked} {example.answer}" in prefix
    assert len(prefix.split(SEPARATOR)) == len(READING_EXAMPLES)


def test_closed_book_examples_have_no_passage():
    blocks = prompts.closed_book_prefix().split(SEPARATOR)
    assert len(blocks) == len(CLOSED_BOOK_EXAMPLES)
    assert all(block.startswith("Question: ") for block in blocks)


@pytest.mark.parametrize(
    "prefix", [prompts.open_book_prefix(), prompts.closed_book_prefix()], ids=["open", "closed"]
)
def test_a_prefix_ends_where_a_blank_line_and_the_next_prompt_can_follow(prefix):
    assert prefix == prefix.strip()
    assert SEPARATOR == "\n\n"


@pytest.mark.parametrize("example", READING_EXAMPLES, ids=lambda example: example.answer)
def test_the_answer_of_an_example_is_on_its_card_and_the_card_is_about_the_product(example):
    heading, *lines = example.passage.splitlines()
    assert [line for line in lines if line.endswith(f": {example.answer}")]
    name = heading.rsplit(" ", 1)[0]
    assert name in example.question


def test_example_cards_have_the_form_of_the_catalogue():
    product = WORLDS["default"].products[0]
    labels = [line.split(":")[0] for line in attribute_list(product).splitlines()[1:]]
    for example in READING_EXAMPLES:
        assert [line.split(":")[0] for line in example.passage.splitlines()[1:]] == labels


def test_each_attribute_has_one_example():
    cards = [example.passage.splitlines()[1:] for example in READING_EXAMPLES]
    asked = [
        next(i for i, line in enumerate(card) if line.endswith(f": {example.answer}"))
        for card, example in zip(cards, READING_EXAMPLES, strict=True)
    ]
    assert sorted(asked) == list(range(len(ATTRIBUTES)))


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_no_example_names_a_product_or_uses_a_held_out_phrasing(world):
    text = prompts.open_book_prefix() + prompts.closed_book_prefix()
    for product in world.products:
        assert product.family not in text
    held_out = {q.text.replace(q.product, "X") for q in questions(world, "held_out")}
    for example in READING_EXAMPLES:
        name = example.passage.splitlines()[0].rsplit(" ", 1)[0]
        assert name in example.question
        assert example.question.replace(name, "X") not in held_out


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_no_answer_of_an_example_is_a_value_of_the_catalogue(world):
    """So a model that repeats an example is never right by chance."""
    values = {value for product in world.products for value in product.facts.values()}
    allowed_months = {"February", "March", "May", "June", "October"}  # there are only twelve
    for example in READING_EXAMPLES:
        assert example.answer not in values - allowed_months


def test_chat_puts_worked_turns_before_the_question(language_model):
    _, tokenizer = language_model
    text = prompts.chat(tokenizer, "What now?", [("What first?", "This.")])
    assert text.index("What first?") < text.index("This.") < text.index("What now?")
    assert text.endswith("<|im_start|>assistant\n")
