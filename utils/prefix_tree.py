"""Texts that begin alike, with each shared beginning once: a prefix tree of their tokens.

What a causal model computes at a token depends on the tokens before it alone. So texts with the
same beginning share all that is computed there, and a tree of tokens is read in one go like a
single row: every token sees those on the way from the root down to itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch


class PrefixTree:
    """Token sequences as paths from the root; each token is a node.

    token_ids, depths: of the nodes, in an order in which a node comes after its parent; depths are
    counted from 0. paths: for each text that was added, by its index, its nodes in order.
    """

    def __init__(self) -> None:
        self.token_ids: list[int] = []
        self.depths: list[int] = []
        self.paths: dict[int, list[int]] = {}
        self._parents: list[int | None] = []
        self._children: dict[tuple[int | None, int], int] = {}  # (parent, token) -> node

    def __len__(self) -> int:
        return len(self.token_ids)

    def add(self, index: int, text: Sequence[int]) -> None:
        """Take in one text's tokens; those that it shares with others are there already."""
        path: list[int] = []
        for depth, token in enumerate(text):
            parent = path[-1] if path else None
            node = self._children.setdefault((parent, token), len(self))
            if node == len(self):
                self.token_ids.append(token)
                self.depths.append(depth)
                self._parents.append(parent)
            path.append(node)
        self.paths[index] = path

    def fill_up(self, count: int) -> None:
        """Add so many nodes that no text has; each sees itself alone."""
        self.token_ids += [0] * count
        self.depths += [0] * count
        self._parents += [None] * count

    def attention_mask(self) -> torch.Tensor:
        """0 where a node sees another, minus infinity elsewhere; shape (nodes, nodes)."""
        sees = torch.eye(len(self), dtype=torch.bool)
        for node, parent in enumerate(self._parents):
            if parent is not None:
                sees[node] |= sees[parent]
        return torch.zeros(sees.shape).masked_fill_(~sees, -torch.inf)


def prefix_trees(texts: Sequence[Sequence[int]], most_tokens: int) -> Iterator[PrefixTree]:
    """Trees that hold all texts between them, each made of at most so many tokens.

    A text that is longer stands alone. Neighbours in the alphabet of tokens share a tree.
    """
    tree = PrefixTree()
    for index in sorted(range(len(texts)), key=texts.__getitem__):
        if tree.paths and len(tree) + len(texts[index]) > most_tokens:
            yield tree
            tree = PrefixTree()
        tree.add(index, texts[index])
    if tree.paths:
        yield tree
