"""What comes of a batch: marks for the course's list, a page for each student, one for the teacher.

Every text that a student may have written is shown as text: the pages hold no script and allow
none. Feedback quotes public inputs only, no hidden one and no solution.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from utils.grading.batch import Graded
from utils.grading.lessons import Essay, Lesson
from utils.grading.marking import MISSING, NOT_ANSWERED, RIGHT, STATUSES, STOPPED, WRONG, Mark
from utils.judging import exercise_number
from utils.work import write_whole

MARKS, REPORT, FOR_A_PERSON, FEEDBACK = "marks.csv", "report.html", "for_a_person.html", "feedback"
SIGNS = {RIGHT: "✓", WRONG: "✗", NOT_ANSWERED: "–", MISSING: "?", STOPPED: "■"}
LONGEST_NAME = 60  # letters of a file name made of a student's
LONGEST_ESSAY = 20_000  # characters that are shown of an answer in words

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff }}
table {{ border-collapse: collapse; width: 100%; margin: 1rem 0 }}
th, td {{ text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid #ccc }}
td.number, th.number {{ text-align: right }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; background: #f3f3f3; padding: .6rem .8rem;
  margin: .4rem 0 }}
section {{ border-top: 1px solid #ccc; margin-top: 1.5rem }}
img {{ max-width: 100%; height: auto }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def write_all(lesson: Lesson, batch: Sequence[Graded], out: Path) -> list[Path]:
    """Write marks, feedback and reports into `out`; returns the files, feedback last."""
    feedback = out / FEEDBACK
    feedback.mkdir(parents=True, exist_ok=True)
    pages = {
        out / MARKS: marks_csv(lesson, batch),
        out / REPORT: report_page(lesson, batch),
        out / FOR_A_PERSON: person_page(lesson, batch),
    }
    for graded in batch:
        page = feedback_page(lesson, graded)
        pages[feedback / f"{file_name(graded.student)}.html"] = page
    for path, text in pages.items():
        write_whole(path, text)
    return list(pages)


def file_name(student: str) -> str:
    """A safe name for a student's file; where letters had to go, a hash keeps names apart."""
    safe = re.sub(r"[^\w.-]+", "_", student).strip("._")[:LONGEST_NAME]
    if safe and safe == student == student.lower():
        return safe
    digest = hashlib.sha256(student.encode(errors="replace")).hexdigest()[:8]
    return f"{safe}-{digest}" if safe else digest


# --- marks.csv --------------------------------------------------------------------------------


def marks_csv(lesson: Lesson, batch: Sequence[Graded]) -> str:
    """One row for each student; cells are empty, not 0, where there are no marks yet."""
    keys = [exercise.key for exercise in lesson.exercises]
    essays = [essay.key for essay in lesson.essays]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["student", "file", "points", "of", *keys, *essays, "why"])
    for graded in batch:
        by_key = {mark.key: _number(mark.points) for mark in graded.marks}
        row = [_cell(graded.student), _cell(graded.submission.shown)]
        row += ["" if graded.problem else _number(graded.points), _number(lesson.points)]
        row += [by_key.get(key, "") for key in keys]
        row += ["" for _ in essays]
        stopped = [f"{m.key}: {m.message}" for m in graded.marks if m.status in (STOPPED, MISSING)]
        table.writerow([*row, _cell(graded.problem or " ".join(stopped))])
    return text.getvalue()


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text


def _number(points: float) -> str:
    return f"{points:g}"


# --- a student's page -------------------------------------------------------------------------


def feedback_page(lesson: Lesson, graded: Graded) -> str:
    """What was asked, what came and where to look next, for one student."""
    body = [f"<h1>{_text(lesson.title)}</h1>", f"<p>{_text(graded.student)}, "]
    body.append(f"<code>{_text(graded.submission.shown)}</code></p>")
    if graded.problem:
        body.append(f"<p><strong>Not graded yet.</strong> {_text(graded.problem)}</p>")
        body.append("<p>A person will look at it; no points are lost by this.</p>")
        return _page(f"Feedback: {lesson.title}", body)
    body.append(
        f"<p><strong>{_number(graded.points)} of {_number(lesson.points)} points</strong> for the "
        "exercises that a program checks."
    )
    if lesson.essays:
        body.append(f" {len(lesson.essays)} more, in words, is read by a person.")
    body.append("</p>")
    for exercise, mark in zip(lesson.exercises, graded.marks, strict=True):
        body.append(_exercise_section(exercise, mark))
    for essay in lesson.essays:
        answer = essay_answer(essay, graded)
        body.append(f"<section><h2>Exercise {exercise_number(essay.key)}: in words</h2>")
        body.append(_shown_essay(answer))
        body.append("</section>")
    return _page(f"Feedback: {lesson.title}", body)


