"""Adapters as files that plain `peft` loads: saved whole or not at all, checked when loaded."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

CONFIG, WEIGHTS, NOTES = "adapter_config.json", "adapter_model.safetensors", "notes.json"


class AdapterError(ValueError):
    """An adapter cannot be used with this model; the message says why and what to do."""


def fingerprint(model) -> str:
    """Sixteen hexadecimal digits that tell one base model from another of the same shape.

    Of the first embeddings, in bfloat16: a model is the same in whichever format it is loaded.
    """
    rows = model.get_input_embeddings().weight[:64].detach().to("cpu", torch.bfloat16)
    return hashlib.sha256(rows.contiguous().view(torch.int16).numpy().tobytes()).hexdigest()[:16]


def save_adapter(tuned: PeftModel, folder: str | Path, notes: dict | None = None) -> Path:
    """Write the adapter as a folder that plain peft loads, in half precision, whole or not at all.

    notes: what to keep beside it as notes.json, such as settings and results.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        tuned.save_pretrained(part)
        (part / "README.md").unlink(missing_ok=True)  # peft's form to fill in; the notes say it
        _tidy(part / CONFIG)
        weights = {name: matrix.half() for name, matrix in load_file(part / WEIGHTS).items()}
        metadata = {"format": "pt", "base": fingerprint(tuned)}
        save_file(weights, part / WEIGHTS, metadata=metadata)
        (part / WEIGHTS).chmod(0o644)  # safetensors writes 0600
        if notes is not None:
            (part / NOTES).write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.chmod(0o755)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def load_adapter(model, folder: str | Path, name: str = "default") -> PeftModel:
    """Put a saved adapter into the model and switch to it; returns the model with its adapters.

    model: a base model, or one that carries adapters already; `name` tells them apart.
    Raises FileNotFoundError if the folder holds no adapter, and `AdapterError` if it is damaged or
    was made for another model. The model is then as it was.
    """
    folder = Path(folder)
    _check(model, folder)
    if not isinstance(model, PeftModel):
        return PeftModel.from_pretrained(model, str(folder), adapter_name=name).eval()
    model.load_adapter(str(folder), adapter_name=name)
    model.set_adapter(name)
    return model.eval()


def remove_adapter(tuned: PeftModel):
    """Take the adapters out again; returns the base model as it was before."""
    return tuned.unload()


def _check(model, folder: Path) -> None:
    """Whether what lies in the folder is whole and fits the model, before anything is changed."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no adapter: {name} is missing there.")
    try:
        made_for = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        with safe_open(folder / WEIGHTS, "pt") as file:
            base = (file.metadata() or {}).get("base")
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
    except (ValueError, SafetensorError) as error:
        raise AdapterError(
            f"The adapter in {folder} is damaged ({error}). Take a whole copy, or tune again."
        ) from error
    wanted = made_for.get("base_model_name_or_path") or "another model"
    if base not in (None, fingerprint(model)) or not _fits(model, shapes):
        raise AdapterError(
            f"The adapter in {folder} was made for {wanted}, which is not the model here "
            f"({Path(model.config.name_or_path).name or 'without a name'}). Load that model first."
        )


def _fits(model, shapes: dict[str, list[int]]) -> bool:
    """Whether each pair A, B stands beside a matrix of the model with its inputs and outputs."""
    matrices = {
        name.replace("base_model.model.", "").replace(".base_layer", ""): tuple(weights.shape)
        for name, weights in model.named_parameters()
    }
    for name, shape in shapes.items():
        layer, _, part = name.replace("base_model.model.", "").partition(".lora_")
        outputs, inputs = matrices.get(f"{layer}.weight", (None, None))
        expected = inputs if part.startswith("A") else outputs
        if (shape[1] if part.startswith("A") else shape[0]) != expected:
            return False
    return True


def _tidy(config: Path) -> None:
    """Make equal adapters equal files: what depends on the machine or on chance is taken out."""
    values = json.loads(config.read_text(encoding="utf-8"))
    values["base_model_name_or_path"] = Path(values["base_model_name_or_path"] or "").name
    values["target_modules"] = sorted(values["target_modules"])  # peft keeps them as a set
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
