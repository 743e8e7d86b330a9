"""nbgrader itself on the course: it makes the assignments, checks them, goes on from our marks."""

from __future__ import annotations

import csv
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from lessons.source.build import build, lesson_sources
from lessons.source.student import INSTRUCTOR, Variant
from tests.hostile.class_folder import (
    STEM,
    answered,
    cell,
    changed,
    hand_in,
    without_metadata,
)
from utils.grading import reports
from utils.grading.__main__ import main
from utils.grading.jail import why_no_jail
from utils.grading.lessons import load_lesson

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent
QUICK = ("00_start_here", "02_build_a_retriever", "05_lora_from_scratch")
STEMS = [path.stem for path in lesson_sources()]
NBGRADERS_STUBS = Variant(
    worked_solutions=False,
    code_stub="# YOUR CODE HERE\nraise NotImplementedError()",
    text_stub="YOUR ANSWER HERE",
)
ESSAY = "I would count <script>alert(1)</script> both kinds."


def environment(course: Path) -> dict[str, str]:
    """This one's, with the programs of this Python and no settings of the user's."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "JUPYTER_CONFIG_DIR": str(course / ".jupyter")}


def nbgrader(course: Path, *call: str) -> str:
    done = subprocess.run(
        [str(BIN / "nbgrader"), *call],
        cwd=course,
        env=environment(course),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """Every lesson as an assignment: our instructor version, and what nbgrader makes of it."""
    folder = tmp_path_factory.mktemp("course")
    for path in lesson_sources():
        place = folder / "source" / path.stem / f"{path.stem}.ipynb"
        place.parent.mkdir(parents=True)
        place.write_text(build(path, INSTRUCTOR), encoding="utf-8")
        nbgrader(folder, "generate_assignment", path.stem, "--create")
    return folder


@pytest.mark.parametrize("stem", STEMS)
def test_it_makes_the_student_version_that_we_make(course, stem):
    theirs = nbformat.read(course / "release" / stem / f"{stem}.ipynb", as_version=4)
    (source,) = lesson_sources(lessons=[stem])
    ours = nbformat.reads(build(source, NBGRADERS_STUBS), as_version=4)
    assert [cell.source for cell in theirs.cells] == [cell.source for cell in ours.cells]
    for their, our in zip(theirs.cells, ours.cells, strict=True):
        about = dict(their.metadata.get("nbgrader", {}))
        for name in ("checksum", "cell_type"):  # it adds these
            about.pop(name, None)
        assert about == our.metadata.get("nbgrader", {})


def test_its_grade_book_has_every_question_with_its_points(course):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        for stem in STEMS:
            lesson = load_lesson(stem)
            cells = {c.name: c.max_score for c in book.find_notebook(stem, stem).grade_cells}
            wanted = {f"{e.key}_check": e.points for e in lesson.exercises}
            assert cells == wanted | {essay.key: essay.points for essay in lesson.essays}
            assert all(essay.scheme for essay in lesson.essays)


@pytest.mark.slow
@pytest.mark.parametrize("stem", QUICK)
def test_it_validates_the_solutions_of_a_lesson(course, stem):
    """It runs the whole lesson; the quick ones stand for all."""
    helpers = course / "source" / "utils"
    if not helpers.exists():
        helpers.symlink_to(ROOT / "utils")
        (course / "source" / "datasets").symlink_to(ROOT / "datasets")
    said = nbgrader(course, "validate", str(course / "source" / stem / f"{stem}.ipynb"))
    assert "Success! Your notebook passes all the tests." in said


# -- from our marks on -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> Path:
    """An nbgrader course whose marks are ours."""
    if why_no_jail():
        pytest.skip(why_no_jail())
    folder = tmp_path_factory.mktemp("graded")
    own = {"q2_1": "def my_recall_at_k(a, b, k):\n    return 0.5", "q2_5": ESSAY}
    hand_in(folder / "in", "anna", answered(own))
    hand_in(
        folder / "in",
        "Ben Ö.",
        answered({"q2_5": "*Write your answer here: double-click on this line.*"}),
    )
    hand_in(folder / "in", "carl", b"")
    hand_in(folder / "in", "dora", changed(without_metadata, answered(own)))
    hand_in(folder / "in", "emil", changed(lambda n: n["cells"].remove(cell(n, "q2_5"))))
    grade(folder)
    return folder


def grade(folder: Path) -> None:
    call = ["grade", str(folder / "in"), "--lesson", "02", "--out", str(folder / "marks")]
    assert main([*call, "--seed", "9", "--gradebook", str(folder / "course")]) == 0


def scores(course: Path) -> dict[str, float]:
    nbgrader(course, "export", "--to", "grades.csv")
    with open(course / "grades.csv", encoding="utf-8") as file:
        return {row["last_name"]: float(row["score"]) for row in csv.DictReader(file)}


def test_its_export_has_our_marks_and_no_zero_for_who_has_none(graded):
    found = scores(graded / "course")
    assert found == {"anna": 6.0, "Ben Ö.": 8.0, "dora": 6.0, "emil": 8.0}


def test_no_answer_in_words_is_lost_with_its_metadata_or_its_cell(graded):
    from nbgrader.api import Gradebook

    course = graded / "course"
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        for student in ("dora", "emil"):
            mark = book.find_grade("q2_5", STEM, STEM, student)
            assert (mark.auto_score, mark.needs_manual_grade) == (None, True)
    shown = (course / "autograded" / "dora" / STEM / f"{STEM}.ipynb").read_text(encoding="utf-8")
    assert "I would count" in shown and "return 0.5" in shown
    person = (graded / "marks" / reports.FOR_A_PERSON).read_text(encoding="utf-8")
    assert person.count("I would count") == 2
    assert person.count("The cell of the answer was not found in the notebook.") == 1


def test_a_person_s_mark_stays_when_the_batch_is_graded_again(graded):
    from nbgrader.api import Gradebook

    course = graded / "course"
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        grade_of_essay = book.find_grade("q2_5", STEM, STEM, "anna")
        assert grade_of_essay.needs_manual_grade and grade_of_essay.max_score == 3
        grade_of_essay.manual_score, grade_of_essay.needs_manual_grade = 2.5, False
        book.db.commit()
        mark = book.find_grade("q2_1_check", STEM, STEM, "anna")
        assert (mark.auto_score, mark.needs_manual_grade) == (0.0, False)
    grade(graded)
    assert scores(course)["anna"] == 8.5


def test_its_formgrader_shows_answers_in_words_with_their_mark_scheme(graded):
    from nbgrader.api import Gradebook

    course = graded / "course"
    (course / "nbgrader_config.py").write_text("c = get_config()\n")
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        submission = book.find_submission_notebook(STEM, STEM, "anna").id
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call = [str(BIN / "jupyter"), "server", "--no-browser", f"--port={port}", "--allow-root"]
    call += ["--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.root_dir=."]
    call += ["--ServerApp.jpserver_extensions=nbgrader.server_extensions.formgrader=True"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(call, cwd=course, env=environment(course), **quiet) as server:
        try:
            page = fetched(f"http://127.0.0.1:{port}/formgrader/submissions/{submission}/")
        finally:
            server.terminate()
    assert "I would count" in page
    assert "<script>alert(1)</script>" not in page
    (essay,) = load_lesson("02").essays
    words = re.findall(r"[\w ]{20,}", essay.scheme)
    assert words and all(text.strip() in page for text in words)
    assert "def my_recall_at_k" in re.sub(r"<[^>]+>", "", page)


def fetched(address: str) -> str:
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=20) as answer:
                return answer.read().decode()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)


def test_without_nbgrader_it_says_how_to_get_it(tmp_path, monkeypatch):
    from utils.grading.gradebook import write_gradebook

    monkeypatch.setitem(sys.modules, "nbgrader.api", None)
    with pytest.raises(ModuleNotFoundError, match="pip install nbgrader"):
        write_gradebook(load_lesson("02"), [], tmp_path)


def test_the_notebook_that_it_shows_is_ours_with_the_student_s_answers(graded):
    notebook = json.loads(
        (graded / "course" / "autograded" / "anna" / STEM / f"{STEM}.ipynb").read_text()
    )
    nbformat.validate(nbformat.from_dict(notebook))
    sources = {
        cell["metadata"].get("nbgrader", {}).get("grade_id"): cell["source"]
        for cell in notebook["cells"]
    }
    assert sources["q2_1"] == "def my_recall_at_k(a, b, k):\n    return 0.5"
    assert sources["q2_5"] == ESSAY.replace("<", "&lt;").replace(">", "&gt;")
    assert "".join(sources["q2_1_check"]).endswith('check("q2_1")')
