"""A vector index as a folder of files: written whole or not at all, read only if intact.

The folder holds FAISS's index, the passages with the settings, and a manifest: the version of this
form, and each file's SHA-256 checksum.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils.faiss_index import import_faiss
from utils.passages import Passage

FORMAT = 1  # the form of the files; a new form gets the next number
MANIFEST, PASSAGES, VECTORS = "manifest.json", "passages.json", "vectors.faiss"


class IndexFileError(RuntimeError):
    """A saved index is missing, damaged or of another version; the text says what to do."""


def write(
    folder: str | Path, settings: dict, passages: Sequence[Passage], faiss_index: Any
) -> Path:
    """Write an index with its settings and passages. Returns the folder.

    Raises FileExistsError, and leaves it alone, where the folder holds something else, and
    TypeError for metadata that JSON can't hold.
    """
    faiss = import_faiss()
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise FileExistsError(f"{folder} exists and is no saved index: choose another name.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # All is written beside the folder and then renamed: nobody ever sees half an index.
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        new, old = part / "new", part / "old"
        new.mkdir()
        try:
            records = [vars(p) | {"metadata": dict(p.metadata)} for p in passages]
            _write_json(new / PASSAGES, {"settings": settings, "passages": records})
        except TypeError as error:
            raise TypeError(f"A passage's metadata can't be saved ({error}): use texts.") from error
        # Python opens the file: FAISS can't where a Windows path has letters such as é.
        with open(new / VECTORS, "wb") as file:
            faiss.write_index(faiss_index, faiss.PyCallbackIOWriter(file.write))
        digests = {name: _sha256(new / name) for name in (PASSAGES, VECTORS)}
        _write_json(new / MANIFEST, {"format": FORMAT, "sha256": digests})
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def read(folder: str | Path) -> tuple[dict, list[Passage], Any]:
    """What `write` got: settings, passages, FAISS's index.

    Raises IndexFileError where the folder is missing, damaged, or of another version.
    """
    folder = Path(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise _error(folder, f"has form {manifest['format']}; this course reads {FORMAT}")
        # Checked before FAISS reads them: what it does with damaged bytes is not foreseeable.
        for name in (PASSAGES, VECTORS):
            if _sha256(folder / name) != manifest["sha256"][name]:
                raise _error(folder, f"is damaged: {name} is not as it was written")
        content = json.loads((folder / PASSAGES).read_text(encoding="utf-8"))
        passages = [Passage(**record) for record in content["passages"]]
        return content["settings"], passages, _read_vectors(folder)
    except FileNotFoundError as error:
        raise _error(folder, f"lacks {Path(error.filename).name}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _error(folder, f"can't be read ({type(error).__name__})") from error


def _read_vectors(folder: Path) -> Any:
    faiss = import_faiss()
    with open(folder / VECTORS, "rb") as file:
        try:
            return faiss.read_index(faiss.PyCallbackIOReader(file.read))
        except RuntimeError as error:
            raise _error(folder, "was written by a FAISS that this one can't read") from error


def _error(folder: Path, what: str) -> IndexFileError:
    return IndexFileError(
        f"The saved index {folder} {what}. Build the index again from its passages, and save it."
    )


def _write_json(path: Path, values: dict) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
