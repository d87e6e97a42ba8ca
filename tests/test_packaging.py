"""What is packaged is what is in the tree, and it works installed."""

import ast
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("benchmarks", "core", "inject", "reports")
IMPORT_NAMES = {"pillow": "PIL", "pytest-benchmark": "pytest_benchmark", "pyyaml": "yaml"}


def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def sources(folders: Iterable[str] = FOLDERS) -> list[Path]:
    """All Python files of the four folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def kernel_suite() -> set[Path]:
    """The suite of our own kernels, which pytest runs."""
    return {ROOT / "benchmarks" / "conftest.py", *(ROOT / "benchmarks").glob("test_*.py")}


def subpackages() -> dict[str, str]:
    """Import name to folder, for every folder with Python files."""
    folders = {path.parent.relative_to(ROOT) for path in sources()}
    return {"gmembench": "gmembench"} | {".".join(("gmembench", *f.parts)): f.as_posix() for f in folders}


def test_every_subpackage_is_named() -> None:
    """Both lists in pyproject.toml hold exactly the folders with Python files."""
    setuptools = project()["tool"]["setuptools"]
    assert setuptools["package-dir"] == subpackages()
    assert sorted(setuptools["packages"]) == sorted(subpackages())


def test_every_subpackage_has_an_init() -> None:
    """No folder with Python files is a namespace package, which a wheel would take for data."""
    assert [folder for folder in subpackages().values() if not (ROOT / folder / "__init__.py").is_file()] == []


def test_the_links_lead_to_the_folders() -> None:
    """gmembench/ holds one relative link for each folder that has sources."""
    links = {path.name: path.readlink().as_posix() for path in (ROOT / "gmembench").iterdir() if path.is_symlink()}
    used = {name.split(".")[1] for name in subpackages() if "." in name}
    assert used <= set(links)
    assert all(target == f"../{name}" for name, target in links.items())


def imported(paths: Iterable[Path]) -> set[str]:
    """Names of the foreign top-level packages that the files import."""
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"gmembench"}


def declared(requirements: Iterable[str]) -> set[str]:
    """Import names of the packages in a list of requirements."""
    names = {requirement.split(">")[0].split("=")[0].strip() for requirement in requirements}
    return {IMPORT_NAMES.get(name, name) for name in names}


def test_dependencies_are_those_used() -> None:
    """Every package that is declared is imported, and every one that is imported is declared.

    Those of the extra `peers` are imported by the peers only, inside functions: nothing else needs them.
    """
    peers = declared(project()["project"]["optional-dependencies"]["peers"])
    used = set(sources()) - kernel_suite()
    assert imported(used) == declared(project()["project"]["dependencies"]) | peers
    assert imported(used - set(sources(["benchmarks/peers"]))) & peers == set()


def test_tests_import_what_is_declared() -> None:
    """Tests use the packages of gmembench, of its group `test`, and modules beside them, and no others.

    So does the suite of our own kernels.
    """
    own = set(project()["project"]["optional-dependencies"]["test"])
    beside = {path.stem for path in [*(ROOT / "tests").iterdir(), *(ROOT / "tests").rglob("*.py")]}
    used = imported([*(ROOT / "tests").rglob("*.py"), *kernel_suite()]) - beside
    assert used <= declared([*own, *project()["project"]["dependencies"]])


@pytest.mark.parametrize("library", ["pandas", "matplotlib"])
def test_only_reports_use(library: str) -> None:
    """The libraries of the report are imported nowhere else."""
    assert library not in imported(sources(["benchmarks", "core", "inject"]))


@pytest.mark.parametrize(
    ("folder", "others"),
    [("core", {"inject", "benchmarks", "reports"}), ("inject", {"benchmarks", "reports"})],
)
def test_imports_point_one_way(folder: str, others: set[str]) -> None:
    """benchmarks may import inject and core, inject may import core, and never the other way."""
    for path in sources([folder]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("gmembench."):
                assert node.module.split(".")[1] not in others, path


def test_reports_know_result_files_only() -> None:
    """Of the other folders, the report imports nothing but the error that users see."""
    for path in sources(["reports"]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("gmembench."):
                assert node.module.startswith("gmembench.reports") or node.module == "gmembench.core.errors", path


def test_the_wheel_holds_sources_and_data_and_no_tests(wheel: Path) -> None:
    """All sources of the tree and all data files are in the wheel, and nothing else."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {f"gmembench/{path.relative_to(ROOT)}" for path in sources()}
    wanted |= {f"gmembench/{name}" for name in ("__init__.py", "__main__.py", "py.typed")}
    data = {
        "benchmarks": "*.toml",
        "benchmarks/peers/promela": "*.pml",
        "benchmarks/traces": "*.xz",
        "inject/plans": "**/*.toml",
        "inject/scenarios": "*.toml",
        "reports/templates": "*",
    }
    for folder, pattern in data.items():
        wanted |= {f"gmembench/{path.relative_to(ROOT)}" for path in (ROOT / folder).glob(pattern)}
    assert names == wanted


def clean_environment(cache: Path) -> dict[str, str]:
    """An environment in which nothing leads to the checkout, and with a cache of its own."""
    variables = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONSAFEPATH"}}
    return variables | {"GMEMBENCH_CACHE_DIR": str(cache)}


@pytest.mark.cold
def test_the_installed_command_runs_its_own_sources(
    wheel: Path, tmp_path: Path, python_with: Callable[..., Path]
) -> None:
    """Started in a folder that holds another checkout, the command and its workers use the installed sources.

    The other checkout is broken: whoever imports it fails.
    """
    python = python_with(tmp_path / "env", install=[str(wheel)])
    trap = tmp_path / "trap"
    (trap / "gmembench").mkdir(parents=True)
    (trap / "gmembench" / "__init__.py").write_text("raise ImportError('the wrong checkout')\n")
    command = [str(python.with_name("gmembench")), "run", "--quick", "--cells", first_cell(), "-o", "result.json"]
    done = subprocess.run(
        command, cwd=trap, env=clean_environment(tmp_path / "cache"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (trap / "result.json").is_file()


def first_cell() -> str:
    """The name of a small cell that can run."""
    from gmembench.benchmarks.cells import list_cells

    return next(cell.name for cell in list_cells("small", (), None) if cell.reason is None)


def test_a_suite_that_runs_nothing_fails() -> None:
    """pytest that selects no test ends with an error, so an environment that tests nothing is red."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "no_such_name"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 5, done.stdout
