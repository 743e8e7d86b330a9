"""The map of levers shows every lever inside its own box, and its description names them all."""

from __future__ import annotations

from itertools import combinations

import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import FancyBboxPatch

from utils.lever_map import ALT, INSIDE, LEVERS, OUTSIDE, draw_lever_map


@pytest.fixture
def figure():
    figure = draw_lever_map()
    figure.canvas.draw()
    yield figure
    plt.close(figure)


def test_three_levers_lie_on_each_side_and_are_described_in_words():
    assert [lever.side for lever in LEVERS] == [OUTSIDE] * 3 + [INSIDE] * 3
    assert all(lever.name in ALT for lever in LEVERS)


def test_no_text_covers_another_and_each_lever_stays_in_its_box(figure):
    renderer = figure.canvas.get_renderer()
    (ax,) = figure.axes
    texts = {t.get_text(): t.get_window_extent(renderer) for t in ax.texts if t.get_text()}
    for (name, box), (other, other_box) in combinations(texts.items(), 2):
        assert not box.overlaps(other_box), f"{name!r} covers {other!r}"
    patches = [p for p in ax.patches if isinstance(p, FancyBboxPatch)]
    boxes = [patch.get_window_extent(renderer) for patch in patches]
    for lever in LEVERS:
        for words in (lever.name, lever.change, lever.takes):
            extent = texts[words]
            around = [b for b in boxes if b.x0 <= extent.x0 and extent.x1 <= b.x1]
            around = [b for b in around if b.y0 <= extent.y0 and extent.y1 <= b.y1]
            assert len(around) == 2, f"{words!r} is not inside its box and its side's frame"
