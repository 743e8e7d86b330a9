"""Batches, prefixes and padding change the time that an answer takes, never the answer.

Everything is compared with the plain way: the whole text as one sequence, without a cache.
"""

from __future__ import annotations

import random
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from utils import prompts
from utils.inference import complete, encode_prefix, log_likelihoods
from utils.prompts import SEPARATOR, closed_book, open_book
from utils.worlds import attribute_list, load_world, questions

NEW_TOKENS = 8


def plain_completion(model, tokenizer, text: str, max_new_tokens: int = NEW_TOKENS) -> str:
    """The likeliest next token, again and again, each time with the whole text read anew."""
    token_ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
    given = token_ids.shape[1]
    for _ in range(max_new_tokens):
        with torch.inference_mode():
            logits = model(token_ids.to(model.device), use_cache=False, logits_to_keep=1).logits
        following = logits[0, -1].argmax().view(1, 1).cpu()
        if following.item() == tokenizer.eos_token_id:
            break
        token_ids = torch.cat([token_ids, following], dim=1)
        if "\n" in tokenizer.decode(token_ids[0, given:]):
            break
    return tokenizer.decode(token_ids[0, given:]).split("\n")[0].strip()


def plain_log_likelihood(model, tokenizer, text: str, continuation: str) -> float:
    """One forward pass over text + continuation."""
    before = tokenizer(text, add_special_tokens=False).input_ids
    after = tokenizer(continuation, add_special_tokens=False).input_ids
    with torch.inference_mode():
        token_ids = torch.tensor([before + after], device=model.device)
        logits = model(token_ids, use_cache=False).logits[0].float()
    log_probabilities = logits.log_softmax(-1)
    return sum(
        log_probabilities[len(before) + place - 1, token].item()
        for place, token in enumerate(after)
    )


@pytest.fixture(scope="module")
def language_model(exact_model):
    """Scores are compared exactly here."""
    return exact_model


@pytest.fixture(scope="module")
def asked():
    """Questions of very different length, so that batches must be padded."""
    world = load_world()
    cards = {product.name: attribute_list(product) for product in world.products}
    drawn = random.Random(0).sample(questions(world, "held_out"), 6)
    short = [closed_book("What is two and two?"), closed_book("Who wrote Hamlet?")]
    return [open_book(cards[q.product], q.text) for q in drawn] + short


@pytest.fixture(scope="module")
def options(asked):
    """For each prompt its continuations; their number and length differ."""
    return [
        [" teal", " Brunholm", " 14 hours", " March"],
        [" 10 hours on one charge, at least", " teal"],
        [" a"],
        [],
        [" October", " ivory", " the town of Lindorra"],
        [" walnut", " walnut and brass"],
        [" four", " 4", " it is four"],
        [" Shakespeare", " William Shakespeare"],
    ]


@pytest.fixture(scope="module")
def prefix(language_model):
    model, tokenizer = language_model
    return encode_prefix(model, tokenizer, prompts.open_book_prefix())


@pytest.fixture(scope="module")
def whole_texts(asked):
    return [prompts.open_book_prefix() + SEPARATOR + prompt for prompt in asked]


@pytest.fixture(scope="module")
def batched(language_model, asked, prefix):
    model, tokenizer = language_model
    return complete(model, tokenizer, asked, prefix, max_new_tokens=NEW_TOKENS, batch_size=8)


@pytest.fixture(scope="module")
def scored(language_model, asked, options, prefix):
    model, tokenizer = language_model
    return log_likelihoods(model, tokenizer, asked, options, prefix, batch_size=8)


# --- completions ------------------------------------------------------------------------------


def test_a_batch_after_a_prefix_answers_as_the_plain_way_does(language_model, whole_texts, batched):
    model, tokenizer = language_model
    plain = [plain_completion(model, tokenizer, text) for text in whole_texts]
    assert batched == plain
    assert len(set(plain)) > 4  # the questions do have different answers


def test_the_size_of_a_batch_changes_nothing(language_model, asked, prefix, batched):
    model, tokenizer = language_model
    for size in (1, 3):
        found = complete(model, tokenizer, asked, prefix, NEW_TOKENS, batch_size=size)
        assert found == batched


def test_the_order_of_prompts_is_the_order_of_answers(language_model, asked, prefix, batched):
    model, tokenizer = language_model
    turned = complete(model, tokenizer, asked[::-1], prefix, NEW_TOKENS, batch_size=3)
    assert turned[::-1] == batched


def test_without_a_prefix_the_whole_text_gives_the_same(language_model, whole_texts, batched):
    model, tokenizer = language_model
    assert complete(model, tokenizer, whole_texts, None, NEW_TOKENS, batch_size=4) == batched


def test_a_prefix_can_be_used_again(language_model, asked, prefix, batched):
    model, tokenizer = language_model
    tokens = len(prefix)
    complete(model, tokenizer, asked[:2], prefix, NEW_TOKENS)
    assert prefix.cache.get_seq_length() == len(prefix) == tokens
    assert complete(model, tokenizer, asked, prefix, NEW_TOKENS) == batched


def test_space_at_the_end_of_a_prefix_makes_no_difference(language_model, asked, prefix, batched):
    model, tokenizer = language_model
    spaced = encode_prefix(model, tokenizer, prompts.open_book_prefix() + " \n\n\n")
    assert len(spaced) == len(prefix)
    assert complete(model, tokenizer, asked, spaced, NEW_TOKENS) == batched


