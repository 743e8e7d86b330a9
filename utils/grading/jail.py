"""The jail: a process that strangers' answers run in, and that can reach nothing else.

On Linux, bubblewrap (https://github.com/containers/bubblewrap) gives it no network, no files but
Python's and the course's helpers, read-only, and its own numbering of processes; limits hold for
memory, processes, files and time. A jail that can't be set up is an error, never a mark.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from utils.checks import GRADING_VARIABLE
from utils.wire import WireError, read_json

COURSE = Path(__file__).resolve().parent.parent.parent
HOME = "/course"  # where the helpers lie inside
HIDDEN = ("utils/exercises",)  # references and mistakes
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/nix/store")
SECONDS_TO_START = 60.0
SECONDS_TO_END = 0.5
SECONDS_OF_GRACE = 5.0  # in which the jail must speak after an answer's time is over
SECONDS_BETWEEN_LOOKS = 0.2  # at the memory of all processes together
FIRST_USER = 1_900_000_000  # far above the users that a system has
ALL_PROCESSES = 1.5  # times the memory of one
LINE_BYTES = 1 << 16  # of a reply, beside what the answer's own process says


@dataclass(frozen=True)
class Limits:
    """What one answer may take: seconds, memory (10^9 bytes), processes, bytes of files and reply.

    Files lie in memory; `files_mb` holds for all of them together.
    """

    seconds: float = 10.0
    memory_gb: float = 2.0
    processes: int = 32
    files_mb: int = 32
    answer_mb: int = 4


class JailError(RuntimeError):
    """The jail can't be set up; the message says what to do. No mark follows from it."""


class Broken(Exception):
    """The jail ended, or spoke no word of ours, while an answer ran in it."""


def why_no_jail() -> str:
    """In words, why answers can't be locked in on this machine; "" where they can."""
    if not sys.platform.startswith("linux"):
        return "Strangers' notebooks are graded on Linux only: the jail is made with bubblewrap."
    if shutil.which("bwrap") is None:
        return (
            "bubblewrap is missing, which locks strangers' notebooks in. "
            "Install it: sudo apt install bubblewrap (Debian, Ubuntu), sudo dnf install "
            "bubblewrap (Fedora), sudo pacman -S bubblewrap (Arch)."
        )
    return ""


class Jail:
    """A jail that runs tasks one after another: `with Jail(limits) as jail: jail.run(task)`.

    trusted: no jail at all but a plain process, for notebooks that were read before.
    Raises JailError when it can't be set up.
    """

    def __init__(self, limits: Limits = Limits(), trusted: bool = False) -> None:
        self.limits = limits
        if not trusted and (reason := why_no_jail()):
            raise JailError(reason)
        self._scratch = tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 closed in close()
        self._read = b""
        command = _plain_command() if trusted else _jail_command(limits)
        command += [json.dumps(_for_inside(limits, jailed=not trusted))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self._scratch.name if trusted else "/",
            env=_environment(self._scratch.name) if trusted else {},
        )
        os.set_blocking(self._process.stdin.fileno(), False)
        try:
            self._read_line(SECONDS_TO_START)
        except Broken as error:
            self._errors.seek(0)
            said = self._errors.read(2000).decode(errors="replace").strip()
            self.close()
            raise JailError(
                f"The jail could not be set up: {said or error}. Nothing was graded. "
                "Does `bwrap --ro-bind / / --unshare-all true` work in a terminal? If your system "
                "forbids user namespaces, its manual says how to allow them for bubblewrap."
            ) from None

    def run(self, task: dict) -> tuple[str, str]:
        """What the answer's process said, and how it ended (see `inside`).

        Raises Broken if the jail ends before the task does; then it can't be used any more.
        """
        self._write_line(json.dumps(task).encode(), SECONDS_OF_GRACE)
        message = self._read_line(task["seconds"] + SECONDS_OF_GRACE)
        reply, how = message.get("reply"), message.get("how")
        if message.get("key") != task["key"] or not isinstance(reply, str | None):
            raise Broken("it spoke of another task")
        return reply or "", str(how)

    def close(self) -> None:
        """End the jail and all that runs in it."""
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):  # what was written last never arrived
                stream.close()
        try:
            self._process.wait(SECONDS_TO_END)  # it ends when nobody speaks to it
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._scratch.cleanup()

    def __enter__(self) -> Jail:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def _write_line(self, line: bytes, seconds: float) -> None:
        handle, left, until = self._process.stdin.fileno(), line + b"\n", time.monotonic() + seconds
        while left:
            if not select.select([], [handle], [], max(0.0, until - time.monotonic()))[1]:
                raise Broken("it no longer listens")
            try:
                left = left[os.write(handle, left) :]
            except OSError:
                raise Broken("it ended") from None

    def _read_line(self, seconds: float) -> dict:
        handle, until = self._process.stdout.fileno(), time.monotonic() + seconds
        # A reply is quoted once more, which may double it.
        most = 2 * self.limits.answer_mb * 10**6 + LINE_BYTES
        while b"\n" not in self._read:
            left = until - time.monotonic()
            if left <= 0:
                raise Broken("it no longer answers")
            if select.select([handle], [], [], min(left, SECONDS_BETWEEN_LOOKS))[0]:
                part = os.read(handle, 1 << 16)
                self._read += part
                if not part:
                    raise Broken("it ended")
                if len(self._read) > most:
                    raise Broken("it talks too much")
            elif self._memory() > ALL_PROCESSES * 1e9 * self.limits.memory_gb:
                raise Broken("memory")
        line, _, self._read = self._read.partition(b"\n")
        try:
            message = read_json(line)
        except WireError as error:
            raise Broken("it speaks another language") from error
        if not isinstance(message, dict):
            raise Broken("it speaks another language")
        return message

    def _memory(self) -> int:
        """Bytes that all processes of the jail hold."""
        held = 0
        try:
            for process in psutil.Process(self._process.pid).children(recursive=True):
                held += process.memory_info().rss
        except psutil.Error:  # one ended while we looked
            pass
        return held


