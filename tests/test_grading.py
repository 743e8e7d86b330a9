"""Grading: what students really hand in, a batch that is stopped, and what is written of it."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.hostile.class_folder import (
    STEM,
    answered,
    archive,
    cell,
    changed,
    hand_in,
    solved,
    untouched,
    without_metadata,
)
from utils import wire
from utils.exercises import find, lesson_exercises
from utils.grading import jail, notebooks, reports
from utils.grading.__main__ import SEED_FILE, main
from utils.grading.lessons import load_lesson
from utils.grading.marking import Marking, mark_notebook
from utils.grading.notebooks import LARGEST_MB, read_notebook, submissions
from utils.judging import Outcome

ROOT = Path(__file__).resolve().parent.parent
needs_jail = pytest.mark.skipif(bool(jail.why_no_jail()), reason="bubblewrap is missing")
RIGHT = {"q2_1": "2", "q2_2": "2", "q2_3": "2", "q2_4": "2"}


def grade(folder: Path, out: Path, *more: str) -> dict[str, dict[str, str]]:
    """Run the command; the rows of marks.csv by student."""
    call = ["grade", str(folder), "--lesson", "02", "--out", str(out), "--seed", "7", *more]
    assert main(call) == 0
    return rows(out)


def rows(out: Path) -> dict[str, dict[str, str]]:
    text = (out / "marks.csv").read_text(encoding="utf-8")
    return {row["student"]: row for row in csv.DictReader(text.splitlines())}


# -- notebooks as they come ------------------------------------------------------------------------


def as_colab_saves(notebook: dict) -> None:
    """Sources as lists, ids in the metadata, its own header, the kernel's name."""
    for number, one in enumerate(notebook["cells"]):
        one["source"] = "".join(one["source"]).splitlines(keepends=True)
        one["metadata"]["id"] = one.pop("id", f"x{number}")
        one["metadata"] |= {"colab": {"base_uri": "https://example.org/"}}
    notebook["metadata"] = {"colab": {"provenance": []}, "kernelspec": {"name": "python3"}}


def as_vs_code_saves(notebook: dict) -> None:
    for number, one in enumerate(notebook["cells"]):
        one["id"] = f"{number:08x}"
        one["metadata"]["vscode"] = {"languageId": "python"}


def reversed_cells(notebook: dict) -> None:
    notebook["cells"].reverse()


def without_an_answer(notebook: dict) -> None:
    notebook["cells"].remove(cell(notebook, "q2_3"))


def twice_the_answer(notebook: dict) -> None:
    """The cell was copied; the copy, which comes later, is solved, the first is not."""
    place = notebook["cells"].index(cell(notebook, "q2_1"))
    copied = json.loads(json.dumps(notebook["cells"][place]))
    notebook["cells"].insert(place + 1, copied)
    notebook["cells"][place]["source"] = (
        "def my_recall_at_k(a, b, k):\n    raise NotImplementedError"
    )


def other_kernel(notebook: dict) -> None:
    notebook["metadata"]["kernelspec"] = {"name": "my-own-env", "display_name": "?"}


def large_outputs(notebook: dict) -> None:
    text = ["x" * 10**6] * 20
    output = {"output_type": "stream", "name": "stdout", "text": text}
    next(c for c in notebook["cells"] if c["cell_type"] == "code")["outputs"] = [output]


def helpers_elsewhere(notebook: dict) -> None:
    """The answer uses an import, a function and a constant of other cells."""
    source = (
        "def my_recall_at_k(ranked, wanted, k):\n    return np.float64(share(ranked[:k], wanted))"
    )
    cell(notebook, "q2_1")["source"] = source
    helper = "import numpy as np\nONE = 1\nprint(undefined_name)\n"
    helper += "def share(a, b):\n    return ONE * len(set(a) & b) / len(b)"
    new = {"cell_type": "code", "source": helper, "metadata": {}, "outputs": []}
    notebook["cells"].insert(1, new)


def nonsense_cells(notebook: dict) -> None:
    notebook["cells"] += [3, None, {"cell_type": 7, "source": {"a": 1}, "metadata": [1]}, {}]