@contextmanager
def tokens_read(model):
    """A list that grows, while the block runs, by the tokens of each pass through the model."""
    read = []
    embedding = model.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda _, ids, __: read.append(ids[0].numel()))
    try:
        yield read
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def about_two_cards():
    """Five questions about one product and one about another."""
    world = load_world()
    cards = {product.name: attribute_list(product) for product in world.products}
    asked = questions(world, "held_out")
    first, other = world.products[:2]
    about = [q for q in asked if q.product == first.name][:5]
    about.insert(2, next(q for q in asked if q.product == other.name))
    return [open_book(cards[q.product], q.text) for q in about]


def test_questions_about_one_passage_are_answered_as_alone(language_model, about_two_cards, prefix):
    model, tokenizer = language_model
    texts = [prompts.open_book_prefix() + SEPARATOR + prompt for prompt in about_two_cards]
    plain = [plain_completion(model, tokenizer, text) for text in texts]
    assert complete(model, tokenizer, about_two_cards, prefix, NEW_TOKENS) == plain
    assert complete(model, tokenizer, texts, None, NEW_TOKENS) == plain
    options = [[" crimson", " in December"]] * len(texts)
    together = log_likelihoods(model, tokenizer, about_two_cards, options, prefix)
    alone = log_likelihoods(model, tokenizer, about_two_cards, options, prefix, batch_size=1)
    assert np.allclose(together, alone, atol=1e-3)


def test_a_passage_is_read_once_for_all_of_its_questions(language_model, about_two_cards, prefix):
    model, tokenizer = language_model
    with tokens_read(model) as together:
        complete(model, tokenizer, about_two_cards, prefix, max_new_tokens=1)
    with tokens_read(model) as alone:
        complete(model, tokenizer, about_two_cards, prefix, max_new_tokens=1, batch_size=1)
    assert sum(together) < 0.6 * sum(alone)


def test_questions_without_a_passage_are_read_in_one_go(language_model, prefix):
    model, tokenizer = language_model
    texts = [closed_book("What is two and two?"), closed_book("Who wrote Hamlet?")]
    with tokens_read(model) as read:
        complete(model, tokenizer, texts, prefix, max_new_tokens=1)
    assert len(read) == 1


@pytest.mark.parametrize("text", ["", " \n "])
def test_an_empty_prefix_is_no_prefix(language_model, text):
    assert encode_prefix(*language_model, text) is None


def test_an_answer_ends_with_its_line(batched):
    for answer in batched:
        assert answer == answer.strip()
        assert "\n" not in answer
        assert "Question" not in answer


def test_at_most_so_many_tokens_are_new(language_model, asked, prefix):
    model, tokenizer = language_model
    for answer in complete(model, tokenizer, asked[:3], prefix, max_new_tokens=1):
        assert len(tokenizer(f" {answer}", add_special_tokens=False).input_ids) == 1


def test_no_prompts_no_answers(language_model, prefix):
    model, tokenizer = language_model
    assert complete(model, tokenizer, [], prefix) == []
    assert complete(model, tokenizer, []) == []


def test_the_bar_counts_every_question(language_model, asked, prefix, capsys):
    model, tokenizer = language_model
    complete(model, tokenizer, asked[:3], prefix, 1, batch_size=2, progress="reading")
    shown = capsys.readouterr().err
    assert "reading" in shown
    assert "3/3" in shown
    complete(model, tokenizer, asked[:1], prefix, 1)
    assert capsys.readouterr().err == ""


# --- log-likelihoods ----------------------------------------------------------------------------


def test_scores_are_those_of_the_whole_sequence(language_model, whole_texts, options, scored):
    model, tokenizer = language_model
    for text, continuations, row in zip(whole_texts, options, scored, strict=True):
        plain = [plain_log_likelihood(model, tokenizer, text, c) for c in continuations]
        assert row.shape == (len(continuations),)
        np.testing.assert_allclose(row, plain, atol=1e-3)


def test_scores_do_not_depend_on_batch_or_prefix(
    language_model, asked, whole_texts, options, prefix, scored
):
    model, tokenizer = language_model
    alone = log_likelihoods(model, tokenizer, asked, options, prefix, batch_size=1)
    whole = log_likelihoods(model, tokenizer, whole_texts, options, None, batch_size=3)
    for expected, one, other in zip(scored, alone, whole, strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-3)
        np.testing.assert_allclose(other, expected, atol=1e-3)


def test_scores_are_logarithms_of_probabilities(scored):
    for row in scored:
        assert (row < 0).all()


def test_all_first_tokens_share_one_probability(language_model, asked, prefix):
    """Over the whole vocabulary the probabilities of the next token sum to 1, so a part is less."""
    model, tokenizer = language_model
    words = [" teal", " ivory", " red", " blue", " white"]
    row = log_likelihoods(model, tokenizer, asked[:1], [words], prefix)[0]
    assert 0 < np.exp(row).sum() < 1


def test_nothing_to_score(language_model, asked, prefix):
    model, tokenizer = language_model
    assert log_likelihoods(model, tokenizer, [], [], prefix) == []
    found = log_likelihoods(model, tokenizer, asked[:2], [[], []], prefix)
    assert [row.shape for row in found] == [(0,), (0,)]


def test_a_prompt_without_its_continuations_is_an_error(language_model, asked):
    model, tokenizer = language_model
    with pytest.raises(ValueError, match="2 prompts but 1 lists"):
        log_likelihoods(model, tokenizer, asked[:2], [[" a"]])
