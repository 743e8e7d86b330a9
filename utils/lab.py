"""Set the course up and open it: `make lab`, or `python -m utils.lab` where there is no make.

The steps, each skipped when it was done before: a virtual environment in `.venv`, the packages of
`requirements.txt`, the weights, and then JupyterLab at the first lesson. Only the standard library
is used here, because this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from utils.environment import COURSE, ROOT, TESTS, SetupError, prepare, say

FIRST_PORT = 8888


def can_show_browser(environment: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether a browser opened from here would be seen by the person who typed the command."""
    if environment.get("CI") or environment.get("SSH_CONNECTION"):
        return False
    if platform in ("darwin", "win32"):
        return True
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def is_root() -> bool:
    """Whether this runs as the system's administrator, as it does in many containers."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def is_free(port: int, host: str) -> bool:
    """Whether a server could listen at this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name != "nt":  # there the option means something else
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_port(wanted: int | None, host: str) -> int:
    """The port asked for, or else the first free one from 8888 on."""
    if wanted is not None:
        if not is_free(wanted, host):
            raise SetupError(
                f"Port {wanted} is taken by another program, or may not be used. Leave the port "
                "out to get a free one, or name another."
            )
        return wanted
    for port in range(FIRST_PORT, FIRST_PORT + 50):
        if is_free(port, host):
            if port != FIRST_PORT:
                say(f"Port {FIRST_PORT} is taken (another JupyterLab, perhaps); using {port}.")
            return port
    raise SetupError("No free port from 8888 to 8937. Close a JupyterLab, or name a port.")


def first_page(root: Path = ROOT) -> str:
    """The page to open: the first lesson, or the list of lessons where it is missing."""
    lesson = "lessons/00_start_here.ipynb"
    return "/lab/tree/" + (lesson if (root / lesson).is_file() else "lessons")


def lab_command(
    python: Path, page: str, host: str, port: int, browser: bool, root_user: bool
) -> list[str]:
    """The command line that starts JupyterLab. The token is not in it: others could read it."""
    command = [str(python), "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}"]
    command += [f"--LabApp.default_url={page}", f"--ServerApp.ip={host}"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += ["--ServerApp.answer_yes=True", "--log-level=WARN"]
    command += ["--LabApp.log_level=WARN"]
    command += [] if browser else ["--no-browser"]
    command += ["--allow-root"] if root_user else []
    return command


def wait_until_ready(server: subprocess.Popen, host: str, port: int, seconds: float = 120) -> bool:
    """Wait until JupyterLab answers. False where it stopped or never answered."""
    url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}/api"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < until:
        try:
            with direct.open(url, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.2)
    return False


def stop(server: subprocess.Popen) -> None:
    """End JupyterLab, gently at first."""
    try:
        server.wait(timeout=15)
    except subprocess.TimeoutExpired:
        server.terminate()
        server.wait()


def open_lab(python: Path, host: str, port: int | None, browser: bool) -> int:
    """Start JupyterLab, print its address, and stay until it is stopped; return its exit code."""
    port, page = choose_port(port, host), first_page()
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(16)
    environment = {**os.environ, "JUPYTER_TOKEN": token, "JUPYTER_PREFER_ENV_PATH": "1"}
    command = lab_command(python, page, host, port, browser, is_root())
    # A stop signal to this program must also reach the server that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    server = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        if not wait_until_ready(server, host, port):
            raise SetupError("JupyterLab did not start (see above). `make doctor` may say why.")
        say(
            "\nThe course is open. If no browser showed it, open this address in one:\n\n"
            f"    http://localhost:{port}{page}?token={token}\n\n"
            "Leave this window open while you work; Ctrl-C here stops it (your files are kept).\n"
        )
        return server.wait()
    except KeyboardInterrupt:
        stop(server)
        return 0
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and do it; return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m utils.lab", description=__doc__)
    parser.add_argument("--prepare", action="store_true", help="set up and stop before JupyterLab")
    parser.add_argument("--tests", action="store_true", help="also install what the tests need")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, help="default: the first free one from 8888 on")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    options = parser.parse_args(arguments)
    try:
        python = prepare(TESTS if options.tests else COURSE)
        if options.prepare:
            return 0
        browser = can_show_browser(os.environ) and not options.no_browser
        return open_lab(python, options.host, options.port, browser)
    except SetupError as error:
        say(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        say("\nStopped. The same command goes on where this one was.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
