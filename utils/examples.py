"""Training examples: a text to read and one to learn, as tokens with labels, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

IGNORED = -100  # the label of a token that is read but not learnt
STRETCH = 8  # batches; like lengths come together inside a stretch of so many


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


def batches(lengths: Sequence[int], batch_size: int, order: torch.Generator) -> Iterator[list[int]]:
    """One epoch in random order: lists of `batch_size` indices, each index once.

    Within a stretch of eight batches, like lengths come together, so that little is padded.
    """
    shuffled = torch.randperm(len(lengths), generator=order).tolist()
    found = []
    for start in range(0, len(shuffled), STRETCH * batch_size):
        stretch = shuffled[start : start + STRETCH * batch_size]
        stretch.sort(key=lambda index: lengths[index])
        found += [stretch[i : i + batch_size] for i in range(0, len(stretch), batch_size)]
    for place in torch.randperm(len(found), generator=order).tolist():
        yield found[place]


def _ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids if text else []
