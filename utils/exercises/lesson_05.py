"""Exercises of lesson 05: inputs, references and the mistakes that learners make."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from utils import observing
from utils.checks import Exercise, Mistake

# -- 5.1: the best matrix of a low rank


def _matrices(seed: int) -> list[tuple[np.ndarray, int]]:
    """Matrices, wide, tall and square, and the rank that is wanted."""
    draw = np.random.default_rng(seed)
    diagonal = np.diag([5.0, 3.0, 1.0])
    wide, tall, square = (draw.standard_normal(shape) for shape in ((4, 7), (6, 3), (5, 5)))
    return [(diagonal, 1), (wide, 2), (tall, 2), (square, 3)]


def _low_rank(W: np.ndarray, rank: int) -> np.ndarray:
    """Through the eigenvectors of W^T W: another way to the same matrix."""
    _, directions = np.linalg.eigh(W.T @ W)
    kept = directions[:, -rank:]
    return W @ kept @ kept.T


def _with_singular_values(choose) -> object:
    def approximate(W: np.ndarray, rank: int) -> np.ndarray:
        left, values, right = np.linalg.svd(W, full_matrices=False)
        return choose(left, values, right, rank)

    return approximate


_smallest = _with_singular_values(lambda u, s, v, r: u[:, r:] * s[r:] @ v[r:])
_without_values = _with_singular_values(lambda u, s, v, r: u[:, :r] @ v[:r])
_one_too_few = _with_singular_values(lambda u, s, v, r: u[:, : r - 1] * s[: r - 1] @ v[: r - 1])


def _upper_left(W: np.ndarray, rank: int) -> np.ndarray:
    cut = np.zeros_like(W)
    cut[:rank, :rank] = W[:rank, :rank]
    return cut


# -- 5.2: a layer with an adapter


def _layers(seed: int) -> list[tuple]:
    """A frozen matrix W (outputs, inputs), the rank and alpha."""
    import torch

    torch.manual_seed(seed)
    return [(torch.randn(3, 5).round(decimals=1), 2, 4.0), (torch.randn(6, 4), 3, 1.5)]


def _reference_layer(W, rank: int, alpha: float):
    """peft's own layer, with A and B under the names that the exercise asks for."""
    import torch
    from peft import LoraConfig, get_peft_model

    holder = torch.nn.Sequential(torch.nn.Linear(W.shape[1], W.shape[0], bias=False))
    holder[0].weight.data = W
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=["0"])
    layer = get_peft_model(holder, config).base_model.model[0]
    layer.A, layer.B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    return layer