def points_in_the_metadata(notebook: dict) -> None:
    for one in notebook["cells"]:
        if "nbgrader" in one["metadata"]:
            one["metadata"]["nbgrader"] |= {"points": 1000, "grade": False, "locked": False}


@needs_jail
def test_a_notebook_gets_its_marks_however_it_was_saved(tmp_path):
    forms = {
        change.__name__: changed(change)
        for change in (
            as_colab_saves,
            as_vs_code_saves,
            without_metadata,
            reversed_cells,
            twice_the_answer,
            other_kernel,
            large_outputs,
            helpers_elsewhere,
            nonsense_cells,
            points_in_the_metadata,
        )
    }
    for name, notebook in forms.items():
        hand_in(tmp_path / "in", name, notebook)
    hand_in(tmp_path / "in", "one_missing", changed(without_an_answer))
    hand_in(tmp_path / "in", "renamed", solved(), "my homework FINAL(2).ipynb")
    marks = grade(tmp_path / "in", tmp_path / "out")
    for name in (*forms, "renamed"):
        assert {key: marks[name][key] for key in RIGHT} == RIGHT, name
        assert marks[name]["points"] == marks[name]["of"] == "8"
    assert {key: marks["one_missing"][key] for key in RIGHT} == RIGHT | {"q2_3": "0"}
    assert "No cell of the notebook defines `my_fuse`" in marks["one_missing"]["why"]
    page = (tmp_path / "out" / reports.FOR_A_PERSON).read_text(encoding="utf-8")
    assert "2 cells are marked q2_1; the last that counts was graded" in page


def deep(levels: int) -> bytes:
    return b'{"cells": ' + b"[" * levels + b"]" * levels + b"}"


@needs_jail
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "The file is empty."),
        (b"  \n", "The file is empty."),
        (b"\x89PNG\r\n\x1a\n", "it is not JSON, or is damaged"),
        (b'{"cells": [', "it is not JSON, or is damaged"),
        (deep(100_000), "it is not JSON, or is damaged"),
        (b'{"cells": ' + b"9" * 10_000 + b"}", "it is not JSON, or is damaged"),
        (b"[1, 2]", "The file is no notebook."),
        (b'{"cells": 3}', "it has no cells"),
        (b'{"worksheets": []}', "old format (3)"),
        (b'{"cells": []}', "its cells were deleted"),
        ("another lesson", "This is lesson 03's notebook, not lesson 02's."),
        (b" " * (LARGEST_MB * 10**6 + 1), "Clear its outputs"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else str(len(value)),
)
def test_what_is_no_notebook_of_the_lesson_gets_a_reason_and_no_zero(tmp_path, content, why):
    handed = solved("03_rag_pipeline") if content == "another lesson" else content
    hand_in(tmp_path / "in", "carol", handed)
    hand_in(tmp_path / "in", "dan", solved())
    marks = grade(tmp_path / "in", tmp_path / "out")
    assert why in marks["carol"]["why"]
    assert marks["carol"]["points"] == marks["carol"]["q2_1"] == ""
    assert marks["dan"]["points"] == "8"
    page = (tmp_path / "out" / reports.FEEDBACK / "carol.html").read_text(encoding="utf-8")
    assert "Not graded yet." in page and "no points are lost by this" in page
    assert "carol" in (tmp_path / "out" / reports.FOR_A_PERSON).read_text(encoding="utf-8")


def test_files_of_one_student_are_brought_together_and_the_newest_counts(tmp_path):
    older = hand_in(tmp_path, "eve", untouched())
    newer = hand_in(tmp_path, "eve", solved(), f"{STEM} (1).ipynb")
    hand_in(tmp_path, "eve", solved("03_rag_pipeline"), "03_rag_pipeline.ipynb")
    os.utime(older, (1_000_000, 1_000_000))
    os.utime(newer, (2_000_000, 2_000_000))
    (found,) = submissions(tmp_path, STEM, lesson_exercises(2))
    assert (found.student, found.problem) == ("eve", "")
    assert found.shown == f"eve/{STEM} (1).ipynb"
    assert any("older notebooks of the same lesson" in note for note in found.notes)
    assert any("lesson 03's notebook" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "student"),
    [
        (f"{STEM}.ipynb", STEM),
        (f"finn_{STEM}.ipynb", "finn"),
        (f"finn-{STEM} (1).ipynb", "finn"),
        (f"{STEM}_finn.ipynb", "finn"),
        (f"{STEM}-Copy1.ipynb", f"{STEM}-Copy1"),
        ("finn.ipynb", "finn"),
        (f"finn/{STEM}.ipynb", "finn"),
        (f"finn/lesson/{STEM}.ipynb", "finn"),
    ],
)
def test_whose_a_notebook_is(tmp_path, name, student):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(solved()))
    assert [s.student for s in submissions(tmp_path, STEM, lesson_exercises(2))] == [student]


