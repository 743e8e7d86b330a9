"""The documentation of installed packages is read from their files, without running them."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from utils.package_docs import PACKAGES, doc_sentences, package_docs

LONG = " ".join(["This sentence says a lot about a lamp, its colour and its maker."] * 2)


@pytest.fixture(scope="module")
def documents():
    return package_docs()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that writes files of a package "lamps" and puts it where Python finds it."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(files):
        for name, source in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return package_docs(["lamps"])

    return write


def docstring(text, indent=""):
    return textwrap.indent(f'"""{text}"""\n', indent)


# --- documents --------------------------------------------------------------------------------


def test_known_functions_are_documents(documents):
    assert documents["scipy.stats._stats_py.pearsonr"].startswith("Pearson correlation coefficient")
    assert "Moore-Penrose" in documents["numpy.linalg._linalg.pinv"]
    assert "pandas.DataFrame.groupby" not in documents  # a name goes by its file
    assert documents["pandas.core.frame.DataFrame.merge"].startswith("Merge DataFrame")
    assert {name.split(".")[0] for name in documents} == set(PACKAGES)


def test_texts_are_clean_and_no_tests_are_among_them(documents):
    for name, text in documents.items():
        assert text == text.strip()
        assert len(text.split()) >= 20
        parts = name.split(".")
        assert not any(part in ("test", "tests", "conftest") for part in parts[:-1]), name


def test_the_order_is_the_same_in_every_call(documents):
    numpy = [name for name in documents if name.split(".")[0] == "numpy"]
    assert list(documents)[: len(numpy)] == numpy  # packages come as they were named
    assert list(package_docs(["numpy"]).items()) == [(name, documents[name]) for name in numpy]


def test_every_place_where_a_docstring_can_stand(package):
    source = (
        docstring("Module. " + LONG)
        + "class Lamp:\n"
        + docstring(f"Class.\n\n    {LONG}\n    {LONG}\n    ", "    ")
        + "    async def glow(self):\n"
        + docstring("Method. " + LONG, " " * 8)
        + "    def dim(self):\n"
        + docstring("Dim the lamp.", " " * 8)
    )
    found = package(
        {"lamps/__init__.py": docstring(LONG) + "raise SystemExit()", "lamps/a.py": source}
    )
    assert list(found) == ["lamps", "lamps.a", "lamps.a.Lamp", "lamps.a.Lamp.glow"]
    assert found["lamps.a.Lamp"] == f"Class.\n\n{LONG}\n{LONG}"
    assert "lamps" not in sys.modules


def test_what_cannot_be_parsed_and_tests_are_left_out(package):
    whole = docstring(LONG)
    found = package(
        {
            "lamps/__init__.py": "",
            "lamps/broken.py": whole + "def (",
            "lamps/nul.py": whole.encode() + b"\x00",
            "lamps/latin.py": b'"""caf\xe9"""',
            "lamps/deep.py": whole + "(" * 5000 + ")" * 5000,
            "lamps/template.py.in": whole,
            "lamps/tests/helper.py": whole,
            "lamps/part/test_part.py": whole,
            "lamps/conftest.py": whole,
            "lamps/contest.py": whole,
            "lamps/doubtful.py": whole + '"\\d"\n',
        }
    )
    assert list(found) == ["lamps.contest", "lamps.doubtful"]


def test_one_file_and_a_folder_without_init_are_packages_too(package):
    assert list(package({"lamps/a.py": docstring(LONG)})) == ["lamps.a"]


def test_a_module_of_one_file(tmp_path, monkeypatch):
    (tmp_path / "one_lamp.py").write_text(docstring(LONG), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert package_docs(["one_lamp"]) == {"one_lamp": LONG}


@pytest.mark.parametrize("name", ["no_such_package", "scikit-learn", "numpy.linalg", "", "sys"])
def test_a_package_without_files_is_named(name):
    with pytest.raises(LookupError, match="There is no package .* with Python files here"):
        package_docs(["numpy", name])


def test_a_single_name_is_no_list():
    with pytest.raises(TypeError, match=r"\[name\]"):
        package_docs("numpy")


def test_no_package_is_imported_and_nothing_is_printed():
    code = (
        "import sys, warnings; warnings.simplefilter('error');"
        "from utils.package_docs import package_docs;"
        "names = package_docs(['scipy', 'pandas']);"
        "sys.exit(len(names) < 1000 or bool({'scipy', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# --- sentences --------------------------------------------------------------------------------

DOCUMENT = """Find the lamp that is nearest.

The search goes from lamp to lamp, and it ends
where no neighbour is nearer.  It may miss one.

Parameters
----------
lamp : Lamp
    Where the search begins. Any lamp of the street will do.
k : int, default: 5
    How many.

Examples
--------
>>> nearest(lamp)
Here Is An Output That Looks Like Prose.
Another line of output.

This sentence stands behind the example and is read.

================  ==========================
A Table Of Words  And Nothing But A Table.
================  ==========================

The formula y = 2 x + 1 is no plain prose.
A reference such as :func:`lamps.dim` is none either.
"""


def test_sentences_by_hand():
    assert [passage.text for passage in doc_sentences({"lamps.nearest": DOCUMENT})] == [
        "Find the lamp that is nearest.",
        "The search goes from lamp to lamp, and it ends where no neighbour is nearer.",
        "Any lamp of the street will do.",
        "This sentence stands behind the example and is read.",
    ]


def test_a_sentence_knows_its_document_and_its_place():
    for passage in doc_sentences({"lamps.nearest": DOCUMENT}):
        assert passage.document == "lamps.nearest"
        there = DOCUMENT[passage.start :]
        assert " ".join(there.split()).startswith(passage.text)


def test_a_sentence_of_many_documents_comes_once():
    found = doc_sentences({"a": DOCUMENT, "b": DOCUMENT + "\nOnly the second has this one."})
    assert [passage.document for passage in found] == ["a"] * 4 + ["b"]
    assert len({passage.id for passage in found}) == len(found)


def test_bounds_are_kept(documents):
    few = dict(list(documents.items())[:300])
    lengths = [len(p.text.split()) for p in doc_sentences(few, fewest_words=8, most_words=12)]
    assert set(lengths) == {8, 9, 10, 11, 12}


def test_the_default_packages_have_twenty_thousand_sentences_to_index_and_some_to_ask(documents):
    sentences = doc_sentences(documents)
    assert len(sentences) >= 20_500
    assert len({passage.id for passage in sentences}) == len(sentences)
    for passage in sentences:
        assert ">>>" not in passage.text and "\n" not in passage.text
        assert passage.text[0].isupper() and passage.text[-1] in ".!?"
