"""Generate binder/requirements.txt from requirements.txt: `python -m tests.binder_requirements`.

A Binder reads only the folder binder/. A line `-r ../requirements.txt` there would make every edit
of a lesson install everything anew, so the pins stand in the file itself, and `--check` (and a
test) fails when the two files differ.
"""

from __future__ import annotations

import argparse
import os
import sys

from utils.environment import CPU_WHEELS, ROOT, pins

TARGET = ROOT / "binder" / "requirements.txt"
PYTHON_MINOR = 11  # as binder/runtime.txt says
HEAD = f"""\
# Generated from requirements.txt by `make notebooks`: edit that file, not this one.
# PyTorch for processors only: "+cpu" keeps gigabytes of libraries for graphics cards out.
--extra-index-url {CPU_WHEELS}
"""


def generate(requirements: str) -> str:
    """The text of Binder's requirements from the text of the course's own."""
    wanted = pins(requirements, PYTHON_MINOR)
    wanted["torch"] += "+cpu"
    return HEAD + "".join(f"{name}=={version}\n" for name, version in wanted.items())


def main() -> int:
    """Write the file, or with --check say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if stale")
    check = parser.parse_args().check
    text = generate((ROOT / "requirements.txt").read_text())
    if TARGET.is_file() and TARGET.read_text() == text:
        return 0
    if check:
        print(f"{TARGET.relative_to(ROOT)} is stale: run `make notebooks` and commit the result.")
        return 1
    partial = TARGET.with_suffix(".part")
    partial.write_text(text)
    os.replace(partial, TARGET)
    print(f"Wrote {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
