"""Open a lesson in JupyterLab in a real browser, run it from top to bottom and take pictures.

    python -m tests.browser 00 --out shots

JupyterLab runs on a temporary copy of the lessons, so nothing is written into the repository, and
with an empty folder for the learner's own files. The browser is the system's Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS_TO_START = 90
SECONDS_TO_RUN = 900
WINDOW = {"width": 1280, "height": 900}


@dataclass
class PageReport:
    """What was seen in the browser. `errors`: one line for each cell that stopped with an error."""

    errors: list[str] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    minutes: float = 0.0


@dataclass(frozen=True)
class Server:
    """A running JupyterLab: its address, its token, and the folder of the learner's own files."""

    url: str
    token: str
    work: Path


def why_not() -> str:
    """Why no browser test can run here; "" when it can."""
    if not Path(CHROMIUM).exists():
        return f"{CHROMIUM} is missing: apt-get install --no-install-recommends chromium"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is missing: pip install -r tests/requirements.txt"
    return ""


@contextlib.contextmanager
def jupyterlab(root: Path = ROOT) -> Iterator[Server]:
    """Start JupyterLab on a free port with a copy of `root`'s lessons; stop it afterwards.

    Raises RuntimeError with the end of its log when it doesn't start.
    """
    with tempfile.TemporaryDirectory(prefix="lessons-in-browser-") as folder:
        copy = Path(folder)
        _copy_course(root, copy)
        token, port = secrets.token_hex(16), _free_port()
        log = copy / "jupyterlab.log"
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                _command(copy, token, port),
                cwd=copy,
                env=_environment(copy),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            server = Server(f"http://127.0.0.1:{port}", token, copy / "my_work")
            _wait_until_up(server, process, log)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _copy_course(root: Path, copy: Path) -> None:
    """The notebooks are copied; what they only read is linked."""
    (copy / "lessons").mkdir()
    for notebook in sorted((root / "lessons").glob("*.ipynb")):
        shutil.copy(notebook, copy / "lessons")
    for name in ("utils", "datasets"):
        if (root / name).exists():
            (copy / name).symlink_to((root / name).resolve(), target_is_directory=True)