@dataclass(frozen=True)
class _LayerWithMistake:
    """Makes a layer as a learner would write it, with a mistake built in."""

    start_A: float = 0.1
    start_B: float = 0.0
    trains_W: bool = False
    leaves_W_out: bool = False
    scale: Callable[[float, int], float] = lambda alpha, rank: alpha / rank

    def __call__(self, W, rank: int, alpha: float):
        import torch
        from torch import nn

        plan = self

        class LoraLayer(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                outputs, inputs = W.shape
                self.W = nn.Parameter(W.clone(), requires_grad=plan.trains_W)
                self.A = nn.Parameter(plan.start_A * torch.randn(rank, inputs))
                self.B = nn.Parameter(torch.full((outputs, rank), plan.start_B))

            def forward(self, x):
                correction = plan.scale(alpha, rank) * (x @ self.A.T @ self.B.T)
                return correction if plan.leaves_W_out else x @ self.W.T + correction

        return LoraLayer()


# -- 5.3: the way back to B


def _ways_back(seed: int) -> list[tuple]:
    """The gradient at the output, the input, A, alpha and the rank, for a few examples."""
    draw = np.random.default_rng(seed)
    cases = []
    for examples, inputs, outputs, rank, alpha in ((1, 3, 2, 1, 2.0), (4, 5, 3, 2, 3.0)):
        shapes = ((examples, outputs), (examples, inputs), (rank, inputs))
        dy, x, A = (draw.integers(-3, 4, shape).astype(float) for shape in shapes)
        cases.append((dy, x, A, alpha, rank))
    return cases


def _gradient_of_B(dy, x, A, alpha: float, rank: int) -> np.ndarray:
    """Example by example: dB_or = s * sum over examples of dy_o (A x)_r."""
    low = np.einsum("ri,ni->nr", A, x)
    return alpha / rank * np.einsum("no,nr->or", dy, low)


# -- 5.4: what training takes


def _sizes(seed: int) -> list[tuple[int, int]]:
    draw = np.random.default_rng(seed)
    total = int(draw.integers(10_000, 100_000))
    return [(1000, 1000), (1000, 10), (total, total // 7)]


EXERCISES = (
    Exercise(
        key="q5_1",
        title="the best matrix of a low rank",
        function="low_rank",
        task="Return the nearest matrix of the given rank, of the shape of W.",
        inputs=_matrices,
        reference=_low_rank,
        mistakes=(
            Mistake(
                "You keep the smallest singular values. The largest carry most: they come first.",
                _smallest,
            ),
            Mistake(
                "You left the singular values out: each piece counts as much as its value says.",
                _without_values,
            ),
            Mistake(
                "You keep one piece too few: `[:rank]` are as many as the rank.",
                _one_too_few,
            ),
            Mistake(
                "You cut a corner out of W. Keep the shape; cut the three factors of the SVD.",
                _upper_left,
            ),
            Mistake(
                "You return W itself. Keep only the first `rank` pieces.",
                lambda W, rank: W.copy(),
            ),
        ),
    ),
    Exercise(
        key="q5_2",
        title="a LoRA layer, equal to peft's",
        function="LoraLayer",
        task="Write the layer: W as it is, A and B trained, and the forward pass.",
        inputs=_layers,
        reference=_reference_layer,
        observe=observing.layer,
        compare=observing.tell_layers_apart,
        mistakes=(
            Mistake(
                "The correction is not weighted: multiply B A x by alpha / rank.",
                _LayerWithMistake(scale=lambda alpha, rank: 1.0),
            ),
            Mistake(
                "You weight the correction by alpha alone. It is alpha / rank.",
                _LayerWithMistake(scale=lambda alpha, rank: alpha),
            ),
            Mistake(
                "The frozen matrix is left out: add W x to the correction.",
                _LayerWithMistake(leaves_W_out=True),
            ),
            Mistake(
                "W is trained too. Keep it as a plain tensor, or as a parameter with "
                "`requires_grad=False`.",
                _LayerWithMistake(trains_W=True),
            ),
            Mistake(
                "A and B are both zero. Then neither has a gradient, and nothing is ever learnt: "
                "draw A at random.",
                _LayerWithMistake(start_A=0.0),
            ),
            Mistake(
                "B does not start at zero, so the layer changes what the model says before it has "
                "learnt anything.",
                _LayerWithMistake(start_B=0.1),
            ),
        ),
        points=4,
    ),
    Exercise(
        key="q5_3",
        title="the way back to B",
        function="gradient_of_B",
        task="Return the gradient of B, an array of the shape of B: (outputs, rank).",
        inputs=_ways_back,
        reference=_gradient_of_B,
        mistakes=(
            Mistake(
                "The weight alpha / rank is missing: it stands before B A x, so it stands in the "
                "gradient too.",
                lambda dy, x, A, alpha, rank: dy.T @ (x @ A.T),
            ),
            Mistake(
                "Your result is the transpose. A gradient has the shape of what it belongs to.",
                lambda dy, x, A, alpha, rank: _gradient_of_B(dy, x, A, alpha, rank).T,
            ),
            Mistake(
                "You took the mean over the examples. Each example adds its share: sum them.",
                lambda dy, x, A, alpha, rank: _gradient_of_B(dy, x, A, alpha, rank) / len(x),
            ),
            Mistake(
                "That is the gradient of the whole matrix B A. B alone meets A x, not x.",
                lambda dy, x, A, alpha, rank: alpha / rank * dy.T @ x,
            ),
        ),
    ),
    Exercise(
        key="q5_4",
        title="what training takes",
        function="training_bytes",
        task="Return how many bytes the weights, the gradients and Adam's two means take.",
        inputs=_sizes,
        reference=lambda total, trained: math.fsum([4 * total, 4 * trained, 8 * trained]),
        mistakes=(
            Mistake(
                "You count gradients and means for the frozen weights too. They have none.",
                lambda total, trained: 16 * total,
            ),
            Mistake(
                "You left the weights themselves out: frozen or not, they lie in memory.",
                lambda total, trained: 12 * trained,
            ),
            Mistake(
                "Three numbers belong to each trained one: its gradient, and Adam's two means (of "
                "the gradient and of its square). You count two.",
                lambda total, trained: 4 * total + 8 * trained,
            ),
            Mistake(
                "You count numbers. A number in float32 takes four bytes.",
                lambda total, trained: total + 3 * trained,
            ),
        ),
    ),
)
