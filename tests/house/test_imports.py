"""Imports point down only, rooms stay light, scripts stay short: the house's diagram, enforced."""

import ast
import sys
from pathlib import Path

import pytest

import moco
from tests.support.imported import ROOT, imported_by

ROOMS = ("dataset", "moco", "options", "tools")
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
MAY_IMPORT = {
    "dataset": {"dataset"},
    "moco": {"moco"},
    "options": {"options", "dataset", "moco"},
    "tools": {"tools", "options", "dataset", "moco"},
}
"""Rooms of ours that a room may import from."""
OF_OTHERS = {"dataset": {"numpy", "torch"}, "moco": {"torch"}, "options": set()}
"""Packages of others that a room may import; tools may import any."""
OPTIONS_READ = {"moco.config", "dataset.skeleton", "dataset.protocols"}
"""What options may import of other rooms."""
LIGHT = {
    "dataset/skeleton.py": set(),
    "dataset/protocols.py": {"dataset.custom"},
    "dataset/custom.py": {
        "dataset.joint_maps",
        "dataset.protocols",
        "dataset.reading",
        "dataset.skeleton",
    },
    "dataset/joint_maps.py": {"dataset.skeleton"},
    "dataset/reading.py": set(),
    "moco/config.py": set(),
    "options/terminal.py": set(),
    "tools/errors.py": {"options.terminal", "tools.files"},
    "tools/files.py": set(),
    "tools/signals.py": set(),
}
"""What must need neither torch nor numpy, and the modules of ours that each may import."""
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


def own_modules(path):
    """(line, module of ours) of each import; `from room import name` counts for the name."""
    for line, module in imports(path):
        parts = module.split(".")
        if parts[0] in ROOMS and len(parts) > 1:
            yield line, ".".join(parts[:2])


@pytest.mark.parametrize("name", LIGHT)
def test_what_options_read_needs_neither_torch_nor_numpy(name):
    path = ROOT / name
    assert outside(module.split(".")[0] for _, module in imports(path)) == set()
    assert {module for _, module in own_modules(path)} <= LIGHT[name]


def test_options_read_only_the_light_part_of_the_other_rooms():
    for path in files("options"):
        for line, module in own_modules(path):
            where = f"{path.relative_to(ROOT)}:{line} imports {module}"
            assert module.startswith("options.") or module in OPTIONS_READ, where


@pytest.mark.parametrize("module", ["moco.config", "dataset.custom", "options.groups"])
def test_reading_a_configuration_loads_no_package(module):
    _, foreign, _ = imported_by(f"import {module}")
    assert foreign == []


def test_moco_opens_by_name_what_is_used_and_nothing_else():
    program = "import moco, sys\nassert 'torch' not in sys.modules\nmoco.HiCo\nmoco.EncoderConfig"
    _, foreign, _ = imported_by(program)
    assert "torch" in foreign
    with pytest.raises(AttributeError, match="moco has no attribute Nothing"):
        _ = moco.Nothing


@pytest.mark.parametrize("room", ["dataset", "options", "tools"])
def test_opening_a_room_brings_nothing_heavy(room):
    assert list(imports(ROOT / room / "__init__.py")) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_short_and_loads_only_options_and_errors_until_they_are_right(script):
    path = ROOT / script
    assert len(path.read_text().splitlines()) <= LONGEST_SCRIPT
    loaded = {module for _, module in imports(path, everywhere=False)}
    ours = {module for module in loaded if module.split(".")[0] not in sys.stdlib_module_names}
    assert all(
        module.startswith(("options.", "tools.errors", "tools.signals")) for module in ours
    ), ours


@pytest.mark.parametrize("script", SCRIPTS)
def test_importing_a_script_loads_no_package_and_no_part_of_the_model(script):
    module = script.removesuffix(".py")
    program = (
        f"import {module}, sys\nprint('tools.runtime' in sys.modules, 'moco.hico' in sys.modules)"
    )
    shown, foreign, _ = imported_by(program)
    assert foreign == []
    assert shown == "False False\n"


def test_every_module_says_in_its_first_line_what_it_is():
    for path in [*(path for _, path in EVERY_FILE), *(ROOT / script for script in SCRIPTS)]:
        text = path.read_text()
        assert not text.strip() or ast.get_docstring(ast.parse(text)), path.relative_to(ROOT)
