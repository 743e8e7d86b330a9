"""Rehearse a Binder session without Docker: `make binder-rehearsal` (Linux, as root).

The environment is made from binder/ alone, postBuild runs as a Binder would run it, and then
JupyterLab and the lessons run as an ordinary user with 2 GB of memory, one core and no network.
Printed is a table: minutes, peak memory of all processes together, outcome.

Other lessons than all: make binder-rehearsal ARGS="lessons/00_start_here.ipynb"
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from utils.environment import CPU_WHEELS, install_cpu_torch  # noqa: E402

USER = 1000  # a Binder's user
MEMORY = 2 << 30  # bytes a Binder gives at most
BETWEEN_SAMPLES = 0.1  # seconds
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LEFT_OUT = (".venv", ".git", "__pycache__", ".pytest_cache", ".ruff_cache", "my_work")


def why_not() -> str | None:
    """Why a rehearsal is impossible here, or None."""
    missing = [tool for tool in ("unshare", "setpriv", "taskset") if shutil.which(tool) is None]
    if sys.platform != "linux":
        return "A rehearsal needs Linux: it uses the kernel's control groups and namespaces."
    if os.geteuid() != 0:
        return "A rehearsal needs root, to limit memory and take the network away: use sudo."
    if missing:
        return f"Missing: {', '.join(missing)}. On Debian and Ubuntu: apt-get install util-linux."
    if public_python() is None:
        return "No Python 3.11 that an ordinary user can read: install your system's python3.11."
    try:
        MemoryGroup(MEMORY).remove()
    except OSError as error:
        return f"The kernel lets no memory limit be set here ({error}): use a machine of its own."
    return None


def public_python() -> str | None:
    """A Python of binder/runtime.txt's version that user 1000 may read (root's own may not be)."""
    version = (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    probe = f"import sys, venv, ensurepip; exit('%d.%d' % sys.version_info[:2] != '{version}')"
    for path in (f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        if Path(path).exists() and subprocess.run(as_user([path, "-c", probe])).returncode == 0:
            return path
    return None


def as_user(command: Sequence[str]) -> list[str]:
    """The command run as user 1000 without any of root's rights."""
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *command]


# The image


def build_image(folder: Path) -> tuple[Path, Path]:
    """Do what a Binder's build does; return the home folder and the environment in it."""
    home, venv = folder / "home", folder / "venv"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    shutil.rmtree(home / "lessons", ignore_errors=True)
    shutil.copytree(
        ROOT, home, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True, symlinks=True
    )
    subprocess.run(["chown", "-R", f"{USER}:{USER}", str(home)], check=True)
    make_environment(venv)
    environment = user_environment(home, venv)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", str(venv)], check=True)
    subprocess.run(as_user(["binder/postBuild"]), cwd=home, env=environment, check=True)
    return home, venv


def make_environment(venv: Path) -> None:
    """Install binder/requirements.txt, unless these very lines are installed already."""
    wanted = (ROOT / "binder" / "requirements.txt").read_text()
    stamp = venv / "installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    python = venv / "bin" / "python"
    subprocess.run([public_python(), "-m", "venv", "--clear", str(venv)], check=True)
    # PyTorch's own index may not be reachable here: its CPU build comes in a step of its own.
    install_cpu_torch(python)
    lines = [line for line in wanted.replace("+cpu", "").splitlines() if CPU_WHEELS not in line]
    filtered = venv / "requirements.txt"
    filtered.write_text("\n".join(lines) + "\n")
    subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(filtered)], check=True)
    stamp.write_text(wanted)


def user_environment(home: Path, venv: Path) -> dict[str, str]:
    """The environment variables of a Binder's user; pip's settings are kept for the build."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    path = f"{venv}/bin:/usr/local/bin:/usr/bin:/bin"
    return {**kept, "PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "USER": "jovyan"}


# The limits


class MemoryGroup:
    """A control group that limits memory; versions 1 and 2 of the kernel's interface."""

    def __init__(self, limit: int) -> None:
        top = Path("/sys/fs/cgroup/memory")
        self.version = 1 if top.is_dir() else 2
        if self.version == 2:
            top = Path("/sys/fs/cgroup")
            (top / "cgroup.subtree_control").write_text("+memory")
        self.folder = top / f"binder-rehearsal-{os.getpid()}"
        self.folder.mkdir()
        try:
            self._limit(limit)
        except OSError:
            self.folder.rmdir()
            raise

    def _limit(self, limit: int) -> None:
        first, swap, most = {
            1: ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", limit),  # memory and swap
            2: ("memory.max", "memory.swap.max", 0),
        }[self.version]
        (self.folder / first).write_text(str(limit))
        if (self.folder / swap).exists():  # kernels without swap have no such file
            (self.folder / swap).write_text(str(most))

    def join(self) -> None:
        """Put the calling process, and all that it starts, under the limit."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def used(self) -> int:
        """Bytes that can't be dropped: without the files that the kernel keeps in memory."""
        name = {1: "total_rss", 2: "anon"}[self.version]
        return self._read("memory.stat").get(name, 0)

    def kills(self) -> int:
        """How many processes the kernel killed because the limit was reached."""
        name = {1: "memory.oom_control", 2: "memory.events"}[self.version]
        return self._read(name).get("oom_kill", 0)

    def remove(self) -> None:
        """Remove the group; it must be empty."""
        self.folder.rmdir()

    def _read(self, name: str) -> dict[str, int]:
        lines = (self.folder / name).read_text().splitlines()
        return {key: int(value) for key, value in (line.split() for line in lines)}


