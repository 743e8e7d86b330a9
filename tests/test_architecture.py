"""The helpers' imports point downwards: no module knows of one that stands above it.

The rows are the map for whoever looks for the right place of something new.
"""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parent.parent / "utils"

ROWS = (  # from the ground up
    {"machine", "environment", "work", "display", "number_line", "differences"},
    {
        "pinned",
        "devices",
        "models",
        "worlds",
        "world_words",
        "world_names",
        "world_texts",
        "world_typing",
    }
    | {"retention"},
    {"prompts", "inference", "scoring", "stats", "claims", "passages", "chunking", "ranking"}
    | {"faiss_index", "index_files", "vector_index", "retrieval", "package_docs", "kept_index"}
    | {"onnx_encoder", "prefix_tree"},
    {"abstain", "rag", "rerank", "routes", "rewrite", "ledger", "bad_cases", "world_needs"}
    | {"examples", "training", "lower_layers", "lora_product", "adapters", "lora", "full_tuning"},
    {"experiments", "injection", "repair", "tuning_ways", "settings_sweep"},
    {
        "judging",
        "observing",
        "wire",
        "kept_exercises",
        "progress_page",
        "exercises",
        "checks",
        "plots",
        "lever_map",
        "arm_panels",
        "token_boxes",
        "widgets",
        "question_box",
        "passage_boxes",
        "chunk_explorer",
        "rank_explorer",
        "loss_curve",
        "hit_tables",
        "retrieval_inspector",
        "chat",
        "doctor",
        "lab",
    },
    {"grading"},
)
ROW_OF = {module: number for number, row in enumerate(ROWS) for module in row}
LIGHT = {
    "environment",
    "lab",
    "doctor",
    "machine",
    "pinned",
    "worlds",
    "claims",
    "prompts",
    "stats",
}


def modules() -> list[str]:
    """Every module and package directly under utils, by name."""
    files = [path.stem for path in UTILS.glob("*.py") if path.stem != "__init__"]
    return sorted(files + [path.parent.name for path in UTILS.glob("*/__init__.py")])


def imported(module: str) -> set[str]:
    """The modules of utils that a module imports when it runs, at the top or inside a function."""
    path = UTILS / f"{module}.py"
    paths = [path] if path.is_file() else sorted((UTILS / module).glob("*.py"))
    found = set()
    for path in paths:
        for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "utils":
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("utils."):
                found.add(node.module.split(".")[1])
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                found |= {name.split(".")[1] for name in names if name.startswith("utils.")}
    return found - {module}


def _running(node: ast.AST):
    """The tree without what stands under `if TYPE_CHECKING`."""
    yield node
    if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from _running(child)


@pytest.mark.parametrize("module", modules())
def test_imports_point_downwards(module):
    assert module in ROW_OF, f"give utils/{module}.py a place in ROWS"
    # Exercises are data that compare a learner's function with any helper.
    upwards = {name for name in imported(module) if ROW_OF[name] > ROW_OF[module]}
    assert upwards == set()


def test_no_import_goes_in_a_circle():
    graph = {module: imported(module) for module in modules()}
    graph["exercises"] -= {"checks"}  # checks finds exercises; they name its two dataclasses
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", sorted(LIGHT))
def test_light_modules_import_no_torch(module):
    import subprocess

    code = f"import sys, utils.{module}; sys.exit('torch' in sys.modules)"
    root = UTILS.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_a_type_checking_import_is_no_import():
    tree = ast.parse("if TYPE_CHECKING:\n    from utils.lora import tune\nimport utils.rag\n")
    kinds = [node for node in _running(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert len(kinds) == 1
