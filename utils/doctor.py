"""The environment doctor: look at this machine and say what is wrong and what to do.

`make doctor` prints it, lesson 00 shows it. It runs before anything is installed too: what is
missing is reported, not raised.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from utils import machine
from utils.environment import NEWEST, OLDEST, ROOT, VENV, pins, venv_python

GIB = 1 << 30
INSTALL = "Run `make lab` again (or `python -m utils.lab`): it installs what is missing."


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``state`` is "ok", "look" (may matter) or "fix" (will fail)."""

    name: str
    state: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Examination:
    """All findings; printing it gives a table in words."""

    findings: tuple[Finding, ...]

    @property
    def needs_fixing(self) -> bool:
        """Whether something was found that will make lessons fail."""
        return any(finding.state == "fix" for finding in self.findings)

    def __str__(self) -> str:
        width = max(len(finding.name) for finding in self.findings)
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.state:4}  {finding.name:{width}}  {finding.found}")
            if finding.advice:
                lines.append(f"{'':4}  {'':{width}}  -> {finding.advice}")
        counts = {state: self._count(state) for state in ("fix", "look")}
        if counts["fix"]:
            lines.append(f"\n{counts['fix']} to fix: do what the arrows say, from the top.")
        elif counts["look"]:
            lines.append(f"\nThe course will run; {counts['look']} to look at.")
        else:
            lines.append("\nAll is well: the course will run.")
        return "\n".join(lines)

    __repr__ = __str__

    def _count(self, state: str) -> int:
        return sum(finding.state == state for finding in self.findings)


def examine() -> Examination:
    """Look at everything the course depends on; takes about two seconds and never raises."""
    findings = []
    for name, look in LOOKS.items():
        try:
            findings += look()
        except Exception as error:  # a doctor who falls ill must still report the rest
            findings.append(Finding(name, "look", f"could not be looked at ({error!r})"))
    return Examination(tuple(findings))