@contextmanager
def peak_of(group: MemoryGroup) -> Iterator[dict[str, int]]:
    """Watch the group's memory; `peak["bytes"]` is the largest seen since it was last set to 0."""
    peak, done = {"bytes": 0}, threading.Event()

    def watch() -> None:
        while not done.wait(BETWEEN_SAMPLES):
            peak["bytes"] = max(peak["bytes"], group.used())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


# The session


def session_command(inside: Sequence[str]) -> list[str]:
    """A command as it runs in a session: loopback as the only network, user 1000, one core."""
    loopback = 'ip link set lo up 2>/dev/null || ifconfig lo up; exec "$@"'
    alone = ["unshare", "--net", "sh", "-c", loopback, "sh"]
    return [*alone, *as_user(["taskset", "-c", "0", *inside])]


def run_session(home: Path, venv: Path, notebooks: Sequence[str], memory: int) -> list[dict]:
    """Run the notebooks as a Binder would; return one row for each, JupyterLab's own first."""
    inside = ["binder/start", "python", "-m", "tests.rehearse_binder", "--inside", *notebooks]
    command = session_command(inside)
    group = MemoryGroup(memory)
    rows: list[dict] = []
    try:
        session = subprocess.Popen(
            command,
            cwd=home,
            env=user_environment(home, venv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=group.join,
        )
        with session, peak_of(group) as peak:
            for line in session.stdout:
                row = json.loads(line)
                row["mebibytes"] = peak["bytes"] / (1 << 20)
                peak["bytes"] = 0
                rows.append(row)
                show_row(row)
        if session.returncode != 0 or group.kills():
            outcome = f"the session ended with {session.returncode}; killed for memory: "
            rows.append({"name": "session", "seconds": 0, "outcome": outcome + str(group.kills())})
            rows[-1]["mebibytes"] = peak["bytes"] / (1 << 20)
            show_row(rows[-1])
    finally:
        group.remove()
    return rows


def show_row(row: dict) -> None:
    """Print one line of the table."""
    print(
        f"{row['name']:36}{row['seconds'] / 60:9.1f}{row['mebibytes']:11.0f}  {row['outcome']}",
        flush=True,
    )


def inside_session(notebooks: Sequence[str]) -> None:
    """Inside the limits: start JupyterLab, execute the notebooks, print a row (JSON) for each."""
    from utils.lab import lab_command, wait_until_ready

    start = time.perf_counter()
    command = lab_command(Path(sys.executable), "/lab", "127.0.0.1", 8888, False, False)
    with open("jupyterlab.log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        ready = wait_until_ready(server, "127.0.0.1", 8888)
        time.sleep(1)  # let its memory settle, and be seen
        report("JupyterLab alone", start, "passed" if ready else "did not start")
        for notebook in notebooks:
            start = time.perf_counter()
            report(notebook, start, execute(Path(notebook)))
    finally:
        server.terminate()
        server.wait()


def execute(path: Path) -> str:
    """Execute one notebook in place, as a learner would; say "passed" or what went wrong."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    try:
        quiet = ["--log-level=ERROR"]  # the kernel's own warnings would tear the table
        NotebookClient(notebook, timeout=900, resources=resources, extra_arguments=quiet).execute()
    except Exception as error:
        lines = COLOURS.sub("", str(error)).strip().splitlines() or [repr(error)]
        return f"failed: {lines[-1]}"
    return "passed"


def report(name: str, start: float, outcome: str) -> None:
    """Print one row for the process outside to read."""
    row = {"name": name, "seconds": time.perf_counter() - start, "outcome": outcome}
    print(json.dumps(row), flush=True)


def main() -> int:
    """Read the command line, rehearse, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", help="default: every lesson")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/inside-or-outside-binder"))
    parser.add_argument("--memory", type=int, default=MEMORY, help="bytes")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside_session(options.notebooks)
        return 0
    reason = why_not()
    if reason:
        print(reason)
        return 2
    lessons = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("lessons/*.ipynb"))
    print("Building the environment as a Binder does", flush=True)
    home, venv = build_image(options.folder)
    print(f"\n{'':36}{'minutes':>9}{'peak MiB':>11}  outcome", flush=True)
    rows = run_session(home, venv, options.notebooks or lessons, options.memory)
    return int(any(row["outcome"] != "passed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
