"""The rank explorer keeps what it says it keeps, and says it in words too."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from utils.rank_explorer import RankExplorer, decompose, describe, draw, explore_rank

DIAGONAL = np.diag([3.0, 2.0, 0.0, 0.0])
NOISE = np.random.default_rng(0).standard_normal((20, 12))


def test_the_pieces_of_a_diagonal_matrix_are_its_numbers():
    parts = decompose(DIAGONAL)
    assert parts.values.tolist() == pytest.approx([3, 2, 0, 0], abs=1e-6)
    assert parts.kept(1) == pytest.approx(9 / 13)
    assert parts.kept(2) == pytest.approx(1)
    np.testing.assert_allclose(parts.approximation(1), np.diag([3.0, 0, 0, 0]), atol=1e-6)


def test_no_matrix_of_the_rank_is_nearer():
    parts, draw_numbers = decompose(NOISE), np.random.default_rng(1)
    lost = ((NOISE - parts.approximation(3)) ** 2).sum()
    assert lost == pytest.approx((1 - parts.kept(3)) * (NOISE**2).sum(), rel=1e-4)
    for _ in range(200):
        left, right = draw_numbers.standard_normal((20, 3)), draw_numbers.standard_normal((3, 12))
        fitted = left @ np.linalg.lstsq(left, NOISE, rcond=None)[0] + 0 * (left @ right)
        assert ((NOISE - fitted) ** 2).sum() >= lost


def test_a_corner_is_the_corner_of_the_whole():
    parts = decompose(NOISE)
    np.testing.assert_allclose(parts.approximation(4, 5), parts.approximation(4)[:5, :5], atol=1e-6)


def test_it_says_what_a_rank_keeps_and_costs():
    assert describe("D", decompose(DIAGONAL), 1) == (
        "D, 4 x 4, rank 1: 69.2 % of its squared length in 8 numbers, 50.0 % of as many."
    )


def test_outside_a_notebook_it_is_plain_text(capsys):
    explore_rank({"D": DIAGONAL, "noise": NOISE}, rank=2)
    lines = capsys.readouterr().out.splitlines()
    ranks = [line.split("rank ")[1].split(":")[0] for line in lines]
    assert ranks == ["1", "2", "4", "1", "2", "4", "12"]


def test_the_knobs_change_the_picture_and_the_words():
    explorer = RankExplorer({"D": decompose(DIAGONAL), "noise": decompose(NOISE)}, 2)
    first = explorer.view.value
    assert "rank 2: 100.0 %" in first and 'alt="Three charts. D, 4 x 4' in first
    explorer.rank.value = 1
    second = explorer.view.value
    assert "rank 1: 69.2 %" in second and second != first
    explorer.name.value = "noise"
    assert "noise, 20 x 12, rank 1" in explorer.view.value
    assert not plt.get_fignums()


def test_a_figure_names_its_axes():
    figure = draw("noise", decompose(NOISE), 3)
    assert [ax.get_xlabel() for ax in figure.axes] == ["column", "column", "rank"]
    assert all(ax.get_ylabel() and ax.get_title(loc="left") for ax in figure.axes)
    plt.close(figure)


@pytest.mark.parametrize(
    ("matrices", "rank", "message"),
    [
        ({}, 4, "no matrix was given"),
        ({"a": DIAGONAL}, 0, "at least 1, not 0"),
        ({"a": np.zeros((3, 3))}, 4, "not all zero"),
        ({"a": np.ones(3)}, 4, "two dimensions"),
        ({"a": np.full((2, 2), np.nan)}, 4, "finite"),
    ],
)
def test_what_cannot_be_shown_is_said(matrices, rank, message):
    with pytest.raises(ValueError, match=message):
        explore_rank(matrices, rank)
