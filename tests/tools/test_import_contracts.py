"""The import contracts of pyproject.toml name every package, so that a new one fails until someone gives it a place."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in SETTINGS["contracts"]}
LAYERS = CONTRACTS["Imports go down the layers only, and every package has a layer"]


def packages_in(folder: Path) -> set[str]:
    """Folders that hold Python modules, directly."""
    found = {path.parent.name for path in folder.glob("*/*.py")}
    return {name for name in found if not name.startswith(".") and name not in ("build", "dist", "shared")}


def test_every_folder_of_code_has_a_root_package() -> None:
    assert packages_in(ROOT) == {*SETTINGS["root_packages"], "tests"}


def test_only_three_packages_may_import_the_drawn_world_and_it_imports_only_three() -> None:
    packages = packages_in(ROOT / "qwen2vl")
    drawing = CONTRACTS["Only recipes, agent and cli import the drawn world"]["source_modules"]
    assert set(drawing) == {f"qwen2vl.{name}" for name in packages - {"recipes", "agent", "cli"}}
    upward = CONTRACTS["The drawn world imports processing, spec and common only"]["forbidden_modules"]
    assert set(upward) == {f"qwen2vl.{name}" for name in packages - {"processing", "spec", "common"}}


def lint(config: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of a file, in a process of its own, because import-linter disables all loggers."""
    program = (
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(sys.argv[1], cache_dir=None))"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(config)], cwd=config.parent, capture_output=True, text=True, check=False
    )


def test_a_package_without_a_layer_breaks_the_contract(tmp_path: Path) -> None:
    """Checked on a package of empty modules with the same layers."""
    layers = [name.strip(" ()") for line in LAYERS["layers"] for name in line.split("|")]
    for name in (*layers, "nameless"):
        (tmp_path / "house" / name).mkdir(parents=True)
        (tmp_path / "house" / name / "__init__.py").touch()
    (tmp_path / "house" / "__init__.py").touch()
    (tmp_path / "house" / "__main__.py").touch()
    config = tmp_path / "setup.cfg"
    lines = "\n    ".join(LAYERS["layers"])
    config.write_text(
        "[importlinter]\nroot_package = house\n\n[importlinter:contract:1]\nname = layers\ntype = layers\n"
        f"containers =\n    house\nlayers =\n    {lines}\n"
        f"exhaustive = {LAYERS['exhaustive']}\nexhaustive_ignores =\n    {' '.join(LAYERS['exhaustive_ignores'])}\n"
    )
    broken = lint(config)
    assert broken.returncode == 1 and "nameless" in broken.stdout
    (tmp_path / "house" / "nameless" / "__init__.py").unlink()
    (tmp_path / "house" / "nameless").rmdir()
    assert lint(config).returncode == 0
