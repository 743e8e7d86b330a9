"""What runs in the jail: it takes tasks, one line each, and says what the answers did.

Each task has a process of its own, forked from this one, which never runs an answer itself: what an
answer patches or breaks is gone with its process. This process knows one task at a time and never
what is right.

A task: {"key", "function", "kind", "task", "code", "others", "cases", "observe", "seconds"}, see
`utils.grading.marking`. The reply: {"key", "reply": text of the answer's process, "how": "done",
"time", "large", "exit N" or "signal N"}.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import importlib
import json
import linecache
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence

import psutil

from utils import observing, wire
from utils.judging import Outcome, as_function, call

PR_SET_DUMPABLE = 4  # of Linux's prctl(2)
SLOW_IMPORTS = ("torch", "pandas", "scipy.stats")  # loaded once, here, when an answer names one
CELL = "the answer's cell"


def main() -> None:
    limits = json.loads(sys.argv[1])
    if limits["jailed"]:
        _become_nobody(limits["user"])
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    _say(answers, {"ready": True})
    for line in orders:
        task = json.loads(line)
        for module in SLOW_IMPORTS:
            if module.split(".")[0] in task["code"] and module not in sys.modules:
                with contextlib.suppress(ImportError):
                    importlib.import_module(module)
        reply, how = _in_own_process(task, limits, close=(orders.fileno(), answers.fileno()))
        _say(answers, {"key": task["key"], "reply": reply, "how": how})


def _become_nobody(user: int) -> None:
    """Give up the administrator's rights, if there are any, and hide this process's memory."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    # An answer's process has the same user; it may end this one, but not read or change it.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _say(answers, message: dict) -> None:
    answers.write(json.dumps(message).encode() + b"\n")
    answers.flush()


def _in_own_process(task: dict, limits: dict, close: Sequence[int]) -> tuple[str, str]:
    """The reply of a process that runs the answer, and how it ended."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            os.chdir(os.environ["HOME"])  # where it may write; no module is imported from there
            for handle in (read_end, *close):
                os.close(handle)
            _limit(task, limits)
            text = json.dumps(_answer(task)).encode() + b"\n"
            while text:
                text = text[os.write(write_end, text) :]
        finally:
            os._exit(0)
    os.close(write_end)
    try:
        reply, how = _read_reply(read_end, task["seconds"], limits["answer_bytes"])
    finally:
        os.close(read_end)
    status = _ended_by_itself(child) if how == "gone" else None
    _kill_the_rest(child, limits["jailed"])
    if status is None:
        _, status = os.waitpid(child, 0)
    if how != "gone":
        return reply, how
    if os.WIFSIGNALED(status):
        return "", f"signal {os.WTERMSIG(status)}"
    return "", f"exit {os.WEXITSTATUS(status)}"


def _read_reply(handle: int, seconds: float, most: int) -> tuple[str, str]:
    """Read up to the end of a line, for so many seconds and so many bytes at most."""
    read, until = b"", time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([handle], [], [], left)[0]:
            return "", "time"
        part = os.read(handle, 1 << 16)
        if not part:
            return "", "gone"
        read += part
        if b"\n" in part:
            return read.split(b"\n", 1)[0].decode(errors="replace"), "done"
        if len(read) > most:
            return "", "large"


def _ended_by_itself(child: int) -> int | None:
    """The exit status of a process that fell silent; None if it does not end within a second."""
    until = time.monotonic() + 1
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.005)
    return None


def _kill_the_rest(child: int, jailed: bool) -> None:
    """End the answer's process and all that it started."""
    if jailed and os.getpid() != 1 and _first_process() == "bwrap":
        # Everything that this process may signal, which in the jail's own numbering of processes
        # is the answer's alone; the jail's first process is spared.
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        return
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)


def _first_process() -> str:
    with open("/proc/1/comm") as file:
        return file.read().strip()


def _limit(task: dict, limits: dict) -> None:
    seconds = int(task["seconds"]) + 1
    memory = psutil.Process().memory_info().vms + limits["memory_bytes"]
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        if most < 0:
            continue
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(what, (most, most))
        except (ValueError, OSError):  # macOS knows not all of them
            if limits["jailed"]:
                raise


def _answer(task: dict) -> dict:
    """What the answer did with each case, or what stands in the way, in words."""
    reply = _try(task, {})
    if reply.pop("name_missing") and task["others"]:
        namespace: dict = {}
        for source in task["others"]:
            _define(source, namespace)
        reply = _try(task, namespace)
        reply.pop("name_missing")
    return reply


def _try(task: dict, namespace: dict) -> dict:
    problem, outcomes, name_missing = "", [], False
    namespace |= {"__name__": "__main__", "display": _nothing, "get_ipython": _NoNotebook}
    try:
        _run_cell(task["code"], namespace)
        cases = [wire.unpack(case) for case in task["cases"]]
        if task["function"] not in namespace:
            problem = f"not yet: `{task['function']}` is not defined in its cell."
        else:
            named = task["function"], task["kind"], task["task"]
            function, problem = as_function(*named, namespace[task["function"]], cases[0])
        if not problem:
            observe = task["observe"] and getattr(observing, task["observe"])
            outcomes = [_packed(call(function, case, observe)) for case in cases]
            name_missing = any(outcome["error"] == "NameError" for outcome in outcomes)
    except BaseException as error:
        name_missing = isinstance(error, NameError)
        problem = f"not yet: its cell stops with `{type(error).__name__}`: {_first_words(error)}"
    return {"problem": problem, "outcomes": outcomes, "name_missing": name_missing}


def _packed(outcome: Outcome) -> dict:
    try:
        return wire.pack_outcome(outcome)
    except wire.WireError as error:
        return wire.pack_outcome(
            Outcome(error=ValueError(f"what it returns can't be read: {error}"))
        )


def _run_cell(source: str, namespace: dict) -> None:
    try:
        code = compile(source, CELL, "exec")
    except SyntaxError:
        source = _without_magics(source)
        code = compile(source, CELL, "exec")
    linecache.cache[CELL] = (len(source), None, source.splitlines(keepends=True), CELL)
    exec(code, namespace)


def _without_magics(source: str) -> str:
    """The cell as plain Python: `%matplotlib inline` and the like become calls."""
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(source)


def _define(source: str, namespace: dict) -> None:
    """Of another cell, its imports, functions, classes and constants; what fails is left out."""
    try:
        tree = ast.parse(_without_magics(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for part in tree.body:
        if not _is_definition(part):
            continue
        with contextlib.suppress(Exception, SystemExit):
            exec(compile(ast.Module([part], []), "another cell", "exec"), namespace)


def _is_definition(part: ast.stmt) -> bool:
    if isinstance(part, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
        return True
    if not isinstance(part, ast.Assign):
        return False
    try:
        ast.literal_eval(part.value)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return False
    return True


def _first_words(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())[:200]
    except Exception:
        return ""


def _nothing(*arguments, **options) -> None:
    """Stands for what a notebook shows; nobody looks here."""


class _NoNotebook:
    """Stands for the notebook's own object, which magics and widgets ask for."""

    def __getattr__(self, name: str) -> Callable:
        return _nothing


if __name__ == "__main__":
    main()
