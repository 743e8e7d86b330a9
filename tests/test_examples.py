"""What is learnt of an example, and how examples come into batches."""

from __future__ import annotations

import pytest
import torch

from tests.tiny import CONTEXT, EXAMPLES, Letters
from utils.examples import IGNORED, Example, batches, encode


def test_only_the_answer_is_learnt_and_raw_text_whole():
    encoded = encode(Letters(), EXAMPLES, CONTEXT)
    learnt = [int((example.labels != IGNORED).sum()) for example in encoded]
    assert learnt == [len(example.answer) for example in EXAMPLES]
    for example in encoded:
        of_answer = example.labels != IGNORED
        assert torch.equal(example.labels[of_answer], example.token_ids[of_answer])


def test_an_example_may_fill_the_context():
    (encoded,) = encode(Letters(), [Example("x" * 20, "y" * (CONTEXT - 20))], CONTEXT)
    assert len(encoded) == CONTEXT


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "nothing to learn"),
        ([Example("Where? ", "here"), Example("What? ", "")], r"no answer to learn: 'What\? '"),
        ([Example("x" * 40, "y" * 20)], f"60 tokens does not fit .* context of {CONTEXT}"),
    ],
)
def test_examples_that_cannot_be_learnt_are_named(examples, message):
    with pytest.raises(ValueError, match=message):
        encode(Letters(), examples, CONTEXT)


@pytest.mark.parametrize("count", [1, 4, 45])
def test_every_example_is_met_once_an_epoch_in_an_order_of_the_seed(count):
    lengths = [10 + index % 7 for index in range(count)]

    def epoch(seed: int) -> list[list[int]]:
        return list(batches(lengths, 4, torch.Generator().manual_seed(seed)))

    met = [index for batch in epoch(1) for index in batch]
    assert sorted(met) == list(range(count))
    assert max(len(batch) for batch in epoch(1)) <= 4
    assert len(epoch(1)) == -(-count // 4)
    assert epoch(1) == epoch(1)
    if count == 45:
        assert epoch(1) != epoch(2)


def test_like_lengths_come_together():
    lengths = [5, 50] * 16
    found = list(batches(lengths, 4, torch.Generator().manual_seed(0)))
    assert all(len({lengths[index] for index in batch}) == 1 for batch in found)
