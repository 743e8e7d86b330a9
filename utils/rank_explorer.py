"""Move the rank, and see what is left of a matrix.

`explore_rank(matrices)` shows a corner of a matrix, its best approximation of the chosen rank, and
how much of it is kept for how many numbers. Where widgets aren't shown, a few ranks stand there as
plain text.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.display import in_notebook, show_text, show_widget

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CORNER = 48  # rows and columns that are drawn
RANK = 16
LABEL = {"description_width": "90px"}


@dataclass(frozen=True)
class Decomposition:
    """A matrix in pieces of rank 1, largest first (singular value decomposition).

    left: (rows, n), values: (n,), right: (n, columns); matrix = left * values @ right.
    """

    left: np.ndarray
    values: np.ndarray
    right: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.right.shape[1]

    def approximation(self, rank: int, corner: int | None = None) -> np.ndarray:
        """The nearest matrix of this rank (Eckart and Young 1936), or its upper left corner."""
        left, right = self.left[:corner, :rank], self.right[:rank, :corner]
        return left * self.values[:rank] @ right

    def kept(self, rank: int) -> float:
        """Share of the matrix's squared length that the approximation keeps (0 to 1)."""
        return float((self.values[:rank] ** 2).sum() / (self.values**2).sum())


def decompose(matrix: np.ndarray) -> Decomposition:
    """Raises ValueError for anything but a matrix of finite numbers that are not all zero."""
    matrix = np.asarray(matrix, dtype=np.float32)
    if matrix.ndim != 2 or not np.isfinite(matrix).all() or not matrix.any():
        raise ValueError("Give a matrix (two dimensions) of finite numbers that are not all zero.")
    return Decomposition(*np.linalg.svd(matrix, full_matrices=False))


def describe(name: str, parts: Decomposition, rank: int) -> str:
    """What a rank keeps of the matrix, and for how many numbers."""
    rows, columns = parts.shape
    numbers = rank * (rows + columns)
    return (
        f"{name}, {rows} x {columns}, rank {rank}: {100 * parts.kept(rank):.1f} % of its squared "
        f"length in {numbers:,} numbers, {100 * numbers / (rows * columns):.1f} % of as many."
    )


def draw(name: str, parts: Decomposition, rank: int) -> Figure:
    """A corner of the matrix, the same corner of its approximation, and what each rank keeps."""
    import matplotlib.pyplot as plt

    from utils.plots import BLUE, VERMILION, label_axes, set_style

    set_style()
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.4), width_ratios=[1, 1, 1.3])
    whole = parts.approximation(len(parts.values), CORNER)
    limit = float(np.quantile(np.abs(whole), 0.99))
    for ax, part, title in (
        (axes[0], whole, f"{name} (corner)"),
        (axes[1], parts.approximation(rank, CORNER), f"rank {rank}"),
    ):
        label_axes(ax, title, "column", "row")
        ax.imshow(part, cmap="PuOr", vmin=-limit, vmax=limit)
        ax.grid(visible=False)
    label_axes(axes[2], "Kept by the best matrix of a rank", "rank", "squared length kept (%)")
    ranks = np.arange(1, len(parts.values) + 1)
    axes[2].plot(ranks, 100 * np.cumsum(parts.values**2) / (parts.values**2).sum(), color=BLUE)
    axes[2].plot([rank], [100 * parts.kept(rank)], "D", color=VERMILION)
    axes[2].set(xscale="log", ylim=(0, 103))
    return figure


def explore_rank(matrices: Mapping[str, np.ndarray], rank: int = RANK) -> None:
    """Show the matrices at every rank, the first one at `rank` to begin with.

    matrices: name -> matrix. Raises ValueError for no matrix, a matrix that can't be decomposed,
    or a rank below 1.
    """
    if not matrices:
        raise ValueError("There is nothing to show: no matrix was given.")
    if rank < 1:
        raise ValueError(f"The rank must be at least 1, not {rank}.")
    parts = {name: decompose(matrix) for name, matrix in matrices.items()}
    lines = [
        describe(name, whole, few)
        for name, whole in parts.items()
        for few in sorted({1, 4, rank, len(whole.values)})
        if few <= len(whole.values)
    ]
    fallback = "\n".join(lines)
    if in_notebook():
        show_widget(RankExplorer(parts, rank).box, fallback)
    else:
        show_text(fallback)


class RankExplorer:
    """The widgets of one explorer; `box` is the whole."""

    def __init__(self, parts: Mapping[str, Decomposition], rank: int) -> None:
        import ipywidgets as widgets

        self.parts = parts
        # Buttons, not a list: in JupyterLab arrow keys leave a list that isn't open.
        self.name = widgets.RadioButtons(
            options=list(parts), description="Matrix", style=LABEL, layout={"width": "auto"}
        )
        most = min(len(whole.values) for whole in parts.values())
        steps = [step for step in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if step < most]
        self.rank = widgets.SelectionSlider(
            options=[*steps, most],
            value=max(step for step in (*steps, most) if step <= max(rank, 1)),
            description="Rank",
            style=LABEL,
            layout={"width": "480px"},
            continuous_update=False,
        )
        self.view = widgets.HTML()
        for knob in (self.name, self.rank):
            knob.observe(self._show, names="value")
        self.box = widgets.VBox([self.name, self.rank, self.view])
        self._show()

    def _show(self, change: object = None) -> None:
        from utils.plots import figure_html

        name, rank = self.name.value, self.rank.value
        said = describe(name, self.parts[name], rank)
        picture = figure_html(draw(name, self.parts[name], rank), alt=f"Three charts. {said}")
        self.view.value = f'<p role="status">{html.escape(said)}</p>{picture}'
