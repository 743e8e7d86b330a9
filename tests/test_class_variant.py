"""A class's variant: a whole course without solutions, a sealed folder, and a guide that holds."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lessons.source.build import lesson_sources
from lessons.source.class_variant import hidden_seed, make_class
from lessons.source.student import SourceError
from tests.hostile.class_folder import hand_in
from utils.exercises import all_exercises
from utils.grading.__main__ import _parser, main
from utils.grading.jail import why_no_jail
from utils.grading.lessons import load_lesson
from utils.worlds import load_world

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "lessons" / "instructor"
SEED = 31


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("class") / "new"
    make_class(SEED, out)
    return out


def in_student_course(made: Path, code: str) -> str:
    """What Python prints that finds the class's own helpers."""
    environment = {**os.environ, "INSIDE_OUTSIDE_WORK": str(made / "work")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=made / "student",
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_class_has_a_world_of_its_own(made):
    own, course = load_world(made / "student" / "datasets" / "world"), load_world()
    assert own.seed == SEED
    assert {p.name for p in own.products} != {p.name for p in course.products}
    found = in_student_course(made, "from utils.worlds import load_world; print(load_world().seed)")
    assert found.strip() == str(SEED)
    cards = {path.name for path in (made / "student" / "datasets" / "world" / "cards").iterdir()}
    assert len(cards) == len(own.products)


def test_no_text_of_a_lesson_names_a_product_of_the_course_s_own_world(made):
    families = {product.family for product in load_world().products}
    for path in (made / "student" / "lessons").glob("*.ipynb"):
        words = set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
        assert not words & families, path.name


def test_no_solution_is_in_what_students_get(made):
    names = {path.name for path in (made / "student").rglob("*")}
    assert not names & {"source", "instructor", "grading", "my_work", "class.json", ".git"}
    for path in (made / "student").rglob("*"):
        if path.suffix in (".py", ".ipynb", ".md", ".json") and path.is_file():
            text = path.read_text(encoding="utf-8")
            for secret in ("BEGIN SOLUTION", "MARK SCHEME", "Worked solution", "hidden_seed"):
                # The code that makes and reads such cells is not there either.
                assert secret not in text, path


def test_every_exercise_checks_itself_in_the_student_s_course(made):
    code = """
import json
from utils.checks import check_answer
from utils.exercises import all_exercises
print(json.dumps([e.key for e in all_exercises()]))
def my_recall_at_k(ranked_ids, relevant_ids, k):
    return len(set(ranked_ids[:k]) & relevant_ids) / k
print(check_answer("q2_1", globals()).message)
def my_recall_at_k(ranked_ids, relevant_ids, k):
    return len(set(ranked_ids[:k]) & relevant_ids) / len(relevant_ids)
print(check_answer("q2_1", globals()).message)
"""
    keys, wrong, right = in_student_course(made, code).splitlines()
    assert json.loads(keys) == [exercise.key for exercise in all_exercises()]
    assert wrong.startswith("not yet: You divide by k. That is precision")
    assert right == "solved: recall at k"


def test_the_sealed_folder_has_solutions_and_the_hidden_seed(made):
    sealed = made / "instructor"
    assert hidden_seed(sealed) > 0
    for path in lesson_sources():
        text = (sealed / "solutions" / f"{path.stem}.ipynb").read_text(encoding="utf-8")
        assert "BEGIN SOLUTION" in text
    assert str(sealed) in (sealed / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(bool(why_no_jail()), reason="bubblewrap is missing")
def test_a_class_is_marked_with_its_sealed_folder(made, tmp_path):
    solution = made / "instructor" / "solutions" / "02_build_a_retriever.ipynb"
    hand_in(tmp_path / "in", "anna", json.loads(solution.read_text(encoding="utf-8")))
    untouched = made / "student" / "lessons" / "02_build_a_retriever.ipynb"
    hand_in(tmp_path / "in", "bo", json.loads(untouched.read_text(encoding="utf-8")))
    call = ["grade", str(tmp_path / "in"), "--lesson", "02", "--out", str(tmp_path / "out")]
    assert main([*call, "--variant", str(made / "instructor")]) == 0
    assert "anna,anna/02_build_a_retriever.ipynb,8,8,2,2,2,2,," in (
        tmp_path / "out" / "marks.csv"
    ).read_text(encoding="utf-8")
    kept = json.loads((tmp_path / "out" / "hidden_seed.json").read_text())
    assert kept["seed"] == hidden_seed(made / "instructor")


def test_some_lessons_only(tmp_path):
    student, sealed = make_class(SEED, tmp_path / "new", ["01", "02"], hidden=5)
    notebooks = sorted(path.name for path in (student / "lessons").glob("*.ipynb"))
    assert notebooks == ["01_why_compare.ipynb", "02_build_a_retriever.ipynb"]
    code = "from utils.progress_page import progress; progress()"
    lines = in_student_course(tmp_path / "new", code).splitlines()
    assert [line[:2] for line in lines[1:3]] == ["01", "02"] and lines[3] == "All     0 of 7"
    assert hidden_seed(sealed) == 5


def test_nothing_is_overwritten_and_nothing_is_left_half_made(tmp_path, monkeypatch):
    (tmp_path / "instructor").mkdir()
    with pytest.raises(FileExistsError, match="is there already"):
        make_class(SEED, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["instructor"]
    from lessons.source import class_variant

    def fails(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(class_variant, "_write_sealed", fails)
    with pytest.raises(OSError, match="No space"):
        make_class(SEED, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_bad_input_is_said(tmp_path, capsys):
    with pytest.raises(ValueError, match="the course's own world"):
        make_class(load_world().seed, tmp_path / "new")
    with pytest.raises(SourceError, match="There is no lesson 77"):
        make_class(SEED, tmp_path / "new", ["77"])
    with pytest.raises(ValueError, match="is not a class's sealed folder"):
        hidden_seed(tmp_path)
    assert main(["variant", "--seed", "31", "--out", str(tmp_path / "x"), "--lessons", "77"]) == 2
    assert "There is no lesson 77" in capsys.readouterr().err


# -- the guide -------------------------------------------------------------------------------------


def guide(name: str) -> str:
    return (GUIDE / name).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", ["README.md", "rubrics.md"])
def test_the_guide_s_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", guide(name)):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        path = (GUIDE / file).resolve() if file else GUIDE / name
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), target


def test_the_guide_s_commands_are_understood():
    commands = re.findall(r"python -m utils\.grading ([^\n`]+)", guide("README.md"))
    assert len(commands) >= 4
    for command in commands:
        _parser().parse_args(shlex.split(command))


def test_the_guide_speaks_of_every_lesson():
    text = guide("README.md")
    for path in lesson_sources():
        assert re.search(rf"^\| {path.stem[:2]} \|", text, re.MULTILINE), path.stem


def test_every_question_in_words_has_a_poor_a_fair_and_a_good_answer():
    sections = dict(re.findall(r"^## (q\d_\d) (.*?)(?=^## |\Z)", guide("rubrics.md"), re.M | re.S))
    essays = {e.key: e for path in lesson_sources() for e in load_lesson(path.stem).essays}
    assert sections.keys() == essays.keys()
    for key, essay in essays.items():
        assert f"({essay.points} points)" in sections[key]
        marks = re.findall(rf"\*\*(\w+), ([\d.]+) of {essay.points}\.\*\*", sections[key])
        assert [name for name, _ in marks] == ["Poor", "Fair", "Good"]
        points = [float(mark) for _, mark in marks]
        assert points == sorted(points) and points[0] <= 1 and points[-1] == essay.points