def python_version(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> list[Finding]:
    """Whether the course runs on this Python."""
    found = ".".join(str(part) for part in version) + f" ({sys.executable})"
    if OLDEST <= version[:2] <= NEWEST:
        return [Finding("Python", "ok", found)]
    advice = "Install Python 3.10 to 3.13, remove the folder .venv and run `make lab`."
    return [Finding("Python", "fix", found, advice)]


def packages(
    text: str | None = None,
    version_of: Callable[[str], str] = importlib.metadata.version,
) -> list[Finding]:
    """Whether each package of requirements.txt is installed in the version it names."""
    wanted = pins((ROOT / "requirements.txt").read_text() if text is None else text)
    missing, wrong = [], []
    for name, version in wanted.items():
        try:
            installed = version_of(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if installed.split("+")[0] != version:  # "+cpu" names a build of the same version
            found = f"{installed} is installed, {version} is wanted"
            advice = f"{sys.executable} -m pip install {name}=={version}"
            wrong.append(Finding(name, "fix", found, advice))
    right = len(wanted) - len(missing) - len(wrong)
    found = f"{right} of {len(wanted)} as in requirements.txt"
    if missing:
        found += f"; not installed: {', '.join(missing)}"
        return [Finding("packages", "fix", found, INSTALL), *wrong]
    return [Finding("packages", "ok", found), *wrong]


def memory(free: int | None = None) -> list[Finding]:
    """Whether a lesson fits into the memory that is free (bytes)."""
    free = machine.free_memory() if free is None else free
    if free is None:
        return [Finding("memory", "look", "unknown on this system", "A lesson needs 2 GB free.")]
    found = f"{free / GIB:.1f} GB free for this process"
    if free >= 1.9 * GIB:
        return [Finding("memory", "ok", found)]
    state = "look" if free >= 1.2 * GIB else "fix"
    advice = "A lesson needs up to 1.6 GB: shut down other notebooks' kernels and close programs."
    return [Finding("memory", state, found, advice)]


def disk(folder: Path | None = None) -> list[Finding]:
    """Whether the weights fit where they are kept; nothing to ask for once they are there."""
    folder = _cache_folder() if folder is None else folder
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    found = f"{free / GIB:.1f} GB free at {folder}"
    if free >= GIB or not _missing_weights(folder):
        return [Finding("disk", "ok", found)]
    advice = (
        "Preparing the weights needs 0.5 GB and the packages about 2: make room, or set the "
        "variable INSIDE_OUTSIDE_CACHE to a folder on a larger disk."
    )
    return [Finding("disk", "fix" if free < GIB / 2 else "look", found, advice)]


def cores() -> list[Finding]:
    """How many cores this process may use, and whether PyTorch starts more threads than that."""
    usable = machine.usable_cores()
    found = f"{usable:g} usable"
    if not _can_import("torch"):
        return [Finding("cores", "ok", found)]
    import torch

    threads = torch.get_num_threads()
    found += f", PyTorch computes with {threads} threads"
    if threads <= max(1, usable):
        return [Finding("cores", "ok", found)]
    advice = (
        f"More threads than cores are slow: set OMP_NUM_THREADS={max(1, int(usable))} and restart."
    )
    return [Finding("cores", "look", found, advice)]


def speed() -> list[Finding]:
    """How fast matrices are multiplied here, in both number formats that the course may use."""
    if not _can_import("torch"):
        return [Finding("speed", "look", "not measured: torch is missing", INSTALL)]
    import torch

    rates = {kind: machine.matrix_speed(kind) for kind in (torch.float32, torch.bfloat16)}
    single, brain = rates[torch.float32], rates[torch.bfloat16]
    found = f"{single:.0f} GFLOP/s in float32, {brain:.0f} in bfloat16"
    if max(single, brain) >= 20:
        return [Finding("speed", "ok", found)]
    advice = "Slower than the machines that the lessons' minutes were stated for: be patient."
    return [Finding("speed", "look", found, advice)]


def weights() -> list[Finding]:
    """Whether both models lie ready in the cache folder."""
    folder = _cache_folder()
    missing = _missing_weights(folder)
    if not missing:
        return [Finding("weights", "ok", f"prepared in {folder}")]
    found = f"missing in {folder}: {', '.join(missing)}"
    return [Finding("weights", "fix", found, "Run `make weights` (or `python -m utils.models`).")]


def widgets(prefix: str = sys.prefix) -> list[Finding]:
    """Whether JupyterLab finds its half of the widgets beside Python's half."""
    folder = Path(prefix, "share/jupyter/labextensions/@jupyter-widgets/jupyterlab-manager")
    if (folder / "package.json").is_file():
        version = json.loads((folder / "package.json").read_text())["version"]
        return [Finding("widgets", "ok", f"JupyterLab's widget manager {version}")]
    found = "JupyterLab's widget manager is not in this environment"
    return [Finding("widgets", "fix", found, INSTALL)]


def kernel(prefix: str = sys.prefix, venv: Path = VENV) -> list[Finding]:
    """Whether this Python is the one that the course's packages were installed for."""
    if not venv_python(venv).exists() or Path(prefix).resolve() == venv.resolve():
        return [Finding("kernel", "ok", f"runs in {prefix}")]
    found = f"runs in {prefix}, the course's packages are in {venv}"
    advice = "Open the lessons with `make lab` and choose the kernel Python 3 (ipykernel)."
    return [Finding("kernel", "look", found, advice)]


LOOKS: dict[str, Callable[[], list[Finding]]] = {
    "Python": python_version,
    "kernel": kernel,
    "packages": packages,
    "widgets": widgets,
    "weights": weights,
    "disk": disk,
    "memory": memory,
    "cores": cores,
    "speed": speed,
}


def _can_import(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _cache_folder() -> Path:
    """As utils.models says, or its usual place on Linux while its needs aren't installed."""
    if _can_import("platformdirs"):
        from utils.models import cache_folder

        return cache_folder()
    moved = os.environ.get("INSIDE_OUTSIDE_CACHE", "~/.cache/inside-or-outside")
    return Path(moved).expanduser()


def _missing_weights(folder: Path) -> list[str]:
    """Which of the two models are not in the cache folder."""
    names = {"smollm2-": "the language model", "all-minilm-": "the encoder"}
    ready = [path.parent.name for path in folder.glob("*/model.safetensors")]
    return [
        name for start, name in names.items() if not any(item.startswith(start) for item in ready)
    ]


def main() -> int:
    """Print the examination; the exit code is 1 where something needs fixing."""
    start = time.perf_counter()
    examination = examine()
    print(examination)
    print(f"(looked for {time.perf_counter() - start:.0f} s)")
    return int(examination.needs_fixing)


if __name__ == "__main__":
    sys.exit(main())