def test_an_archive_of_a_class_is_read_without_unpacking_it(tmp_path):
    archive(
        tmp_path / "class.zip",
        {
            f"gina/{STEM}.ipynb": solved(),
            f"../../../../hugo/{STEM}.ipynb": solved(),
            f"/abs/{STEM}.ipynb": solved(),
            f"__MACOSX/gina/._{STEM}.ipynb": b"",
            "readme.txt": b"hello",
        },
    )
    archive(tmp_path / f"ivy_{STEM}.zip", {f"{STEM}.ipynb": solved()})
    found = {s.student: s.problem for s in submissions(tmp_path, STEM, lesson_exercises(2))}
    editors = found.pop("__MACOSX")
    assert "copy that an editor made" in editors
    assert found == {"gina": "", "hugo": "", "abs": "", "ivy": ""}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["class.zip", f"ivy_{STEM}.zip"]


def test_bombs_links_and_damaged_archives_get_a_reason(tmp_path, monkeypatch):
    bomb = {"b.ipynb": bytes(LARGEST_MB * 10**6 + 1)}
    archive(tmp_path / "bomb.zip", bomb)
    assert (tmp_path / "bomb.zip").stat().st_size < 10**6
    archive(tmp_path / "swarm.zip", {f"b{n}.ipynb": bytes(48 * 10**6) for n in range(3)})
    monkeypatch.setattr(notebooks, "MOST_MB", 100)
    (tmp_path / "damaged.zip").write_bytes(b"PK\x03\x04 and no more")
    archive(tmp_path / "nothing.zip", {"readme.txt": b""})
    with zipfile.ZipFile(tmp_path / "linked.zip", "w") as opened:
        link = zipfile.ZipInfo("link.ipynb")
        link.external_attr = (0o120777 << 16) | 0
        opened.writestr(link, "/etc/passwd")
    secret = tmp_path.parent / "secret.ipynb"
    secret.write_text(json.dumps(solved()))
    (tmp_path / "link.ipynb").symlink_to(secret)
    (tmp_path / "jack").symlink_to(tmp_path.parent)
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    found = {s.student: s.problem for s in submissions(tmp_path, STEM, lesson_exercises(2))}
    assert "MB; up to" in found.pop("bomb")
    assert "can't be read" in found.pop("damaged")
    assert "it would unpack to" in found.pop("swarm")
    assert "holds no notebook" in found.pop("nothing")
    assert "link, which is not followed" in found.pop("linked")
    assert "link, which is not followed" in found.pop("link")
    assert "no file" in found.pop("pipe")
    assert "no file" in found.pop("folder")
    assert "link, which is not followed" in found.pop("jack")
    assert found == {}


