"""Training examples: a text to read and one to learn, as tokens with labels, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

IGNORED = -100  # the label of a token that is read but not learnt


@dataclass(frozen=True)
class Example:
    """One thing to learn: after `prompt`, say `answer`.

    Only the answer's tokens count in the loss. An empty prompt makes every token of the answer
    count, which is continued pre-training on raw text.
    """

    prompt: str
    answer: str


@dataclass(frozen=True)
class Encoded:
    """An example as the model meets it: token ids and labels, both of shape (tokens,)."""

    token_ids: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def read(self) -> torch.Tensor:
        """The tokens that the model reads: nothing is predicted from the last one."""
        return self.token_ids[:-1]

    @property
    def learnt(self) -> int:
        """How many of its tokens are learnt."""
        return int((self.labels != IGNORED).sum())


def encode(tokenizer, examples: Sequence[Example], longest: int) -> list[Encoded]:
    """Tokens and labels of each example.

    longest: how many tokens the model's context holds. Raises ValueError if there is no example,
    if one has nothing to learn, or if one does not fit.
    """
    if not examples:
        raise ValueError("There is nothing to learn: there are no examples.")
    encoded = []
    for example in examples:
        # A token is predicted from the ones before it, so the first needs something to its left.
        prompt = _ids(tokenizer, example.prompt) or [tokenizer.bos_token_id]
        answer = _ids(tokenizer, example.answer)
        if not answer:
            raise ValueError(f"This example has no answer to learn: {example.prompt!r}")
        if len(prompt) + len(answer) > longest:
            raise ValueError(
                f"An example of {len(prompt) + len(answer)} tokens does not fit into the model's "
                f"context of {longest}. Cut it into pieces. It begins: {example.prompt[:60]!r}"
            )
        labels = [IGNORED] * len(prompt) + answer
        encoded.append(Encoded(torch.tensor(prompt + answer), torch.tensor(labels)))
    return encoded


def batches(
    count: int, batch_size: int, order: torch.Generator, drawn_from: int
) -> Iterator[list[int]]:
    """One epoch of `count` examples in random order: lists of `batch_size` indices.

    drawn_from: how many there are. Of fewer than `count`, each occurs as often as the others, to
    within one. Like lengths are not brought together: examples of like length are alike in their
    words, and a step that sees only one kind of sentence teaches less.
    """
    rounds = [torch.randperm(drawn_from, generator=order) for _ in range(-(-count // drawn_from))]
    shuffled = torch.cat(rounds)[:count].tolist()
    for start in range(0, count, batch_size):
        yield shuffled[start : start + batch_size]


def split_by_tokens(batch: Sequence[int], lengths: Sequence[int], most: int) -> list[list[int]]:
    """A batch of indices in parts of at most so many tokens; a longer example stands alone.

    lengths: the tokens of each example.
    """
    parts: list[list[int]] = []
    tokens = 0
    for index in batch:
        if not parts or tokens + lengths[index] > most:
            parts.append([])
            tokens = 0
        parts[-1].append(index)
        tokens += lengths[index]
    return parts


@dataclass(frozen=True)
class Packed:
    """Examples one after another in one row, so that nothing is padded.

    token_ids, positions: (1, tokens); labels: (tokens,), for each token the one that follows. Each
    example's positions begin at 0, by which a transformers model knows that its tokens see their
    own example only.
    """

    token_ids: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor


def pack(encoded: Sequence[Encoded], device: torch.device | str = "cpu", fill: int = 0) -> Packed:
    """Put the examples into one row on the device.

    A token is predicted from those before it: the first of an example is never learnt, and the last
    is not read. fill: so many tokens at the row's end belong to no example; nothing is learnt from
    them.
    """
    token_ids = torch.cat([example.read for example in encoded])
    lengths = [*(len(example.read) for example in encoded), fill]
    positions = torch.cat([torch.arange(length) for length in lengths])
    labels = torch.cat([example.labels[1:] for example in encoded])
    token_ids, labels = pad(token_ids, (0, fill)), pad(labels, (0, fill), value=IGNORED)
    return Packed(token_ids[None].to(device), positions[None].to(device), labels.to(device))


def _ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids if text else []