def _command(copy: Path, token: str, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
        *(f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"),
        *(f"--ServerApp.root_dir={copy}", "--expose-app-in-browser"),
        "--LabApp.news_url=None",
    ]


def _environment(copy: Path) -> dict[str, str]:
    """The learner's own files and JupyterLab's settings go to the copy too."""
    return {
        **os.environ,
        "INSIDE_OUTSIDE_WORK": str(copy / "my_work"),
        "JUPYTERLAB_SETTINGS_DIR": str(copy / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(copy / "workspaces"),
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_until_up(server: Server, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"{server.url}/api?token={server.token}", timeout=2).close()
            return
        time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")


@contextlib.contextmanager
def open_lesson(server: Server, notebook: str, window: dict[str, int] | None = None) -> Iterator:
    """A browser page with the lesson open and its kernel idle; `notebook`: "00_name.ipynb"."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="chromium-") as profile, sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            headless=True,
            args=CHROMIUM_OPTIONS,
            viewport=window or WINDOW,
        )
        try:
            page = context.pages[0]
            page.set_default_timeout(60_000)
            page.goto(f"{server.url}/lab/tree/lessons/{notebook}?token={server.token}")
            page.wait_for_selector(".jp-Notebook .jp-Cell")
            # The status bar, not a cell's mark: only the bar tells that the kernel has started.
            page.wait_for_selector("#jp-main-statusbar >> text=Idle")
            yield page
        finally:
            context.close()


def run_all(page, seconds: int = SECONDS_TO_RUN) -> None:
    """Run every cell and wait until the last one has ended. Raises playwright's TimeoutError."""
    page.evaluate(
        "async () => { const commands = window.jupyterapp.commands;"
        " await commands.execute('notebook:clear-all-cell-outputs');"
        " commands.execute('notebook:run-all-cells') }"  # not awaited: the model tells the end
    )
    page.wait_for_function(ALL_CELLS_RAN, timeout=1000 * seconds)
    page.wait_for_timeout(1000)  # widgets and pictures are drawn after the kernel is idle


# Every code cell with text has an execution count, or one of them has stopped with an error.
# The model is asked, because JupyterLab draws only the cells near the window.
ALL_CELLS_RAN = """() => {
  const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
  let ran = true;
  for (const cell of cells) {
    if (cell.type !== 'code' || !cell.sharedModel.getSource().trim()) continue;
    const outputs = cell.sharedModel.getOutputs();
    if (outputs.some(output => output.output_type === 'error')) return true;
    if (cell.executionCount === null || cell.executionState === 'running') ran = false;
  }
  return ran;
}"""

CELL_ERRORS = """() => {
  const errors = [];
  const cells = [...window.jupyterapp.shell.currentWidget.content.model.cells];
  cells.forEach((cell, index) => {
    if (cell.type !== 'code') return;
    for (const output of cell.sharedModel.getOutputs())
      if (output.output_type === 'error')
        errors.push(`cell ${index + 1}: ${output.ename}: ${output.evalue}`);
  });
  return errors;
}"""

NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer"


UNFOLD = "() => document.querySelectorAll('details').forEach(fold => fold.open = true)"


def take_pictures(page, folder: Path, name: str) -> list[Path]:
    """The whole lesson, folds open, as pictures of one window's height, from top to bottom."""
    folder.mkdir(parents=True, exist_ok=True)
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    scroller = page.locator(NOTEBOOK).first
    scroller.evaluate("element => element.scrollTo(0, 0)")
    pictures = []
    while len(pictures) < 60:
        page.evaluate(UNFOLD)
        page.wait_for_timeout(400)
        pictures.append(folder / f"{name}-{len(pictures) + 1:02d}.png")
        page.screenshot(path=str(pictures[-1]))
        before, after = scroller.evaluate(
            "e => { const y = e.scrollTop; e.scrollBy(0, e.clientHeight - 60);"
            " return [y, e.scrollTop] }"
        )
        if after <= before:
            break
    return pictures


def look_at(lesson: str, out: Path, root: Path = ROOT) -> PageReport:
    """Run a lesson ("00" or its whole name) in the browser and take pictures of it into `out`."""
    notebooks = sorted((root / "lessons").glob(f"{lesson}*.ipynb"))
    if not notebooks:
        raise FileNotFoundError(f"There is no lesson {lesson} in {root / 'lessons'}.")
    name = notebooks[0].name
    report = PageReport()
    with jupyterlab(root) as server, open_lesson(server, name) as page:
        page.on(
            "console",
            lambda line: report.console.append(line.text) if line.type == "error" else None,
        )
        start = time.monotonic()
        run_all(page)
        report.minutes = (time.monotonic() - start) / 60
        report.errors = page.evaluate(CELL_ERRORS)
        report.pictures = take_pictures(page, out, notebooks[0].stem)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns 1 when a cell stopped with an error."""
    parser = argparse.ArgumentParser(description="Run lessons in a browser and take pictures.")
    parser.add_argument("lessons", nargs="+", help="such as 00")
    parser.add_argument("--out", type=Path, default=Path("shots"), help="folder of the pictures")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    reason = why_not()
    if reason:
        print(reason, file=sys.stderr)
        return 1
    failed = False
    for lesson in options.lessons:
        try:
            report = look_at(lesson, options.out, options.root)
        except FileNotFoundError as error:
            print(error, file=sys.stderr)
            return 1
        failed = failed or bool(report.errors)
        print(f"{lesson}: {report.minutes:.1f} minutes, {len(report.pictures)} pictures")
        for error in report.errors:
            print(f"  {error}")
        for line in dict.fromkeys(report.console):
            print(f"  browser console: {line[:200]}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
