"""What there is: parts are found by walking folders, and registered by being there.

A part is a file that defines one value. Its file name is the part's name with underscores. Parts
kept outside the package lie in `DIR/designs/`, `DIR/hardware/`, `DIR/invariants/`, `DIR/scenarios/`, `DIR/events/` and
`DIR/exploration/` (scenarios of exploration) of a folder
given with `--path`.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from gmembench.core.errors import UserError
from gmembench.core.invariant import Invariant
from gmembench.core.programs import Design, Hardware, assemble

CORE = Path(__file__).resolve().parent


def load_file(path: Path) -> ModuleType:
    """Import one file of a folder outside the package. Raises UserError, naming the file, if it does not import."""
    name = f"gmembench_parts_{abs(hash(path.resolve())):x}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError("no Python file", str(path), "name it <part>.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as fault:  # whatever a user's file raises is the user's to mend
        raise UserError(f"does not import: {type(fault).__name__}: {fault}", str(path), "mend the file") from fault
    return module


def modules(package: str, folder: Path, kind: str, paths: Sequence[Path]) -> Iterable[tuple[Path, ModuleType]]:
    """The modules of a folder of the package in sorted order, then those of `<path>/<kind>/` for each path."""
    for path in sorted(folder.glob("*.py")):
        if path.stem != "__init__":
            yield path, importlib.import_module(f"{package}.{path.stem}")
    for outside in paths:
        check_path(outside)
        for path in sorted((outside / kind).glob("*.py")):
            if path.stem != "__init__":
                yield path, load_file(path)


def check_path(outside: Path) -> None:
    """Raises UserError unless the folder exists and holds parts."""
    kinds = ("designs", "hardware", "invariants", "scenarios", "events", "exploration", "plans")
    if not any((outside / kind).is_dir() for kind in kinds):
        raise UserError(
            "holds no parts", str(outside), f"give a folder with {', '.join(kinds[:-1])} or {kinds[-1]} in it"
        )


def collect(found: Iterable[tuple[Path, ModuleType]], value: str, kind: type[Any]) -> dict[str, Any]:
    """name -> part. Each file must define `value` of the given kind, named like the file, once."""
    parts: dict[str, Any] = {}
    for path, module in found:
        part = getattr(module, value, None)
        if not isinstance(part, kind):
            raise UserError(f"defines no {value} of kind {kind.__name__}", str(path), f"give it one value {value}")
        if part.name.lower().replace("-", "_") != path.stem:
            raise UserError(
                f"{value} is called {part.name!r}",
                str(path),
                "name the file like the part, in small letters with underscores",
            )
        if part.name in parts:
            raise UserError(f"{part.name!r} is defined twice", str(path), "give it another name")
        parts[part.name] = part
    return parts


def load_designs(paths: Sequence[Path] = ()) -> dict[str, Design]:
    """All designs by name. Raises UserError for a file outside the package that is no design."""
    found = modules("gmembench.core.designs", CORE / "designs", "designs", paths)
    designs: dict[str, Design] = collect(found, "DESIGN", Design)
    for design in designs.values() if paths else ():  # those of the package alone are assembled by its tests
        try:
            assemble(design, load_hardware()["none"])
        except ValueError as fault:
            raise UserError(str(fault), f"design {design.name}", "mend its rows") from fault
    return designs


def load_hardware(paths: Sequence[Path] = ()) -> dict[str, Hardware]:
    """All kinds of hardware by name."""
    found = modules("gmembench.core.hardware", CORE / "hardware", "hardware", paths)
    return collect(found, "HARDWARE", Hardware)


def load_invariants(paths: Sequence[Path] = ()) -> dict[str, Invariant]:
    """All invariants by name. Raises UserError for a file outside the package that is no invariant."""
    found = modules("gmembench.core.invariants", CORE / "invariants", "invariants", paths)
    return collect(found, "INVARIANT", Invariant)
