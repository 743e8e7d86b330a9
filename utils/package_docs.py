"""Documents that nobody here wrote: the documentation that the installed packages bring along.

A function of numpy or pandas carries its description, its *docstring*, in its source file. Here
these are read from the files: no package is imported and none of its code runs. Functions written
in C have no Python source, so theirs are missing.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from utils.chunking import chunk_sentences
from utils.passages import Passage

PACKAGES = ("numpy", "scipy", "pandas", "matplotlib")  # much prose, and quick to read
FEWEST_WORDS = 20  # in a document; "Return the size." is no document
TESTS = {"test", "tests", "conftest"}
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# An example: from ">>>" to the next empty line. Code and what it prints are no sentences.
EXAMPLE = re.compile(r"^[ \t]*>>>.*(?:\n[ \t]*\S.*)*", re.MULTILINE)
# From a capital letter to a stop, without the signs of tables, headings, code, references such as
# ":func:`sum`", and "name : type".
SENTENCE = re.compile(r"[A-Z](?!.*(?:[|=]|--|::|:`| : )).*[.!?]")


def package_docs(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """The docstrings of these installed packages: name -> text, such as "numpy.linalg" -> "...".

    packages: names as in ``import sklearn``. A name goes by the file in which the text stands, so
    `scipy.stats.pearsonr` is "scipy.stats._stats_py.pearsonr". Tests, files that Python can't
    parse and texts of fewer than 20 words are left out. The order is the same in every call.
    Raises LookupError for a package that isn't installed or has no source files.
    """
    if isinstance(packages, str):
        raise TypeError("packages must be a list of names; for one package write [name].")
    documents: dict[str, str] = {}
    for package in packages:
        for module, path in _source_files(package):
            for name, text in _docstrings(module, _parsed(path)):
                if len(text.split()) >= FEWEST_WORDS:
                    documents.setdefault(name, text.strip())
    return documents


def doc_sentences(
    documents: Mapping[str, str], fewest_words: int = 5, most_words: int = 20
) -> list[Passage]:
    """The plain sentences of the documents, each text once, as passages of one sentence.

    What isn't prose is left out: examples with ``>>>``, tables, lists of parameters, and what does
    not run from a capital letter to a stop. Line breaks become spaces.
    """
    sentences: dict[str, Passage] = {}
    for name, text in documents.items():
        prose = EXAMPLE.sub(lambda example: "\n" * len(example[0]), text)  # places stay the same
        for passage in chunk_sentences(prose, size=1, document=name):
            words = passage.text.split()
            sentence = " ".join(words)
            if fewest_words <= len(words) <= most_words and SENTENCE.fullmatch(sentence):
                sentences.setdefault(sentence, replace(passage, text=sentence))
    return list(sentences.values())


def _source_files(package: str) -> Iterator[tuple[str, Path]]:
    """Each module's name and file, by name; nothing is imported."""
    missing = LookupError(
        f"There is no package {package!r} with Python files here. Give the name that `import` "
        "takes, without a dot (sklearn, and not scikit-learn), or install it."
    )
    if not package.isidentifier():  # find_spec would import what stands before a dot
        raise missing
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise missing
    if spec.submodule_search_locations is None:
        files = {package: Path(spec.origin or "")}
    else:
        files = {
            ".".join((package, *path.relative_to(folder).with_suffix("").parts)): path
            for folder in spec.submodule_search_locations
            for path in Path(folder).rglob("*.py")
        }
    files = {name: path for name, path in files.items() if path.suffix == ".py"}
    if not files:
        raise missing
    for name in sorted(files):
        parts = name.split(".")[1:]
        if not any(part in TESTS or part.startswith("test_") for part in parts):
            yield name.removesuffix(".__init__"), files[name]


def _parsed(path: Path) -> ast.Module:
    """The file's syntax tree; an empty one for a file that Python can't parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of doubtful escapes such as "\d"
            return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):  # templates, files of another Python
        return ast.Module(body=[], type_ignores=[])


def _docstrings(name: str, node: ast.Module | ast.stmt) -> Iterator[tuple[str, str]]:
    """The docstring of a module, class or function, and those of what is defined in it."""
    text = ast.get_docstring(node)  # indentation is taken off
    if text:
        yield name, text
    for child in node.body:
        if isinstance(child, DEFINITIONS):
            yield from _docstrings(f"{name}.{child.name}", child)