def _exercise_section(exercise, mark: Mark) -> str:
    parts = [
        f"<section><h2>Exercise {exercise_number(mark.key)}: {_text(exercise.title)}</h2>",
        f"<p>{SIGNS[mark.status]} {_text(mark.status)}: {_number(mark.points)} of "
        f"{_number(mark.of)} points</p>",
        f"<p>Asked: {_text(exercise.task)}</p>",
    ]
    if mark.status not in (RIGHT, NOT_ANSWERED):
        parts.append(_pre(mark.message))
    if mark.status != RIGHT and not mark.mistake:
        parts.append(
            "<p>Where to look: the hints unfold below the exercise's check in the lesson.</p>"
        )
    return "\n".join([*parts, "</section>"])


def essay_answer(essay: Essay, graded: Graded) -> str | None:
    """What a student wrote in the cell of a question in words; "" where nothing was.

    The cell is found by its grade id, else it is the one below the question, unless that is the
    lesson's own next heading or fold. None: it is not there.
    """
    cells = graded.submission.notebook.cells
    found = [source for _, source, grade_id in cells if grade_id == essay.key]
    if not found:
        heading = essay.question.split("\n", 1)[0]
        below = [after[1] for asked, after in pairwise(cells) if heading in asked[1].split("\n")]
        found = [source for source in below if not source.startswith(("#", "<details"))]
    if not found:
        return None
    written = [source for source in found if source.strip() not in ("", essay.stub.strip())]
    return written[-1][:LONGEST_ESSAY] if written else ""


def _shown_essay(answer: str | None) -> str:
    if answer is None:
        return "<p>The cell of the answer was not found in the notebook.</p>"
    return _pre(answer) if answer else "<p>There is no answer in the cell.</p>"


# --- the instructor's pages -------------------------------------------------------------------


def report_page(lesson: Lesson, batch: Sequence[Graded]) -> str:
    """The class at a glance: points, each question's outcomes, common mistakes, time."""
    marked = [graded for graded in batch if not graded.problem]
    body = [f"<h1>{_text(lesson.title)}: the class</h1>"]
    body.append(
        f"<p>{len(batch)} students handed something in; {len(marked)} have marks, "
        f"{len(batch) - len(marked)} need a person first "
        f'(<a href="{FOR_A_PERSON}">who and why</a>).</p>'
    )
    if marked:
        points = [graded.points for graded in marked]
        quarters = (
            statistics.quantiles(points, n=4, method="inclusive") if points[1:] else points * 3
        )
        body.append(
            f"<p>Points of {_number(lesson.points)}: median {statistics.median(points):g}, the "
            f"middle half between {quarters[0]:g} and {quarters[2]:g}.</p>"
        )
        body.append(_outcomes_figure(lesson, marked))
        body.append(_outcomes_table(lesson, marked))
        body.append(_mistakes(lesson, marked))
        body.append(_twins(marked))
    return _page(f"{lesson.title}: the class", body)


def _outcomes_figure(lesson: Lesson, marked: Sequence[Graded]) -> str:
    from utils.plots import PALETTE, figure_html, new_axes

    counts = _counts(marked)
    keys = [exercise.key for exercise in lesson.exercises]
    figure, ax = new_axes(
        "What became of each question", "students (count)", "question", height=1.2 + 0.5 * len(keys)
    )
    left = [0] * len(keys)
    for status, colour in zip(STATUSES, PALETTE, strict=False):
        row = [counts[key][status] for key in keys]
        if any(row):
            ax.barh(keys, row, left=left, color=colour, label=f"{SIGNS[status]} {status}")
        left = [a + b for a, b in zip(left, row, strict=True)]
    ax.invert_yaxis()
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    right = ", ".join(f"{key} {counts[key][RIGHT]}" for key in keys)
    return figure_html(
        figure,
        alt=f"Stacked bars of {len(marked)} students for each question. Right: {right}.",
    )


