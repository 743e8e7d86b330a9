"""The course's virtual environment: make it, fill it from the pinned requirements, keep it so.

Only the standard library is used here, because this runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
COURSE = ("requirements.txt",)
TESTS = ("requirements.txt", "tests/requirements.txt")
OLDEST, NEWEST = (3, 10), (3, 13)
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
PIN = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[\w.]+)"
    r'(?:; python_version (?P<sign>>=|<) "3\.(?P<minor>\d+)")?$'
)
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}
}


class SetupError(RuntimeError):
    """A step could not be done; the message says what to do."""


def say(text: str) -> None:
    """Print at once, also when the output goes to a file or through another program."""
    print(text, flush=True)


def venv_python(venv: Path = VENV) -> Path:
    """Where the interpreter of a virtual environment lies on this system."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def check_python(version: Sequence[int] = sys.version_info) -> None:
    """Raise SetupError unless the course runs on this version of Python."""
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        raise SetupError(
            f"This is Python {version[0]}.{version[1]}; the course needs 3.10 to 3.13. Install one "
            "of these from python.org (or your system's packages) and try again. To name the one "
            "to use: make lab PYTHON=python3.12, on Windows: py -3.12 -m utils.lab"
        )


def is_usable(python: Path) -> bool:
    """Whether an environment's interpreter starts, has pip and is of a version we run on."""
    probe = f"import sys, pip; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    try:
        result = subprocess.run([python, "-c", probe], capture_output=True, check=False)
    except OSError:
        return False
    return result.returncode == 0


def ensure_venv(venv: Path = VENV) -> Path:
    """Make the virtual environment where it is missing or broken; return its interpreter."""
    python = venv_python(venv)
    if is_usable(python):
        return python
    check_python()
    say(f"Making a virtual environment in {venv}")
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=False)
    if made.returncode != 0:
        raise SetupError(
            f"The environment in {venv} could not be made (see above). On Debian and Ubuntu the "
            "package python3-venv is often missing: sudo apt install python3-venv. Otherwise "
            "check that this folder can be written to and that the disk is not full."
        )
    return python


def fingerprint(files: Sequence[str], root: Path = ROOT) -> str:
    """A hash of requirement files: it changes when any of them does."""
    digest = hashlib.sha256()
    for name in files:
        digest.update(name.encode() + b"\0" + (root / name).read_bytes() + b"\0")
    return digest.hexdigest()


def stamp_file(files: Sequence[str], venv: Path = VENV) -> Path:
    """The file that says which requirements an environment holds."""
    return venv / ("installed-tests" if tuple(files) == TESTS else "installed-course")


def is_installed(files: Sequence[str], venv: Path = VENV, root: Path = ROOT) -> bool:
    """Whether these very requirement files were installed into the environment to the end."""
    stamp = stamp_file(files, venv)
    return stamp.is_file() and stamp.read_text() == fingerprint(files, root)


def wants_cpu_build(platform: str = sys.platform, driver: str = "/proc/driver/nvidia") -> bool:
    """Whether PyTorch's CPU build is the right one: on Linux without an NVIDIA card.

    The ordinary build for Linux brings several gigabytes of libraries for such cards. On macOS
    and Windows the ordinary build is the small one.
    """
    has_card = Path(driver).exists() or shutil.which("nvidia-smi") is not None
    return platform.startswith("linux") and not has_card


def pins(text: str, minor: int = sys.version_info[1]) -> dict[str, str]:
    """The version that requirements.txt's text names for each package, for Python 3.`minor`.

    Raises ValueError for a line that is no pin.
    """
    wanted = {}
    for line in (line.split("#")[0].strip() for line in text.splitlines()):
        if not line:
            continue
        pin = PIN.match(line)
        if pin is None:
            raise ValueError(f"not a pinned requirement: {line}")
        newer = pin["sign"] == ">="
        if pin["sign"] is None or (minor >= int(pin["minor"])) == newer:
            wanted[pin["name"]] = pin["version"]
    return wanted


def installed_version(python: Path, package: str) -> str | None:
    """The version of a package in an environment, less a local part such as "+cpu"."""
    probe = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]).split('+')[0])"
    command = [str(python), "-c", probe, package]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


def install_cpu_torch(python: Path) -> None:
    """Install PyTorch's CPU build before the rest; where it can't be had, say so and go on.

    A step of its own, without dependencies, so that the other packages are never looked for in
    PyTorch's index and a network that does not reach it costs seconds.
    """
    version = pins((ROOT / "requirements.txt").read_text())["torch"]
    if installed_version(python, "torch") == version:
        return
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--retries",
        "2",
        "--timeout",
        "20",
    ]
    command += ["--disable-pip-version-check", "--extra-index-url", CPU_WHEELS]
    done = subprocess.run([*command, f"torch=={version}+cpu"], stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        say(
            "PyTorch's small CPU build could not be fetched; the ordinary build of the same "
            "version is taken instead. It works as well, but downloads several gigabytes. If that "
            f"is too much, stop with Ctrl-C and try again when {CPU_WHEELS} can be reached."
        )


def install(python: Path, files: Sequence[str]) -> None:
    """Install requirement files unless they are installed; Ctrl-C or a failure loses nothing."""
    venv = python.parent.parent
    if is_installed(files, venv):
        return
    say("Installing the packages (the first time this takes some minutes)")
    stamp_file(files, venv).unlink(missing_ok=True)
    if wants_cpu_build():
        install_cpu_torch(python)
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--progress-bar", "off"] if not sys.stderr.isatty() else []
    done = subprocess.run([*command, "-r", str(ROOT / files[-1])], check=False)
    if done.returncode != 0:
        raise SetupError(
            "The packages could not be installed (see above). Check the network and the disk's "
            "space and give the same command again."
        )
    write_settings(venv)
    for installed in {COURSE, tuple(files)}:  # what the tests need contains what the course needs
        stamp_file(installed, venv).write_text(fingerprint(installed))


def write_settings(venv: Path) -> Path:
    """Keep JupyterLab from asking for news: they cover the lesson. Returns the file written."""
    path = venv / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(LAB_SETTINGS, indent=2) + "\n")
    return path


def prepare(files: Sequence[str] = COURSE) -> Path:
    """Do all that comes before JupyterLab; return the environment's interpreter."""
    python = ensure_venv()
    install(python, files)
    if subprocess.run([str(python), "-m", "utils.models"], cwd=ROOT, check=False).returncode != 0:
        raise SetupError("The weights are not ready. The message above says what to do.")
    # Only one lesson needs these files, and it can make them itself, with more memory.
    subprocess.run([str(python), "-m", "utils.onnx_encoder"], cwd=ROOT, check=False)
    return python
