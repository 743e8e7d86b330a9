"""What was handed in: notebooks in folders and archives, as strangers save and name them.

Nothing is unpacked to disk, no link is followed, and a notebook's code is text here: it is neither
run nor parsed.
"""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from utils.exercises import all_exercises
from utils.judging import Exercise
from utils.wire import WireError, read_json

LARGEST_MB = 50  # of one notebook; its outputs are most of that
MOST_FILES, MOST_MB = 5000, 5000  # in one archive, unpacked
DEEPEST = 4  # folders below a student's own
OTHER_ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz")
NO_NOTEBOOK = "It is neither a notebook (.ipynb) nor an archive of notebooks (.zip)."
SKIPPED = (".ipynb_checkpoints", "__MACOSX", ".git")


@dataclass(frozen=True)
class Notebook:
    """A notebook as text. cells: kind, source and grade id ("" where it has none) of each."""

    cells: tuple[tuple[str, str, str], ...] = ()
    problem: str = ""

    @property
    def code(self) -> list[str]:
        """The sources of its code cells."""
        return [source for kind, source, _ in self.cells if kind == "code"]


@dataclass(frozen=True)
class Handed:
    """One file that was handed in.

    student: the name of its folder, or what its name says. shown: its path below the folder of
    all, as it is shown. modified: when, in ISO 8601. notebook: what is in it, or a problem.
    """

    student: str
    shown: str
    modified: str
    notebook: Notebook


@dataclass(frozen=True)
class Found:
    """An answer in a notebook, or why there is none; `note` says what was unusual."""

    source: str = ""
    missing: str = ""
    note: str = ""


@dataclass(frozen=True)
class Submission:
    """What one student handed in for a lesson: one notebook, or a problem in words.

    notes: what a person should know, such as other notebooks of the same student.
    """

    student: str
    shown: str
    notebook: Notebook
    problem: str = ""
    notes: tuple[str, ...] = field(default=())

    def identity(self) -> str:
        """A hash of all that the marks depend on."""
        return hashlib.sha256(repr((self.notebook, self.problem)).encode()).hexdigest()


