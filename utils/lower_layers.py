"""The layers that tuning leaves alone: their outputs are computed once and kept.

While adapters sit on the upper layers only, what the layers below compute for an example is the
same in every epoch. It is kept in one long block of hidden states, in memory or, where that would
be too much, in a file that the system maps into memory page by page.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import pad
from tqdm.auto import tqdm

from utils.devices import rows_to_add
from utils.examples import Encoded
from utils.prefix_tree import prefix_trees

KEEP_GB = 0.2  # hidden states that are kept in memory
READ_AT_ONCE = 256  # tokens that go through the layers together


class KeptStates:
    """Hidden states of examples, one after the other: `states[i]` has the shape (tokens, width).

    most_bytes: beyond this size they lie in a file in `folder`.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        width: int,
        dtype: torch.dtype,
        most_bytes: float,
        folder: str | Path,
    ) -> None:
        size = sum(lengths) * width
        self.in_file = size * dtype.itemsize > most_bytes
        if self.in_file:
            path = str(Path(folder) / "hidden-states")
            block = torch.from_file(path, shared=True, size=size, dtype=dtype)
        else:
            block = torch.empty(size, dtype=dtype)
        self._examples = block.view(-1, width).split(list(lengths))

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._examples[index]

    def packed(self, indices: Sequence[int], device: torch.device, fill: int = 0) -> torch.Tensor:
        """The states of some examples, one after another in one row: (1, tokens, width).

        fill: so many tokens at its end are zeros (`examples.pack`).
        """
        states = torch.cat([self._examples[index] for index in indices])
        return pad(states, (0, 0, 0, fill))[None].to(device)


@torch.no_grad()
def read_lower_layers(
    model, encoded: Sequence[Encoded], first: int, kept: KeptStates, progress: bool
) -> None:
    """Fill `kept` with the hidden states that enter layer `first`, for each example.

    What examples share at their beginning, such as a product's name, is read once.
    """
    texts = [example.read.tolist() for example in encoded]
    lower = only_layers(model, slice(0, first), final_norm=False)
    bar = tqdm(total=len(encoded), desc="Reading", unit="example", disable=not progress)
    with bar, lower as backbone:
        for tree in prefix_trees(texts, READ_AT_ONCE):
            tree.fill_up(rows_to_add(len(tree), model))
            mask = tree.attention_mask()[None, None].to(model.device, model.dtype)
            states = backbone(
                input_ids=torch.tensor([tree.token_ids], device=model.device),
                position_ids=torch.tensor([tree.depths], device=model.device),
                attention_mask=mask,
                use_cache=False,
            ).last_hidden_state[0]
            for index, path in tree.paths.items():
                kept[index].copy_(states[path])
            bar.update(len(tree.paths))


@contextmanager
def kept_states(
    model, encoded: Sequence[Encoded], first: int, keep_gb: float = KEEP_GB, progress: bool = True
) -> Iterator[KeptStates]:
    """What enters layer `first` for each example, read once, for as long as the context lasts.

    keep_gb: the size (10^9 bytes) beyond which it lies in a file, which is gone afterwards.
    """
    lengths = [len(example.read) for example in encoded]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        kept = KeptStates(lengths, model.config.hidden_size, model.dtype, 1e9 * keep_gb, folder)
        read_lower_layers(model, encoded, first, kept, progress)
        yield kept


@contextmanager
def only_layers(model, layers: slice, final_norm: bool = True) -> Iterator[nn.Module]:
    """The model's backbone with some of its layers, for as long as the context lasts."""
    backbone = model.get_decoder()
    all_layers, norm = backbone.layers, backbone.norm
    backbone.layers = all_layers[layers]
    backbone.norm = norm if final_norm else nn.Identity()
    try:
        yield backbone
    finally:
        backbone.layers, backbone.norm = all_layers, norm
