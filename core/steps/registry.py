"""What a step is, the outcomes it may have, and the registry that the step functions themselves fill."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from gmembench.core import steps as family_folder
from gmembench.core.jit import part
from gmembench.core.views import Record

PLACES = (
    "kvm-fault",
    "kvm-invalidate",
    "kvm-attributes",
    "kvm-memslot",
    "mm",
    "backing",
    "hardware",
    "vmm",
    "guest",
)
NATURES = ("check", "lock", "state", "callback", "spte-bits", "refcount", "flush", "alloc", "zero", "hw-op")

StepFunction = Callable[[Record, Record, Record], int]


@dataclass(frozen=True)
class Step:
    """One step: its name `family.function`, where it stands, and what may come of it.

    `place` and `nature` are from PLACES and NATURES. `site` is the function it stands for, in the
    kernel unless the place says otherwise. `outcomes`: names beside *next*, *again* and *blocked*.
    `guards` says what the step protects when that lies outside the model, else "".
    """

    name: str
    place: str
    nature: str
    site: str
    outcomes: tuple[str, ...]
    guards: str
    doc: str
    function: Any


def step(
    place: str, nature: str, site: str, outcomes: tuple[str, ...] = (), guards: str = ""
) -> Callable[[StepFunction], Step]:
    """Make a step of a function (header, actor, row) -> outcome code. Its docstring's first line is its doc."""
    if place not in PLACES or nature not in NATURES or len(outcomes) > 4:
        raise ValueError(f"step at {site}: unknown place {place!r} or nature {nature!r}, or over 4 outcomes")

    def register(function: StepFunction) -> Step:
        family = function.__module__.rpartition(".")[2]
        doc = (function.__doc__ or "").strip().splitlines()
        if not doc:
            raise ValueError(f"step {family}.{function.__name__} has no docstring")
        name = f"{family}.{function.__name__.rstrip('_')}"
        return Step(name, place, nature, site, outcomes, guards, doc[0], part(function, inlined=True))

    return register


def families() -> list[ModuleType]:
    """The modules below `core/steps/` that define steps, in sorted order. Import errors propagate."""
    names = sorted(m.name for m in pkgutil.iter_modules(family_folder.__path__) if m.name not in ("registry", "table"))
    return [importlib.import_module(f"{family_folder.__name__}.{name}") for name in names]


@cache
def all_steps() -> tuple[Step, ...]:
    """Every step, in the order of its code: by module, then as written."""
    return tuple(item for module in families() for item in vars(module).values() if isinstance(item, Step))