def submissions(folder: Path, lesson: str, exercises: Sequence[Exercise]) -> list[Submission]:
    """One for each student who handed something in, by name.

    lesson: the stem of the lesson's notebook, such as "02_build_a_retriever". Raises
    NotADirectoryError.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"There is no folder {folder}.")
    by_student: dict[str, list[Handed]] = {}
    for handed in _files(folder, lesson):
        by_student.setdefault(handed.student, []).append(handed)
    return [_choose(by_student[student], exercises) for student in sorted(by_student)]


def read_notebook(content: bytes) -> Notebook:
    """The notebook's cells, or what is wrong with it in words. Version 4 and, as far as it goes, 3.

    What Colab, VS Code and JupyterLab write is read alike: a source may be a text or a list.
    """
    if not content.strip():
        return Notebook(problem="The file is empty.")
    try:
        read = read_json(content)
    except WireError:
        return Notebook(problem="The file is no notebook: it is not JSON, or is damaged.")
    if not isinstance(read, dict):
        return Notebook(problem="The file is no notebook.")
    cells = read.get("cells")
    if cells is None and isinstance(read.get("worksheets"), list):
        return Notebook(problem="The notebook has an old format (3). Save it anew in JupyterLab.")
    if not isinstance(cells, list):
        return Notebook(problem="The file is no notebook: it has no cells.")
    return Notebook(tuple(_cell(cell) for cell in cells if isinstance(cell, dict)))


def find_answer(notebook: Notebook, exercise: Exercise) -> Found:
    """The cell that answers the exercise: by its grade id, else by the name that it defines.

    Of several with the id, the last one that defines the name counts, as it would in a notebook
    that is run from the top.
    """
    defines = re.compile(rf"^(?:(?:async )?def|class) {exercise.function}\b", re.MULTILINE)
    assigns = re.compile(rf"^{exercise.function}\b[^=\n]*=[^=]", re.MULTILINE)

    def names(source: str) -> bool:
        return bool(defines.search(source) or assigns.search(source))

    code = [(source, grade_id) for kind, source, grade_id in notebook.cells if kind == "code"]
    own = [source for source, grade_id in code if grade_id == exercise.key]
    named = [source for source in own if names(source)]
    if len(own) > 1 and named:
        note = f"{len(own)} cells are marked {exercise.key}; the last that counts was graded"
        return Found(named[-1], note=note)
    if own:
        return Found(own[-1])
    elsewhere = [source for source, _ in code if names(source)]
    if elsewhere:
        return Found(elsewhere[-1], note=f"{exercise.key} was found by the name it defines")
    return Found(missing=f"No cell of the notebook defines `{exercise.function}`.")


def lesson_of(notebook: Notebook) -> int | None:
    """The number of the lesson that most of its exercises belong to; None where it has none."""
    counted: Counter[int] = Counter()
    for _, _, grade_id in notebook.cells:
        if match := re.match(r"q(\d+)_\d+", grade_id):
            counted[int(match[1])] += 1
    if not counted:
        for exercise in all_exercises():
            if find_answer(notebook, exercise).source:
                counted[exercise.lesson] += 1
    return counted.most_common(1)[0][0] if counted else None


# --- one student's files ----------------------------------------------------------------------


def _choose(files: list[Handed], exercises: Sequence[Exercise]) -> Submission:
    """The newest notebook with an answer to one of the exercises, or why there is none."""
    student = files[0].student
    fitting, problems = [], []
    for handed in sorted(files, key=lambda handed: (handed.modified, handed.shown)):
        notebook = handed.notebook
        if not notebook.problem and any(find_answer(notebook, e).source for e in exercises):
            fitting.append((handed, notebook))
        else:
            problems.append((handed, notebook.problem or _no_answer(notebook, exercises)))
    if not fitting:
        handed, problem = max(problems, key=lambda one: one[1] != NO_NOTEBOOK)
        return Submission(student, handed.shown, Notebook(), problem)
    handed, notebook = fitting[-1]
    others = [other.shown for other, _ in fitting[:-1]]
    notes = [f"{len(others)} older notebooks of the same lesson: {', '.join(others)}"] * bool(
        others
    )
    notes += [f"{o.shown}: {problem}" for o, problem in problems if problem != NO_NOTEBOOK]
    return Submission(student, handed.shown, notebook, notes=tuple(notes))


def _no_answer(notebook: Notebook, exercises: Sequence[Exercise]) -> str:
    lesson = exercises[0].lesson
    found = lesson_of(notebook)
    if found is not None and found != lesson:
        return f"This is lesson {found:02d}'s notebook, not lesson {lesson:02d}'s."
    return f"No exercise of lesson {lesson:02d} is in the notebook: its cells were deleted."


def _cell(cell: dict) -> tuple[str, str, str]:
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    grade_id = ""
    for place in ((cell.get("metadata"), "nbgrader"), (cell, "metadata")):
        holder = place[0].get(place[1]) if isinstance(place[0], dict) else None
        if isinstance(holder, dict) and isinstance(holder.get("grade_id"), str):
            grade_id = holder["grade_id"]
    if not grade_id and isinstance(cell.get("id"), str):
        grade_id = cell["id"]  # our lessons' cells have their grade id for an id
    kind = cell.get("cell_type")
    return (
        kind if isinstance(kind, str) else "",
        source if isinstance(source, str) else "",
        grade_id,
    )


# --- files and archives -----------------------------------------------------------------------


def _files(folder: Path, lesson: str) -> Iterator[Handed]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part in SKIPPED for part in inside.parts) or len(inside.parts) > DEEPEST + 1:
            continue
        suffix = path.suffix.lower()
        student, shown = _student(inside.parts, lesson), str(inside)
        known = suffix in (".ipynb", ".zip")
        if path.is_dir() and not path.is_symlink() and not known:
            continue
        if len(inside.parts) == 1 and not (known or path.is_dir() or suffix in OTHER_ARCHIVES):
            continue  # a list of the class, a note of the instructor's
        steps = range(1, len(inside.parts) + 1)
        if any(folder.joinpath(*inside.parts[:step]).is_symlink() for step in steps):
            yield Handed(
                student, shown, "", Notebook(problem="It is a link, which is not followed.")
            )
        elif not known:
            yield Handed(student, shown, "", Notebook(problem=NO_NOTEBOOK))
        elif suffix == ".zip":
            yield from _archive(path, inside, lesson)
        else:
            yield _file(path, student, shown)


def _file(path: Path, student: str, shown: str) -> Handed:
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            return Handed(student, shown, "", Notebook(problem="It is no file."))
        modified = _iso(about.st_mtime)
        if about.st_size > LARGEST_MB * 10**6:
            return Handed(student, shown, modified, Notebook(problem=_too_large(about.st_size)))
        return Handed(student, shown, modified, read_notebook(path.read_bytes()))
    except OSError as error:
        return Handed(student, shown, "", Notebook(problem=f"It can't be read: {error.strerror}."))


def _archive(path: Path, inside: PurePosixPath | Path, lesson: str) -> Iterator[Handed]:
    """The notebooks in an archive: of one student, or of a class with a folder or name for each."""
    whole = _student(inside.parts, lesson)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.lower().endswith(".ipynb")]
            if len(archive.infolist()) > MOST_FILES:
                raise zipfile.BadZipFile(f"more than {MOST_FILES} files")
            if (size := sum(member.file_size for member in members)) > MOST_MB * 10**6:
                raise zipfile.BadZipFile(f"it would unpack to {size / 1e9:.0f} GB")
            if not members:
                yield Handed(
                    whole, str(inside), "", Notebook(problem="The archive holds no notebook.")
                )
            for member in members:
                yield _member(archive, member, inside, lesson, alone=len(members) == 1)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        yield Handed(
            whole, str(inside), "", Notebook(problem=f"The archive can't be read: {error}.")
        )


def _member(archive, member: zipfile.ZipInfo, inside, lesson: str, alone: bool) -> Handed:
    parts = [part for part in PurePosixPath(member.filename).parts if part not in ("/", "..", ".")]
    of_class = len(inside.parts) == 1 and not alone
    student = _student(parts, lesson) if of_class and parts else _student(inside.parts, lesson)
    shown = f"{inside}/{'/'.join(parts)}"
    year, *rest = member.date_time
    modified = "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}".format(year, *rest)
    if any(part in SKIPPED for part in parts):
        return Handed(
            student, shown, modified, Notebook(problem="It is a copy that an editor made.")
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        return Handed(
            student, shown, modified, Notebook(problem="It is a link, which is not followed.")
        )
    if member.file_size > LARGEST_MB * 10**6:
        return Handed(student, shown, modified, Notebook(problem=_too_large(member.file_size)))
    try:
        with archive.open(member) as opened:
            content = opened.read(LARGEST_MB * 10**6 + 1)
    except Exception as error:  # encrypted, damaged, or packed in a way that Python lacks
        return Handed(student, shown, modified, Notebook(problem=f"It can't be read: {error}."))
    if len(content) > LARGEST_MB * 10**6:
        return Handed(student, shown, modified, Notebook(problem=_too_large(len(content))))
    return Handed(student, shown, modified, read_notebook(content))


def _student(parts: Sequence[str], lesson: str) -> str:
    """Whose a file is: its first folder's, else what its name says beside the lesson's.

    "anna/02_build_a_retriever.ipynb" and "anna_02_build_a_retriever (1).ipynb" are anna's.
    """
    if len(parts) > 1:
        return parts[0]
    stem = PurePosixPath(parts[0]).stem
    before, found, after = stem.partition(lesson)
    if not found:
        return stem
    own = before.strip(" _-.") or re.sub(r"\(\d+\)|copy|Copy\d*", "", after).strip(" _-.")
    return own or stem


def _too_large(size: int) -> str:
    return (
        f"The notebook has {size / 1e6:.0f} MB; up to {LARGEST_MB} MB are read. Clear its outputs "
        "(Edit > Clear Outputs of All Cells), save it and hand it in again."
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