def test_a_student_who_handed_in_something_else_is_listed_with_the_reason(tmp_path):
    for name in ("kim/homework.pdf", "leo.tar.gz", "the class.csv", "mo/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    hand_in(tmp_path, "mo", solved())
    hand_in(tmp_path, "kim", b"")
    found = {s.student: s for s in submissions(tmp_path, STEM, lesson_exercises(2))}
    assert found.keys() == {"kim", "leo.tar", "mo"}
    assert found["leo.tar"].problem.startswith("It is neither a notebook (.ipynb) nor")
    assert found["kim"].problem == "The file is empty."
    assert (found["mo"].problem, found["mo"].notes) == ("", ())


def test_the_folder_itself_may_be_reached_by_a_link(tmp_path):
    hand_in(tmp_path / "real", "nina", solved())
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    (found,) = submissions(tmp_path / "linked", STEM, lesson_exercises(2))
    assert (found.student, found.problem) == ("nina", "")


def test_a_name_that_lies_about_its_size_is_not_read_past_the_limit(tmp_path, monkeypatch):
    path = archive(tmp_path / "liar.zip", {"a.ipynb": bytes(LARGEST_MB * 10**6 + 1)})
    real = zipfile.ZipFile.infolist

    def lying(self):
        for member in real(self):
            member.file_size = 10
        return real(self)

    monkeypatch.setattr(zipfile.ZipFile, "infolist", lying)
    (found,) = submissions(path.parent, STEM, lesson_exercises(2))
    assert found.problem


def test_an_unreadable_file_gets_a_reason(tmp_path, monkeypatch):
    path = hand_in(tmp_path, "kim", solved())

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    (found,) = submissions(tmp_path, STEM, lesson_exercises(2))
    assert found.problem == "It can't be read: Permission denied."


# -- every lesson ----------------------------------------------------------------------------------


@needs_jail
@pytest.mark.parametrize(
    "stem", [path.stem for path in sorted((ROOT / "lessons").glob("0*.ipynb"))]
)
def test_solutions_get_all_points_and_an_untouched_notebook_none(stem):
    lesson = load_lesson(stem[:2])
    for notebook, points in ((solved(stem), lesson.points), (untouched(stem), 0)):
        read = read_notebook(json.dumps(notebook).encode())
        marks = mark_notebook(read, lesson.exercises, Marking(seed=3))
        assert sum(mark.points for mark in marks) == points
        wanted = "right" if points else "not answered"
        assert {mark.status for mark in marks} == {wanted}


@needs_jail
def test_an_answer_made_for_the_public_inputs_gets_nothing_and_reads_no_hidden_one():
    public = [(list(ranked), sorted(wanted), k) for ranked, wanted, k in find("q2_1").inputs(0)]
    source = f"KNOWN = {public!r}\ndef my_recall_at_k(ranked, wanted, k):\n"
    source += "    assert (ranked, sorted(wanted), k) in KNOWN, (ranked, wanted, k)\n"
    source += "    return len(set(ranked[:k]) & wanted) / len(wanted)"
    read = read_notebook(json.dumps(answered({"q2_1": source})).encode())
    (mark,) = mark_notebook(read, [find("q2_1")], Marking(seed=3))
    assert (mark.status, mark.points) == ("wrong", 0)
    assert mark.message.startswith("not yet: It is right on the inputs of the lesson's own check")
    assert mark.note == "right on the public inputs only"


@needs_jail
def test_a_known_mistake_is_named_in_the_mark():
    source = "def my_recall_at_k(a, b, k):\n    return len(set(a[:k]) & b) / k"
    read = read_notebook(json.dumps(answered({"q2_1": source})).encode())
    (mark,) = mark_notebook(read, [find("q2_1")], Marking(seed=3))
    assert mark.mistake.startswith("You divide by k. That is precision")
    assert mark.message == f"not yet: {mark.mistake}"


# -- a batch ---------------------------------------------------------------------------------------


def a_class(folder: Path, students: int, seconds: float = 0.0) -> None:
    """Students whose answers to 2.1 differ, so that each is a unit of its own."""
    for number in range(students):
        source = f"import time\ntime.sleep({seconds})\ndef my_recall_at_k(a, b, k):\n"
        source += f"    return len(set(a[:k]) & b) / len(b)  # {number}"
        hand_in(folder, f"s{number:02d}", answered({"q2_1": source}))


@needs_jail
def test_a_batch_that_is_killed_goes_on_where_it_was(tmp_path):
    a_class(tmp_path / "in", 8, seconds=0.2)
    call = [sys.executable, "-m", "utils.grading", "grade", str(tmp_path / "in")]
    call += ["--lesson", "02", "--out", str(tmp_path / "out")]
    units = tmp_path / "out" / "units"
    for wanted in (2, 4):
        process = subprocess.Popen(call, cwd=ROOT, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while time.monotonic() < until and len(list(units.glob("*.json"))) < wanted:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = {path.name: path.read_bytes() for path in units.glob("*.json")}
    assert 4 <= len(before) < 8
    subprocess.run(call, cwd=ROOT, check=True, capture_output=True)
    assert {name: (units / name).read_bytes() for name in before} == before
    assert len(list(units.glob("*.json"))) == 8
    marks = rows(tmp_path / "out")
    assert len(marks) == 8 and {row["points"] for row in marks.values()} == {"8"}


@needs_jail
def test_two_batches_at_once_come_to_the_same(tmp_path):
    a_class(tmp_path / "in", 6)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / SEED_FILE).write_text(json.dumps({"seed": 5, "lesson": STEM}))
    call = [sys.executable, "-m", "utils.grading", "grade", str(tmp_path / "in")]
    call += ["--lesson", "02", "--out", str(tmp_path / "out")]
    both = [subprocess.Popen(call, cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    marks = rows(tmp_path / "out")
    assert len(marks) == 6 and {row["points"] for row in marks.values()} == {"8"}
    assert not list((tmp_path / "out").rglob(".*"))


@needs_jail
def test_workers_and_a_scheduler_give_the_marks_of_one_process(tmp_path):
    from distributed import LocalCluster

    a_class(tmp_path / "in", 4)
    hand_in(tmp_path / "in", "wrong", untouched())
    alone = grade(tmp_path / "in", tmp_path / "alone")
    assert grade(tmp_path / "in", tmp_path / "two", "--workers", "2") == alone
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        assert grade(tmp_path / "in", tmp_path / "there", "--scheduler", address) == alone


@needs_jail
def test_the_hidden_seed_is_kept_for_the_next_run(tmp_path):
    hand_in(tmp_path / "in", "lea", solved())
    call = ["grade", str(tmp_path / "in"), "--lesson", "02", "--out", str(tmp_path / "out")]
    assert main(call) == 0
    seed = json.loads((tmp_path / "out" / SEED_FILE).read_text())["seed"]
    assert seed > 0
    units = {path.name for path in (tmp_path / "out" / "units").iterdir()}
    assert main(call) == 0
    assert json.loads((tmp_path / "out" / SEED_FILE).read_text())["seed"] == seed
    assert {path.name for path in (tmp_path / "out" / "units").iterdir()} == units


@needs_jail
def test_a_damaged_unit_is_graded_again(tmp_path):
    hand_in(tmp_path / "in", "mia", solved())
    first = grade(tmp_path / "in", tmp_path / "out")
    (unit,) = (tmp_path / "out" / "units").iterdir()
    for content in ("", "{}", '{"marks": [{}]}', "null"):
        unit.write_text(content)
        assert grade(tmp_path / "in", tmp_path / "out") == first
        assert json.loads(unit.read_text())["marks"]


@needs_jail
def test_a_mistake_of_the_grader_s_own_stops_nobody(tmp_path, monkeypatch):
    from utils.grading import batch

    hand_in(tmp_path / "in", "ned", answered({"q2_1": "# ned\nmy_recall_at_k = None"}))
    hand_in(tmp_path / "in", "olga", solved())
    real = batch.mark_notebook

    def fails(notebook, *rest):
        if any("# ned" in source for source in notebook.code):
            raise ZeroDivisionError("a mistake of ours")
        return real(notebook, *rest)

    monkeypatch.setattr(batch, "mark_notebook", fails)
    marks = grade(tmp_path / "in", tmp_path / "out")
    assert marks["olga"]["points"] == "8"
    assert marks["ned"]["points"] == "" and "the grader failed" in marks["ned"]["why"]
    monkeypatch.setattr(batch, "mark_notebook", real)
    assert grade(tmp_path / "in", tmp_path / "out")["ned"]["points"] == "6"


def test_without_bubblewrap_nobody_is_graded_and_it_says_how_to_get_it(
    tmp_path, monkeypatch, capsys
):
    hand_in(tmp_path / "in", "pia", solved())
    monkeypatch.setattr(jail.shutil, "which", lambda name: None)
    call = ["grade", str(tmp_path / "in"), "--lesson", "02", "--out", str(tmp_path / "out")]
    assert main(call) == 2
    assert "apt install bubblewrap" in capsys.readouterr().err
    assert not (tmp_path / "out" / "marks.csv").exists()
    assert main([*call, "--trusted"]) == 0
    assert rows(tmp_path / "out")["pia"]["points"] == "8"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the jail is Linux's")
def test_a_jail_that_can_t_be_set_up_is_an_error_and_no_mark(tmp_path, monkeypatch, capsys):
    broken = tmp_path / "bin" / "bwrap"
    broken.parent.mkdir()
    broken.write_text(
        "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n"
    )
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    hand_in(tmp_path / "in", "quinn", solved())
    call = ["grade", str(tmp_path / "in"), "--lesson", "02", "--out", str(tmp_path / "out")]
    assert main(call) == 2
    said = capsys.readouterr().err
    assert "setting up uid map: Permission denied" in said and "Nothing was graded" in said
    assert not (tmp_path / "out" / "marks.csv").exists()


def test_python_may_lie_below_the_folder_that_answers_write_into(monkeypatch):
    """What comes later in bubblewrap's command covers what came before."""
    monkeypatch.setattr(sys, "prefix", "/tmp/course/.venv")
    command = jail._jail_command(jail.Limits())
    assert command.index("/tmp") < command.index("/tmp/course/.venv")
    assert command[command.index("/tmp") - 1] == "--tmpfs"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--lesson", "77"], "There is no lesson 77. There are: 00_start_here"),
        (["--lesson", "02", "--seed", "0"], "0 draws the public inputs"),
        (["--lesson", "02", "--workers", "0"], "--workers must be more than 0, not 0"),
        (["--lesson", "02", "--seconds", "-1"], "--seconds must be more than 0"),
    ],
)
def test_what_can_t_be_is_said(tmp_path, capsys, more, said):
    assert main(["grade", str(tmp_path), "--out", str(tmp_path / "out"), *more]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ('{"seed": 4, "lesson": "03_rag_pipeline"}', "holds the marks of 03_rag_pipeline; name"),
        ("{", "is damaged. Give the seed of the hidden inputs"),
        ('{"seed": 4}', "is damaged"),
        ('{"seed": "x", "lesson": "02"}', "is damaged"),
    ],
)
def test_marks_of_another_lesson_are_not_overwritten(tmp_path, capsys, kept, said):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / SEED_FILE).write_text(kept)
    call = ["grade", str(tmp_path / "in"), "--lesson", "02", "--out", str(tmp_path / "out")]
    assert main(call) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "out" / SEED_FILE).read_text() == kept