def _for_inside(limits: Limits, jailed: bool) -> dict:
    return {
        "jailed": jailed,
        # Of its own for each jail, since the limit of processes counts those of a user.
        "user": FIRST_USER + secrets.randbelow(10**6),
        "memory_bytes": int(1e9 * limits.memory_gb),
        "file_bytes": limits.files_mb * 10**6,
        "processes": limits.processes if jailed else -1,
        "answer_bytes": limits.answer_mb * 10**6,
    }


def _environment(home: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": home,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(COURSE),
        GRADING_VARIABLE: "1",
    }


def _plain_command() -> list[str]:
    return [sys.executable, "-m", "utils.grading.inside"]


def _jail_command(limits: Limits) -> list[str]:
    """bubblewrap's command line; what comes later covers what came before."""
    command = [
        shutil.which("bwrap") or "bwrap",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
    ]
    command += ["--unshare-cgroup-try", "--hostname", "jail", "--die-with-parent"]
    command += ["--new-session", "--cap-drop", "ALL"]
    if os.getuid() == 0:
        # The administrator's limit of processes never holds, so `inside` becomes nobody first.
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user"]
    command += _scratch("/tmp", limits.files_mb)  # first: Python itself may lie below it
    shown = [path for path in map(Path, SYSTEM) if path.exists()] + _python_folders()
    command += _parents(shown)
    for path in shown:
        if path.is_symlink():
            command += ["--symlink", os.readlink(path), str(path)]
        else:
            command += ["--ro-bind", str(path), str(path)]
    command += ["--perms", "0755", "--dir", HOME]
    for name in ("utils", "datasets"):
        command += ["--ro-bind", str(COURSE / name), f"{HOME}/{name}"]
    for name in HIDDEN:
        command += ["--perms", "0755", "--tmpfs", f"{HOME}/{name}"]
        command += ["--remount-ro", f"{HOME}/{name}"]
    command += ["--proc", "/proc", "--dev", "/dev"]
    command += _scratch("/dev/shm", 1)
    command += ["--remount-ro", "/", "--remount-ro", "/dev", "--chdir", "/", "--clearenv"]
    for name, value in (_environment("/tmp") | {"PYTHONPATH": HOME}).items():
        command += ["--setenv", name, value]
    return [*command, sys.executable, "-m", "utils.grading.inside"]


def _scratch(place: str, megabytes: int) -> list[str]:
    """A folder in memory that an answer may write into."""
    return ["--size", str(megabytes * 10**6), "--perms", "1777", "--tmpfs", place]


def _python_folders() -> list[Path]:
    """Where this Python and its packages lie, unless that is shown anyhow."""
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(os.path.realpath(sys.executable)).parent}
    inner = [p for p in found if not any(p.is_relative_to(shown) for shown in ("/usr", "/nix"))]
    return sorted(p for p in inner if not any(p != q and p.is_relative_to(q) for q in inner))


def _parents(paths: list[Path]) -> list[str]:
    """Make the folders above; bubblewrap's own would be for the administrator's eyes only."""
    above = {parent for path in paths for parent in path.parents} - {Path("/"), Path("/tmp")}
    made: list[str] = []
    for folder in sorted(above):
        made += ["--perms", "0755", "--dir", str(folder)]
    return made
