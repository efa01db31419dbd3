"""The package is what the tree says: links, wheel contents, the direction of imports, light drivers."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("agent", "drivers", "models", "simulations", "configs")
DATA = {
    *(".py", ".typed", ".toml", ".yaml", ".json", ".npz", ".gz", ".safetensors", ".xye"),
    *(".mako", ".html", ".css", ".js"),
}

# What each part may import of the others (design section 2).
MAY_IMPORT = {
    "models": set(),
    "drivers": {"models"},
    "simulations": {"models", "drivers"},
    "agent": {"models", "drivers"},
    "configs": set(),
}


def module_name(file: Path) -> str:
    return ".".join(("solvus", *file.relative_to(ROOT).with_suffix("").parts))


def imports_of(file: Path) -> set[str]:
    """Every solvus module that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("solvus.")}


def source_files() -> list[Path]:
    return [file for part in PARTS for file in sorted((ROOT / part).rglob("*.py"))]


def test_links_lead_to_the_top_level_folders() -> None:
    for part in PARTS:
        link = ROOT / "src" / "solvus" / part
        assert link.is_symlink() and not link.readlink().is_absolute()
        assert link.resolve() == ROOT / part


@pytest.mark.parametrize("file", source_files(), ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_point_one_way(file: Path) -> None:
    part = file.relative_to(ROOT).parts[0]
    name = module_name(file)
    if name.startswith(("solvus.agent.commandline.", "solvus.simulations.benchmarks.")):
        return  # these two assemble or measure everything
    for imported in imports_of(file):
        other = imported.split(".")[1]
        if other == part or other not in PARTS:
            continue
        assert other in MAY_IMPORT[part], f"{name} imports {imported}"
        if part == "drivers":
            assert (imported + ".").startswith("solvus.models.pattern."), f"{name} imports {imported}"


def test_package_init_files_are_empty() -> None:
    """But for that of the planner, which is usable without the rest."""
    for part in PARTS:
        for file in {*(ROOT / part).rglob("__init__.py")} - {ROOT / "agent" / "planner" / "__init__.py"}:
            assert file.read_text().strip() == "", f"{file} holds code"


def test_the_planner_is_imported_by_its_package_and_only_when_asked_for() -> None:
    code = "import sys\nimport solvus.agent.planner\nassert 'torch' not in sys.modules\n"
    code += "from solvus.agent.planner import Planner\nsys.exit(not callable(Planner.suggest))"
    assert subprocess.run([sys.executable, "-c", code], cwd="/").returncode == 0


def test_drivers_are_light() -> None:
    """A driver runs beside an instrument on a small machine: no torch, no SQLAlchemy, no scipy."""
    modules = [module_name(f) for f in sorted((ROOT / "drivers").glob("*.py")) if f.stem != "__init__"]
    code = "import sys, importlib\n"
    code += "".join(f"importlib.import_module({m!r})\n" for m in modules)
    code += "heavy = {'torch', 'sqlalchemy', 'sqlmodel', 'scipy', 'ase', 'botorch'} & set(sys.modules)\n"
    code += "sys.exit(f'heavy: {heavy}' if heavy else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr


def test_help_is_quick_to_import() -> None:
    """`solvus --help` must not wait for torch; and what reads the number of threads is not loaded before it is set."""
    code = "import sys, solvus.agent.commandline.app\nsys.exit(bool({'torch', 'botorch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd="/").returncode == 0


@pytest.mark.slow
def test_wheel_holds_the_tree_and_nothing_else(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        str(Path("solvus") / file.relative_to(ROOT))
        for part in PARTS
        for file in (ROOT / part).rglob("*")
        if file.is_file() and file.suffix in DATA and "__pycache__" not in file.parts
    }
    wanted |= {"solvus/__init__.py", "solvus/__main__.py", "solvus/py.typed"}
    assert held == wanted
