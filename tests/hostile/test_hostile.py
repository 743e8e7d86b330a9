"""Notebooks that attack the grader, for real: honest answers keep their marks, the host its files.

One batch holds every hostile notebook and two honest ones. Each hostile answer stands in exercise
2.2, beside honest answers to 2.1, 2.3 and 2.4.
"""

from __future__ import annotations

import csv
import hashlib
import html
import http.server
import re
import threading
from pathlib import Path

import psutil
import pytest

from tests.hostile.class_folder import answered, hand_in, solved, untouched
from tests.hostile.kinds import KINDS
from utils.grading.__main__ import main
from utils.grading.jail import COURSE, why_no_jail
from utils.grading.reports import FEEDBACK, file_name

pytestmark = pytest.mark.skipif(bool(why_no_jail()), reason=why_no_jail() or "there is a jail")

SEED, SECONDS = 41, 2
HONEST = {"aaron": (solved, "8"), "zoe": (untouched, "0")}  # first and last of the class


class Batch:
    """The graded class, and what the host was like before and after."""

    def __init__(self, folder: Path) -> None:
        self.submissions, self.out = folder / "submissions", folder / "marks"
        self.mark = (
            Path("/tmp") / f"hostile-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
        )
        self.visits: list[str] = []
        for student, (notebook, _) in HONEST.items():
            hand_in(self.submissions, student, notebook())
        with self._listening() as port:
            for name, kind in KINDS.items():
                code = kind.code.replace("MARK", str(self.mark)).replace("PORT", str(port))
                code = code.replace("SUBMISSIONS", str(self.submissions / "aaron"))
                hand_in(self.submissions, name.replace("/", "-"), answered({"q2_2": code}))
            self.before = self._host()
            self.status = self.grade(self.out)
            self.after = self._host()

    def grade(self, out: Path) -> int:
        call = ["grade", str(self.submissions), "--lesson", "02", "--out", str(out)]
        return main([*call, "--seed", str(SEED), "--seconds", str(SECONDS), "--memory", "1"])

    def rows(self) -> dict[str, dict[str, str]]:
        text = (self.out / "marks.csv").read_text(encoding="utf-8")
        return {row["student"]: row for row in csv.DictReader(text.splitlines())}

    def feedback(self, student: str) -> str:
        return (self.out / FEEDBACK / f"{file_name(student)}.html").read_text(encoding="utf-8")

    def _listening(self):
        batch = self

        class Visited(http.server.BaseHTTPRequestHandler):
            def handle(self) -> None:
                batch.visits.append(str(self.client_address))

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Visited)

        class Listening:
            def __enter__(self) -> int:
                threading.Thread(target=server.serve_forever, daemon=True).start()
                return server.server_address[1]

            def __exit__(self, *error) -> None:
                server.shutdown()
                server.server_close()

        return Listening()

    def _host(self) -> dict:
        """The course's and the students' files by content, and our own processes."""
        own = psutil.Process()
        return {
            "files": {
                str(path): hashlib.sha256(path.read_bytes()).hexdigest()
                for folder in (COURSE / "utils", COURSE / "datasets", self.submissions)
                for path in sorted(folder.rglob("*"))
                if path.is_file() and "__pycache__" not in path.parts
            },
            "children": [child.name() for child in own.children(recursive=True)],
            "jails": [
                process.pid
                for process in psutil.process_iter(["name", "status"])
                # One that has ended may wait for the system to take note of it.
                if process.info["name"] == "bwrap" and process.info["status"] != "zombie"
            ],
            "temporary": sorted(path.name for path in Path("/tmp").glob("grading-*")),
        }


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> Batch:
    return Batch(tmp_path_factory.mktemp("hostile"))


def test_there_are_at_least_thirty_kinds():
    assert len(KINDS) >= 30


def test_the_batch_goes_through(batch):
    assert batch.status == 0
    assert batch.rows().keys() == HONEST.keys() | {name.replace("/", "-") for name in KINDS}


@pytest.mark.parametrize("student", HONEST)
def test_the_others_keep_their_marks(batch, student):
    row = batch.rows()[student]
    assert row["points"] == HONEST[student][1] and row["why"] == ""


@pytest.mark.parametrize("name", KINDS)
def test_honest_answers_beside_a_hostile_one_keep_their_marks(batch, name):
    row = batch.rows()[name.replace("/", "-")]
    assert [row[key] for key in ("q2_1", "q2_3", "q2_4")] == ["2", "2", "2"]


@pytest.mark.parametrize("name", KINDS)
def test_a_hostile_answer_gets_its_own_mark_and_a_reason(batch, name):
    kind, student = KINDS[name], name.replace("/", "-")
    row = batch.rows()[student]
    assert row["q2_2"] == f"{kind.points:g}"
    shown = section(batch.feedback(student), "q2_2")
    assert re.search(rf"<p>\S ({kind.status}): ", shown), shown
    assert kind.message in html.unescape(shown)


def test_nothing_on_the_host_has_changed(batch):
    assert not batch.mark.exists()
    assert batch.visits == []
    assert batch.after == batch.before


def test_no_page_runs_what_a_student_wrote(batch):
    for page in batch.out.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "default-src 'none'" in text
        assert not re.search(
            r"<script|<iframe|\son\w+=", re.sub(r"<pre>.*?</pre>", "", text, flags=re.S)
        )
        assert "<script" not in text and "<img src=x" not in text


def test_no_page_tells_a_hidden_input(batch):
    """What a thief prints are public inputs; the hidden ones' own numbers stand nowhere."""
    from utils.exercises import find

    hidden = find("q2_2").inputs(SEED)[-1][1].ravel().tolist()
    public = find("q2_2").inputs(0)[-1][1].ravel().tolist()
    assert hidden != public
    stolen = batch.feedback("reads hidden inputs")
    assert "STOLEN" in stolen
    for page in (batch.out / FEEDBACK).glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not all(str(number) in text for number in hidden)


def test_the_thief_would_have_found_the_inputs_of_its_own_process(batch):
    assert "my_nearest" in batch.feedback("reads hidden inputs")


def test_the_grader_s_environment_is_not_told(batch, monkeypatch):
    for student in ("reads the environment", "reads others' environment"):
        shown = section(batch.feedback(student), "q2_2")
        for name in ("SHELL", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST", "SSH_"):
            assert name not in shown


def test_a_second_run_reads_what_is_there_and_says_the_same(batch):
    before = {path.name: path.stat().st_mtime_ns for path in (batch.out / "units").iterdir()}
    marks = (batch.out / "marks.csv").read_text(encoding="utf-8")
    assert batch.grade(batch.out) == 0
    after = {path.name: path.stat().st_mtime_ns for path in (batch.out / "units").iterdir()}
    assert after == before
    assert (batch.out / "marks.csv").read_text(encoding="utf-8") == marks


def section(page: str, key: str) -> str:
    """The part of a feedback page about one exercise."""
    head = f"<h2>Exercise {key.removeprefix('q').replace('_', '.')}:"
    return next(part for part in page.split("<section>") if part.startswith(head))