@needs_jail
def test_a_worker_that_is_lost_costs_its_notebook_only(tmp_path, monkeypatch):
    """The cluster gives up one notebook; the next run grades it."""
    from utils.grading import batch

    a_class(tmp_path / "in", 2)
    real = batch._cluster

    @contextlib.contextmanager
    def failing(workers, scheduler):
        with real(workers, scheduler) as client:
            first = client.map

            def some_fail(function, units, **options):
                def lost(unit):
                    if "# 0" in "".join(unit[1].code):
                        raise RuntimeError("the worker died")
                    return function(unit)

                return first(lost, units, **options)

            client.map = some_fail
            yield client

    monkeypatch.setattr(batch, "_cluster", failing)
    marks = grade(tmp_path / "in", tmp_path / "out", "--workers", "2")
    assert marks["s00"]["points"] == "" and "the worker died" in marks["s00"]["why"]
    assert marks["s01"]["points"] == "8"
    monkeypatch.setattr(batch, "_cluster", real)
    assert grade(tmp_path / "in", tmp_path / "out")["s00"]["points"] == "8"


def test_a_folder_that_is_empty_or_not_there_is_said(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    call = ["--lesson", "02", "--out", str(tmp_path / "out"), "--seed", "3"]
    assert main(["grade", str(tmp_path / "in"), *call]) == 2
    assert "There are no notebooks" in capsys.readouterr().out
    assert main(["grade", str(tmp_path / "nowhere"), *call]) == 2
    assert "There is no folder" in capsys.readouterr().err


# -- what is written -------------------------------------------------------------------------------


@needs_jail
def test_a_spreadsheet_takes_no_name_for_a_formula(tmp_path):
    hand_in(tmp_path / "in", "=HYPERLINK(1)", solved())
    hand_in(tmp_path / "in", "@rosa", b"")
    marks = grade(tmp_path / "in", tmp_path / "out")
    assert marks.keys() == {"'=HYPERLINK(1)", "'@rosa"}


def test_file_names_of_students_are_safe_and_differ():
    names = [
        "anna",
        "Anna",
        "../../etc/passwd",
        "a b",
        "a_b",
        "é",
        "",
        ".",
        "..",
        "x" * 300,
        "con/",
    ]
    made = [reports.file_name(name) for name in names]
    assert len({name.lower() for name in made}) == len(names)
    assert all(re.fullmatch(r"[\w-][\w.-]*", name) and len(name) < 90 for name in made)
    assert made[0] == "anna"


@needs_jail
def test_the_pages_say_what_was_asked_what_came_and_what_needs_a_person(tmp_path):
    wrong = "def my_recall_at_k(a, b, k):\n    return len(set(a[:k]) & b) / k"
    own = {"q2_1": wrong, "q2_5": "I would count <b>both</b> kinds."}
    hand_in(tmp_path / "in", "sam", answered(own))
    hand_in(tmp_path / "in", "tom", answered(own))
    hand_in(tmp_path / "in", "uma", b"")
    grade(tmp_path / "in", tmp_path / "out")
    page = (tmp_path / "out" / reports.FEEDBACK / "sam.html").read_text(encoding="utf-8")
    assert "6 of 8 points" in page
    assert "Return the share of the relevant ids that are among the first k." in page
    assert "That is precision" in page
    assert "I would count &lt;b&gt;both&lt;/b&gt; kinds." in page
    report = (tmp_path / "out" / reports.REPORT).read_text(encoding="utf-8")
    assert "3 students handed something in; 2 have marks" in report
    assert "Points of 8: median 6, the middle half between 6 and 6." in report
    assert re.search(r"<td>q2_1</td><td>You divide by k.*</td><td>2</td>", report)
    assert "sam, tom" in report
    assert 'alt="Stacked bars of 2 students' in report
    person = (tmp_path / "out" / reports.FOR_A_PERSON).read_text(encoding="utf-8")
    assert "uma" in person and "The file is empty." in person
    assert person.count("I would count") == 2
    for text in (page, report, person):
        assert "my_recall_at_k(ranked_ids" not in text  # no solution


# -- plain values ----------------------------------------------------------------------------------


def test_every_input_of_every_exercise_crosses_unchanged():
    from utils.differences import difference
    from utils.exercises import all_exercises

    for exercise in all_exercises():
        for case in exercise.inputs(11):
            back = wire.unpack(json.loads(json.dumps(wire.pack(case))))
            assert difference(case, back, 0.0) is None
            assert [type(part) for part in back] == [type(part) for part in case]


@pytest.mark.parametrize(
    "packed",
    [
        {"array": ["object", [1], [1]]},
        {"array": ["float64", [10**9, 10**9], [1]]},
        {"array": ["int8", [1], [1000]]},
        {"array": [1]},
        {"dict": [[[1], 2]]},
        {"set": [[1]]},
        {"dict": 3},
        {"nonsense": 1},
        {"a": 1, "b": 2},
        {"complex": ["x"]},
        {"tensor": ["os.system", [1], [1]]},
    ],
)
def test_what_is_no_value_of_ours_is_refused(packed):
    with pytest.raises(wire.WireError):
        wire.unpack(packed)


def test_an_outcome_crosses_with_its_error():
    for error in (KeyError("no such"), ValueError("wrong"), NotImplementedError("later")):
        there = wire.pack_outcome(Outcome(error=error, line="\nYour line 3"))
        back = wire.unpack_outcome(json.loads(json.dumps(there)))
        assert type(back.error) is type(error) and str(back.error) == str(error)
        assert back.line == "\nYour line 3"
    strange = wire.unpack_outcome(
        wire.pack_outcome(Outcome(error=type("Odd!", (Exception,), {})()))
    )
    assert type(strange.error).__name__ == "Odd"
    for damaged in (None, [], {}, {"value": 1}, {**wire.pack_outcome(Outcome(1)), "changed": "no"}):
        with pytest.raises(wire.WireError):
            wire.unpack_outcome(damaged)


def test_a_forged_reply_that_is_too_deep_is_refused():
    nested: object = 1
    for _ in range(900):
        nested = [nested]
    with pytest.raises(wire.WireError):
        wire.unpack_outcome({**wire.pack_outcome(Outcome(1)), "value": nested})
