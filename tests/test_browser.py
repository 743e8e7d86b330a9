"""What a learner sees: lessons and widgets in JupyterLab in a real browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lessons.source.build import main as build
from tests import browser
from tests.example_lesson import SOURCE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(browser.why_not()), reason=browser.why_not() or "a browser is there"),
]
EXAMPLE = "00_example.ipynb"
OUTPUTS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .filter(cell => cell.type === 'code')
  .flatMap(cell => cell.sharedModel.getOutputs())
  .map(output => output.data?.['text/plain'] ?? output.text ?? '')
  .map(text => Array.isArray(text) ? text.join('') : text)"""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> browser.Server:
    """JupyterLab with the example lesson."""
    root = tmp_path_factory.mktemp("course")
    (root / "lessons" / "source").mkdir(parents=True)
    (root / "lessons" / "source" / "00_example.py").write_text(SOURCE, encoding="utf-8")
    folders = ("--sources", str(root / "lessons" / "source"), "--notebooks", str(root / "lessons"))
    assert build(list(folders)) == 0
    (root / "utils").symlink_to(browser.ROOT / "utils", target_is_directory=True)
    with browser.jupyterlab(root) as running:
        yield running


@pytest.fixture(scope="module")
def page(server):
    """The example lesson, opened and run."""
    with browser.open_lesson(server, EXAMPLE) as page:
        browser.run_all(page)
        yield page


def kept(server: browser.Server) -> dict:
    return json.loads((server.work / "predictions.json").read_text("utf-8"))


def test_the_example_runs_without_an_error(page):
    assert page.evaluate(browser.CELL_ERRORS) == []
    assert any("not solved yet" in text for text in page.evaluate(OUTPUTS))


def test_a_slider_moved_by_keyboard_keeps_its_value_in_the_file(page, server):
    handle = page.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.locator("text=Kept: 53 %.").first.wait_for()
    assert kept(server)["l00_share"]["guess"] == 53


def test_a_number_is_typed_after_one_press_of_tab(page, server):
    handle = page.locator(".noUi-handle").first
    handle.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("71.5")
    page.keyboard.press("Enter")
    page.locator("text=Kept: 71.5 %.").first.wait_for()
    assert kept(server)["l00_share"]["guess"] == 71.5


def test_a_choice_is_made_by_keyboard(page, server):
    option = page.locator(".widget-radio-box input, .jupyter-widgets input[type=radio]").first
    option.scroll_into_view_if_needed()
    option.focus()
    page.keyboard.press("Space")
    page.locator("text=Kept: inside.").first.wait_for()
    assert kept(server)["l00_winner"]["guess"] == "inside"


def test_the_guess_is_drawn_beside_the_result_and_a_check_speaks(page, server):
    """After a second run the guesses of the tests before stand beside the results."""
    browser.run_all(page)
    drawing = page.locator("svg[role=img]").first
    drawing.locator("text=your guess: 71.5 %").wait_for()
    assert "measured: 71.3 %" in drawing.text_content()
    message = page.locator("[role=status]:has-text('q0_1 not solved yet')").first
    message.scroll_into_view_if_needed()
    assert message.is_visible()


def test_hints_and_solution_are_folded_until_they_are_opened(page):
    hint = page.locator("summary:has-text('Hint 1')").first
    hint.scroll_into_view_if_needed()
    second = page.locator("summary:has-text('Hint 2')").first
    assert not second.is_visible()
    hint.click()
    assert second.is_visible()
    assert not page.locator("text=sum(answer == truth").first.is_visible()


def test_pictures_show_the_lesson_from_top_to_bottom(page, tmp_path):
    pictures = browser.take_pictures(page, tmp_path / "shots", "example")
    assert len(pictures) >= 2
    assert all(picture.stat().st_size > 10_000 for picture in pictures)


def test_a_cell_that_fails_is_reported(page):
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.insertCell("
        "2, {cell_type: 'code', source: '1 / 0'})"
    )
    browser.run_all(page)
    assert page.evaluate(browser.CELL_ERRORS) == ["cell 3: ZeroDivisionError: division by zero"]


@pytest.mark.timeout(1200)
def test_lesson_00_runs_in_the_browser_and_nothing_is_written_into_the_course(tmp_path):
    lessons = browser.ROOT / "lessons"
    before = {path: path.read_bytes() for path in lessons.glob("*.ipynb")}
    work = set(Path(lessons / "my_work").glob("**/*"))
    # In a process of its own: playwright runs once in each.
    command = [sys.executable, "-m", "tests.browser", "00", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=browser.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob("*.png"))
    assert {path: path.read_bytes() for path in lessons.glob("*.ipynb")} == before
    assert set(Path(lessons / "my_work").glob("**/*")) == work
