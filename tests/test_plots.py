"""Figures carry alternative text, names and units, and show the numbers they were given."""

import base64
import html
import io
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from utils import plots
from utils.stats import Interval

LABELS = {"title": "Answers", "xlabel": "questions right (%)", "ylabel": "system"}
INTERVALS = [Interval(0.2, 0.15, 0.27, n=300), Interval(0.9, 0.86, 0.93, n=300)]

CELL = """
from utils import plots
from utils.stats import Interval
figure = plots.interval_bars(
    ["base", "retrieval"],
    [Interval(0.2, 0.15, 0.27, n=300), Interval(0.9, 0.86, 0.93, n=300)],
    title="Answers", xlabel="questions right (%)", ylabel="system",
)
plots.show(figure, alt='Two bars: "base" at 20 %, <retrieval> at 90 %.')
"""
ALT = 'Two bars: "base" at 20 %, <retrieval> at 90 %.'


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def executed(request):
    """The outputs of a notebook cell that shows one figure."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    resources = {"metadata": {"path": str(request.config.rootpath)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    return notebook


def test_notebook_output_is_one_image_with_its_alternative_text(executed):
    outputs = executed.cells[0].outputs
    assert len(outputs) == 1
    page = outputs[0].data["text/html"]
    (alt,) = re.findall(r'<img [^>]*alt="([^"]*)"', page)
    assert html.unescape(alt) == ALT
    assert outputs[0].data["text/plain"] == f"[figure] {ALT}"


def test_notebook_output_holds_a_png_with_twice_the_pixels_of_its_width(executed):
    page = executed.cells[0].outputs[0].data["text/html"]
    png = base64.b64decode(re.search(r"base64,([^\"]+)", page)[1])
    pixels = plt.imread(io.BytesIO(png))
    assert pixels.shape[1] == 2 * int(re.search(r'width="(\d+)"', page)[1])


def test_exported_page_keeps_the_alternative_text(executed):
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(executed)
    (alt,) = re.findall(r"<img alt=(.*?) src=\"data:image/png", page)
    assert html.unescape(alt).strip("\"'") == ALT


def test_plain_python_prints_the_alternative_text_and_closes(capsys):
    figure = plots.interval_bars(["a", "b"], INTERVALS, **LABELS)
    plots.show(figure, alt="Two bars.")
    assert capsys.readouterr().out == "[figure] Two bars.\n"
    assert not plt.fignum_exists(figure.number)


def test_show_refuses_a_figure_without_words():
    figure = plots.interval_bars(["a", "b"], INTERVALS, **LABELS)
    with pytest.raises(ValueError, match="alt"):
        plots.show(figure, alt="  ")
    assert not plt.fignum_exists(figure.number)


def test_show_refuses_axes_without_names():
    figure, ax = plt.subplots()
    ax.plot([1, 2])
    ax.set_xlabel("k (passages)")
    with pytest.raises(ValueError, match="title and ylabel"):
        plots.show(figure, alt="A line.")


@pytest.mark.parametrize("missing", ["title", "xlabel", "ylabel"])
def test_helpers_require_title_and_labels(missing):
    with pytest.raises(ValueError, match=missing):
        plots.interval_bars(["a", "b"], INTERVALS, **{**LABELS, missing: ""})
    with pytest.raises(TypeError, match=missing):
        plots.interval_bars(["a"], INTERVALS[:1], **{k: LABELS[k] for k in LABELS if k != missing})


def test_bars_show_estimates_and_intervals_in_order():
    ax = plots.interval_bars(["base", "tuned"], INTERVALS, **LABELS).axes[0]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([20, 90])
    segments = ax.collections[0].get_segments()
    assert [list(segment[:, 0]) for segment in segments] == [
        pytest.approx([15, 27]),
        pytest.approx([86, 93]),
    ]
    assert [text.get_text() for text in ax.texts] == ["20 %", "90 %"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["base", "tuned"]
    assert ax.yaxis_inverted()


def test_bars_in_another_unit_are_not_scaled():
    ax = plots.interval_bars(["a"], [Interval(2.5, 2.0, 3.0, n=9)], **LABELS, unit="s", digits=1)
    assert ax.axes[0].texts[0].get_text() == "2.5 s"


def test_bars_below_zero_are_not_cut_off():
    figure = plots.interval_bars(["gain"], [Interval(-0.1, -0.2, 0.05, n=9)], **LABELS)
    assert figure.axes[0].get_xlim()[0] < -20


def test_curves_differ_in_colour_and_marker():
    _, ax = plots.new_axes(**LABELS)
    plots.interval_curve([1, 2], INTERVALS, "dense", ax=ax, number=0)
    plots.interval_curve([1, 2], INTERVALS, "lexical", ax=ax, number=1)
    first, second = ax.lines
    assert list(first.get_ydata()) == pytest.approx([20, 90])
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()
    assert len(ax.collections) == 2


def test_points_show_both_uncertainties():
    _, ax = plots.new_axes(**LABELS)
    times = [Interval(0.2, 0.1, 0.4, n=9), Interval(1.5, 1.2, 2.0, n=9)]
    plots.interval_points(times, INTERVALS, "IVF", ax=ax, x_unit="ms", number=1)
    line, (horizontal, vertical) = ax.containers[0][0], ax.containers[0][2]
    assert list(line.get_xdata()) == pytest.approx([0.2, 1.5])
    assert list(line.get_ydata()) == pytest.approx([20, 90])
    assert list(horizontal.get_segments()[1][:, 0]) == pytest.approx([1.2, 2.0])
    assert list(vertical.get_segments()[0][:, 1]) == pytest.approx([15, 27])
    assert not ax.texts
    with pytest.raises(ValueError, match="1 x values but 2"):
        plots.interval_points(times[:1], INTERVALS, "IVF", ax=ax, x_unit="ms")


def test_notes_stand_beside_their_points():
    _, ax = plots.new_axes(**LABELS)
    times = [Interval(0.2, 0.1, 0.4, n=9), Interval(1.5, 1.2, 2.0, n=9)]
    plots.interval_points(times, INTERVALS, "IVF", ax=ax, x_unit="ms", notes=[4, "all"])
    assert [text.get_text() for text in ax.texts] == ["4", "all"]
    assert [text.xy for text in ax.texts] == [pytest.approx([0.2, 20]), pytest.approx([1.5, 90])]
    with pytest.raises(ValueError, match="2 points but 1 notes"):
        plots.interval_points(times, INTERVALS, "IVF", ax=ax, x_unit="ms", notes=["4"])


def test_matrix_writes_each_number_once():
    figure = plots.matrix(
        np.array([[1.0, 0.5], [0.25, 0.0]]),
        ["r1", "r2"],
        ["c1", "c2"],
        value_label="cosine",
        **LABELS,
    )
    assert [text.get_text() for text in figure.axes[0].texts] == ["1.00", "0.50", "0.25", "0.00"]
    plots.show(figure, alt="Four cells.")


def test_matrix_frames_the_largest_of_each_row():
    options = {**LABELS, "value_label": "cosine", "frame_row_maximum": True}
    figure = plots.matrix(np.array([[0.2, 0.5], [0.9, 0.1]]), ["a", "b"], ["c", "d"], **options)
    framed = [(round(patch.get_x()), patch.get_y()) for patch in figure.axes[0].patches]
    assert [(column, round(row + 0.46)) for column, row in framed] == [(1, 0), (0, 1)]


def test_helpers_name_bad_input():
    _, ax = plots.new_axes(**LABELS)
    with pytest.raises(ValueError, match="1 labels but 2"):
        plots.interval_bars(["a"], INTERVALS, **LABELS)
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.interval_bars([], [], **LABELS)
    with pytest.raises(ValueError, match="3 places"):
        plots.interval_curve([1, 2, 3], INTERVALS, "dense", ax=ax)
    with pytest.raises(ValueError, match="table"):
        plots.matrix(np.ones((2, 2)), ["a"], ["b"], value_label="cosine", **LABELS)


def test_same_figure_same_bytes():
    images = [
        plots.figure_png(plots.interval_bars(["a", "b"], INTERVALS, **LABELS)) for _ in range(2)
    ]
    assert images[0] == images[1]


def test_palette_is_distinct_and_dark_enough_on_white():
    assert len(set(plots.PALETTE)) == len(set(plots.MARKERS)) == 8
    # Text and thin lines use BLACK and GREY: WCAG AA asks for a contrast of 4.5 on white.
    for colour in (plots.BLACK, plots.GREY):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminance = np.dot([0.2126, 0.7152, 0.0722], linear)
        assert 1.05 / (luminance + 0.05) >= 4.5
