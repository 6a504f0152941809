"""Imports point down only, rooms stay light, scripts stay short: the house's diagram, enforced."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("dataset", "moco", "options", "tools")
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
MAY_IMPORT = {
    "dataset": {"dataset"},
    "moco": {"moco"},
    "options": {"options", "dataset"},
    "tools": {"tools", "dataset", "moco"},
}
"""Rooms of ours that a room may import from."""
OF_OTHERS = {"dataset": {"numpy", "torch"}, "moco": {"torch"}, "options": set()}
"""Packages of others that a room may import; tools may import any."""
LIGHT = ("dataset/skeleton.py", "dataset/protocols.py")
"""What options read, so without torch and numpy like them."""
LONGEST_SCRIPT = 70


def imports(path: Path, everywhere: bool = True):
    """(line, module) of each import; with `everywhere` false only what importing the file runs."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if everywhere else _run_on_import(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports relatively"
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _run_on_import(node):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _run_on_import(child)


def files(room):
    return sorted(path for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts)


def outside(names):
    """Packages that are neither ours nor Python's own."""
    return {name for name in names if name not in sys.stdlib_module_names and name not in ROOMS}


EVERY_FILE = [(room, path) for room in ROOMS for path in files(room)]
NAMED = [str(path.relative_to(ROOT)) for _, path in EVERY_FILE]


@pytest.mark.parametrize(("room", "path"), EVERY_FILE, ids=NAMED)
def test_imports_point_down_only(room, path):
    for line, module in imports(path):
        package = module.split(".")[0]
        where = f"{path.relative_to(ROOT)}:{line} imports {module}"
        assert package != "tests", where
        assert f"{package}.py" not in SCRIPTS, where
        if package in ROOMS:
            assert package in MAY_IMPORT[room], where
        elif room in OF_OTHERS and package not in sys.stdlib_module_names:
            assert package in OF_OTHERS[room], where


@pytest.mark.parametrize("name", LIGHT)
def test_what_options_read_needs_neither_torch_nor_numpy(name):
    path = ROOT / name
    assert outside(module.split(".")[0] for _, module in imports(path)) == set()
    for _, module in imports(path):
        if module.startswith("dataset."):
            assert ".".join(module.split(".")[:2]) in ("dataset.skeleton", "dataset.protocols")


def test_options_read_only_the_light_part_of_the_data_set():
    for path in files("options"):
        for line, module in imports(path):
            if module.split(".")[0] == "dataset":
                read = ".".join(module.split(".")[:2])
                where = f"{path.relative_to(ROOT)}:{line} imports {module}"
                assert read in ("dataset.skeleton", "dataset.protocols"), where


@pytest.mark.parametrize("room", ["dataset", "options", "tools"])
def test_opening_a_room_brings_nothing_heavy(room):
    assert list(imports(ROOT / room / "__init__.py")) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_short_and_loads_only_options_and_errors_until_they_are_right(script):
    path = ROOT / script
    assert len(path.read_text().splitlines()) <= LONGEST_SCRIPT
    loaded = {module for _, module in imports(path, everywhere=False)}
    ours = {module for module in loaded if module.split(".")[0] not in sys.stdlib_module_names}
    assert all(module.startswith(("options.", "tools.errors")) for module in ours), ours


def test_importing_the_scripts_loads_neither_torch_nor_numpy():
    program = (
        f"import sys, {', '.join(name.removesuffix('.py') for name in SCRIPTS)}\n"
        "print(sorted({'torch', 'numpy', 'tqdm', 'moco', 'tools.runtime'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_module_says_in_its_first_line_what_it_is():
    for path in [*(path for _, path in EVERY_FILE), *(ROOT / script for script in SCRIPTS)]:
        text = path.read_text()
        assert not text.strip() or ast.get_docstring(ast.parse(text)), path.relative_to(ROOT)
