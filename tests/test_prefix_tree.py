"""Shared beginnings are read once, and every token still sees its own text only."""

from __future__ import annotations

import pytest
import torch

from tests.tiny import tiny_model
from utils.prefix_tree import PrefixTree, prefix_trees

TEXTS = [[5, 6, 7], [5, 6, 8, 9], [4, 6, 7], [5, 6], [5, 6, 7], [9]]


def test_a_shared_beginning_is_there_once_and_every_text_is_a_path():
    tree = PrefixTree()
    for index, text in enumerate(TEXTS):
        tree.add(index, text)
    assert len(tree) == len({tuple(text[:end]) for text in TEXTS for end in range(1, 5)})
    for index, text in enumerate(TEXTS):
        path = tree.paths[index]
        assert [tree.token_ids[node] for node in path] == text
        assert [tree.depths[node] for node in path] == list(range(len(text)))


def test_a_token_sees_itself_and_those_before_it_in_its_text():
    tree = PrefixTree()
    for index, text in enumerate(TEXTS):
        tree.add(index, text)
    sees = tree.attention_mask() == 0
    for path in tree.paths.values():
        for place, node in enumerate(path):
            assert sees[node].nonzero()[:, 0].tolist() == sorted(path[: place + 1])


@pytest.mark.parametrize("most", [1, 4, 1000])
def test_trees_hold_every_text_and_no_more_than_they_may(most):
    trees = list(prefix_trees(TEXTS, most))
    held = [index for tree in trees for index in tree.paths]
    assert sorted(held) == list(range(len(TEXTS)))
    assert all(len(tree) <= most or len(tree.paths) == 1 for tree in trees)
    if most == 1000:
        assert len(trees) == 1
    assert list(prefix_trees([], most)) == []


@pytest.mark.parametrize("fill", [0, 7])
@torch.no_grad()
def test_a_tree_gives_each_text_the_states_that_it_has_alone(fill):
    model = tiny_model()
    (tree,) = prefix_trees(TEXTS, 1000)
    tree.fill_up(fill)
    assert len(tree) == len(tree.depths) == 9 + fill
    states = model.model(
        input_ids=torch.tensor([tree.token_ids]),
        position_ids=torch.tensor([tree.depths]),
        attention_mask=tree.attention_mask()[None, None],
    ).last_hidden_state[0]
    for index, text in enumerate(TEXTS):
        alone = model.model(input_ids=torch.tensor([text])).last_hidden_state[0]
        torch.testing.assert_close(states[tree.paths[index]], alone)