def _outcomes_table(lesson: Lesson, marked: Sequence[Graded]) -> str:
    counts = _counts(marked)
    seconds = defaultdict(list)
    for graded in marked:
        for mark in graded.marks:
            seconds[mark.key].append(mark.seconds)
    heads = ["question", *STATUSES, "seconds (median, longest)"]
    rows = []
    for exercise in lesson.exercises:
        times = seconds[exercise.key]
        row = [f"{exercise.key}: {exercise.title}"]
        row += [str(counts[exercise.key][status]) for status in STATUSES]
        rows.append([*row, f"{statistics.median(times):.2f}, {max(times):.2f}"])
    return _table(heads, rows)


def _mistakes(lesson: Lesson, marked: Sequence[Graded]) -> str:
    found = Counter(
        (mark.key, mark.mistake) for graded in marked for mark in graded.marks if mark.mistake
    )
    if not found:
        return ""
    rows = [[key, words, str(count)] for (key, words), count in found.most_common()]
    return "<h2>Common mistakes</h2>" + _table(["question", "what they read", "students"], rows)


def _twins(marked: Sequence[Graded]) -> str:
    """Students whose notebooks hold the very same cells."""
    alike = defaultdict(list)
    for graded in marked:
        alike[graded.submission.identity()].append(graded.student)
    rows = [[", ".join(students)] for students in alike.values() if len(students) > 1]
    if not rows:
        return ""
    return "<h2>Notebooks alike in every cell</h2>" + _table(["students"], rows)


def person_page(lesson: Lesson, batch: Sequence[Graded]) -> str:
    """What a program can't decide: notebooks without marks, what was unusual, answers in words."""
    body = [f"<h1>{_text(lesson.title)}: what needs a person</h1>"]
    problems = [[g.student, g.submission.shown, g.problem] for g in batch if g.problem]
    body.append("<h2>No marks yet</h2>")
    body.append(_table(["student", "file", "why"], problems) if problems else "<p>Nobody.</p>")
    unusual = [[graded.student, words] for graded in batch for words in _unusual(graded)]
    body.append("<h2>Marked, but worth a look</h2>")
    body.append(_table(["student", "what"], unusual) if unusual else "<p>Nothing.</p>")
    for essay in lesson.essays:
        body.append(f"<h2>{_text(essay.key)}, in words: up to {_number(essay.points)} points</h2>")
        body.append(_pre(essay.question))
        if essay.scheme:
            body.append(f"<h3>Mark scheme</h3>{_pre(essay.scheme)}")
        for graded in batch:
            answer = essay_answer(essay, graded)
            if not graded.problem:
                body.append(f"<h3>{_text(graded.student)}</h3>")
                body.append(_shown_essay(answer))
    return _page(f"{lesson.title}: what needs a person", body)


def _unusual(graded: Graded) -> Iterable[str]:
    yield from graded.submission.notes
    for mark in graded.marks:
        if mark.note or mark.status == MISSING:
            yield f"{mark.key}: {mark.note or mark.message}"


def _counts(marked: Sequence[Graded]) -> dict[str, Counter]:
    counts: dict[str, Counter] = defaultdict(Counter)
    for graded in marked:
        for mark in graded.marks:
            counts[mark.key][mark.status] += 1
    return counts


# --- HTML -------------------------------------------------------------------------------------


def _text(words: str) -> str:
    return html.escape(words, quote=True)


def _pre(words: str) -> str:
    return f"<pre>{_text(words)}</pre>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<table><thead><tr>"]
    lines += [f'<th scope="col">{_text(head)}</th>' for head in heads]
    lines.append("</tr></thead><tbody>")
    for row in rows:
        lines.append("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _page(title: str, body: Sequence[str]) -> str:
    return PAGE.format(title=_text(title), body="\n".join(body))
