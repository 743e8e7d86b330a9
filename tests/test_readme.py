"""README.md says what is so: its generated parts are fresh, its links lead somewhere."""

import re

import pytest

from lessons.source import readme
from tests.run_lessons import LessonRun
from utils.stats import Interval

CELLS = [
    ("base <model>", "closed book", Interval(0.02, 0.0, 0.05, n=300)),
    ("base <model>", "retrieval", Interval(0.9, 0.85, 0.94, n=150)),
]


def test_generated_parts_are_fresh():
    stale = [path.name for path, text in readme.generate().items() if path.read_text() != text]
    assert stale == [], "run: make notebooks"


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)]+)\)", readme.README.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert len(local) > 5
    missing = [target for target in local if not (readme.ROOT / target).exists()]
    assert missing == []


def test_commands_of_the_readme_exist():
    makefile = (readme.ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z-]+)", readme.README.read_text(encoding="utf-8")))
    assert {"lab", "test"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_fill_replaces_only_its_place():
    text = "before\n<!-- a -->\nold\n<!-- /a -->\nafter\n<!-- b -->\nkept\n<!-- /b -->\n"
    filled = readme.fill(text, "a", r"new \1 text")
    assert filled == text.replace("old", r"new \1 text")
    with pytest.raises(ValueError, match="<!-- c -->"):
        readme.fill(text, "c", "new")


def test_table_shows_what_was_measured_and_what_failed(tmp_path):
    source = tmp_path / "02_build.py"
    source.write_text("# %% [markdown]\n# # Lesson 02: Build\n#\n# You build. Then you look.\n#\n")
    passed = LessonRun("02_build", 1.25, 0.9, passed=True)
    assert "[02 Build](lessons/02_build.ipynb) | You build. | 1.2 | 0.9 | passed |" in (
        readme.lessons_table([source], [passed])
    )
    failed = LessonRun("02_build", 1.25, 0.9, passed=False, failure="cell 3: 1/0: division")
    assert "cell 3" in readme.lessons_table([source], [failed])
    assert "not run yet" in readme.lessons_table([source], [])


def test_picture_has_every_share_in_its_place_and_in_words():
    drawn = readme.picture(CELLS, "A title", "a source")
    assert drawn.count("<rect") == 1 + len(CELLS)
    assert "90.0 % [85.0, 94.0] (n = 150)" in drawn
    assert "base &lt;model&gt;" in drawn and "base <model>" not in drawn
    widths = [float(width) for width in re.findall(r'<rect x="\d+"[^>]* width="([\d.]+)"', drawn)]
    assert widths[1] / widths[0] == pytest.approx(0.9 / 0.02, rel=0.01)
