"""What is learnt of an example, and how examples come into batches."""

from __future__ import annotations

import pytest
import torch

from tests.tiny import CONTEXT, EXAMPLES, Letters
from utils.examples import IGNORED, Example, batches, encode, pack, split_by_tokens


def test_only_the_answer_is_learnt_and_raw_text_whole():
    encoded = encode(Letters(), EXAMPLES, CONTEXT)
    assert [example.learnt for example in encoded] == [len(e.answer) for e in EXAMPLES]
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


@pytest.mark.parametrize(("count", "drawn_from"), [(1, 1), (4, 4), (45, 45), (45, 12), (45, 1)])
def test_an_epoch_meets_its_examples_equally_often_in_an_order_of_the_seed(count, drawn_from):
    def epoch(seed: int) -> list[list[int]]:
        return list(batches(count, 4, torch.Generator().manual_seed(seed), drawn_from))

    met = [index for batch in epoch(1) for index in batch]
    times = [met.count(index) for index in range(drawn_from)]
    assert sum(times) == len(met) == count
    assert max(times) - min(times) <= 1
    assert [len(batch) for batch in epoch(1)] == [4] * (count // 4) + [count % 4] * (count % 4 > 0)
    assert epoch(1) == epoch(1)
    if drawn_from > 4:
        assert epoch(1) != epoch(2)


def test_a_batch_is_split_where_it_has_too_many_tokens():
    lengths = [3, 4, 9, 2, 2]
    assert split_by_tokens([0, 1, 2, 3, 4], lengths, 7) == [[0, 1], [2], [3, 4]]
    assert split_by_tokens([4, 2, 0], lengths, 100) == [[4, 2, 0]]
    assert split_by_tokens([2], lengths, 1) == [[2]]
    assert split_by_tokens([], lengths, 1) == []


@pytest.mark.parametrize("fill", [0, 5])
def test_packed_examples_stand_one_after_another_each_from_position_zero(fill):
    encoded = encode(Letters(), EXAMPLES, CONTEXT)
    packed = pack(encoded, fill=fill)
    read = sum(map(len, encoded)) - len(encoded)  # the last token of each is only predicted
    assert packed.token_ids.shape == packed.positions.shape == (1, read + fill)
    assert packed.labels[read:].tolist() == [IGNORED] * fill
    assert packed.positions[0, read:].tolist() == list(range(fill))
    start = 0
    for example in encoded:
        here = slice(start, start + len(example) - 1)
        assert torch.equal(packed.token_ids[0, here], example.token_ids[:-1])
        assert torch.equal(packed.labels[here], example.labels[1:])
        assert packed.positions[0, here].tolist() == list(range(len(example) - 1))
        start = here.stop
