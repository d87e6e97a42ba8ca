"""Axes of the matrix that change a scenario: guest size, vCPUs, conversions, punches, NUMA, injection, engine.

A setting is an axis and a value. Settings stand behind the scenario in the name of a cell, in the order of AXES:
`bounce-buffer:punch-first@guest=64M,conversion=4K/guest-memfd/none/4K`. What a scenario or a design cannot express has
a reason, as every cell that is not applicable.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import product

from gmembench.benchmarks.scenario import NONE, PUNCH_POLICIES, Parameters, Scenario
from gmembench.core.errors import UserError
from gmembench.core.programs import Design, Hardware

Settings = tuple[tuple[str, str], ...]

AXES = ("guest", "vcpus", "conversion", "punch", "numa", "inject", "engine")
"""In the order in which they stand in a name."""

NUMA = {"one": (1, "default"), "first-touch": (2, "default"), "interleave": (2, "interleave"), "bind-0": (2, "bind:0")}
"""Value -> NUMA nodes, and the policy that the VMM gives its mapping."""

ENGINES = ("model", "live")
VCPUS_AT_MOST = 64
UNITS = {"K": 1, "M": 1 << 8, "G": 1 << 18}
"""Unit of a size -> gfns, after the number is divided by 4 for K."""

LEAST_GUEST_GFNS = 1 << 12


def gfns_of(text: str) -> int:
    """The gfns of a size such as 4K, 64M or 1G; 0 if it is none, or no power of two."""
    found = re.fullmatch(r"(\d+)([KMG])", text)
    if not found:
        return 0
    number = int(found[1])
    gfns = number // 4 if found[2] == "K" and number % 4 == 0 else number * UNITS[found[2]] * (found[2] != "K")
    return gfns if gfns > 0 and gfns & (gfns - 1) == 0 else 0


def _mend(axis: str, value: str) -> str:
    """How a value must look; "" if it looks so. What is injected is looked up later."""
    if axis == "guest" and gfns_of(value) < LEAST_GUEST_GFNS:
        return "give a power of two of at least 16M, such as 64M or 4G"
    if axis == "conversion" and not gfns_of(value):
        return "give a power of two, such as 4K, 64K or 2M"
    if axis == "vcpus" and not (value.isdecimal() and 1 <= int(value) <= VCPUS_AT_MOST):
        return f"give 1 to {VCPUS_AT_MOST}"
    known: Mapping[str, Sequence[str]] = {"punch": PUNCH_POLICIES, "numa": tuple(NUMA), "engine": ENGINES}
    if axis in known and value not in known[axis]:
        return f"choose one of {', '.join(known[axis])}"
    return ""


def check(axis: str, value: str, where: str) -> None:
    """Raise UserError unless the axis exists and the value is one of its."""
    if axis not in AXES:
        raise UserError(f"no axis {axis!r}", where, f"choose one of {', '.join(AXES)}")
    mend = _mend(axis, value)
    if mend:
        raise UserError(f"{value!r} is no value of {axis}", where, mend)


def parse_option(texts: Sequence[str]) -> dict[str, list[str]]:
    """Axis -> values, from options such as `vcpus=1,2,4`. Raises UserError."""
    found: dict[str, list[str]] = {}
    for text in texts:
        axis, equals, values = text.partition("=")
        if not equals or not values:
            raise UserError("no axis and values", f"--axis {text}", "write it as --axis vcpus=1,2,4")
        for value in values.split(","):
            check(axis, value, f"--axis {text}")
            found.setdefault(axis, []).append(value)
    return found


def combinations(values: Mapping[str, Sequence[str]]) -> list[Settings]:
    """All combinations of the values, each in the order of AXES."""
    axes = [axis for axis in AXES if axis in values]
    return [tuple(zip(axes, chosen, strict=True)) for chosen in product(*(values[axis] for axis in axes))]


def text_of(settings: Settings) -> str:
    """As it stands behind a scenario; "" for none."""
    return "@" + ",".join(f"{axis}={value}" for axis, value in settings) if settings else ""


def split(scenario: str) -> tuple[str, str, Settings]:
    """Name, variant and settings of a cell's scenario."""
    plain, _, text = scenario.partition("@")
    name, _, variant = plain.partition(":")
    pairs = (pair.partition("=") for pair in text.split(",") if pair)
    return name, variant, tuple((axis, value) for axis, _, value in pairs)


def natural(scenario: Scenario, variant: str, parameters: Parameters) -> dict[str, str]:
    """The values that a scenario has where no setting changes them, as far as they can be said as values."""
    gfns = scenario.guest_gfns(parameters)
    return {
        "guest": f"{gfns >> 18}G" if gfns >= 1 << 18 else f"{gfns >> 8}M",
        "vcpus": str(parameters.get("vcpus", "")),
        "punch": str(parameters.get("punch", NONE)),
        "numa": scenario.numa,
        "inject": NONE,
        "engine": "model",
    }


def placed(scenario: Scenario, variant: str, settings: Settings, parameters: Parameters) -> str | None:
    """The name of a variant with settings, without those that it has anyway; None if another variant stands for it.

    Where the variants of a scenario are policies of punching, a policy without a variant has the name of none.
    """
    own = natural(scenario, variant, parameters)
    left = tuple((axis, value) for axis, value in settings if own.get(axis) != value)
    asked = dict(settings).get("punch")
    if asked and scenario.varies_punch:
        policies = {name: str(changes["punch"]) for name, changes in scenario.variants.items()}
        if asked in policies.values() and policies[variant] != asked:
            return None
        if asked not in policies.values():
            if variant != next(iter(policies)):
                return None
            variant = ""
    return f"{scenario.name}:{variant}{text_of(left)}" if variant else f"{scenario.name}{text_of(left)}"


def changes_of(scenario: Scenario, settings: Settings, parameters: Parameters) -> dict[str, int | str]:
    """The parameters that settings change."""
    found: dict[str, int | str] = {}
    for axis, value in settings:
        if axis == "guest":
            found |= scenario.guest(gfns_of(value), parameters)
        elif axis == "conversion":
            found["conversion_gfns"] = gfns_of(value)
        elif axis == "vcpus":
            found["vcpus"] = int(value)
        elif axis != "engine":
            found[axis] = value
    return found


def why_not_settings(
    scenario: Scenario, settings: Settings, parameters: Parameters, design: Design, hardware: Hardware
) -> str | None:
    """Why a design cannot run a scenario with some settings; None if it can. `parameters` have the settings."""
    chosen = dict(settings)
    if chosen.get("engine") == "live":
        return f"the live engine, a real KVM that would run {design.name}, is not part of this version"
    for axis in chosen:
        if axis in scenario.fixed:
            return f"{scenario.name} has no axis {axis} for {design.name} or any other: {scenario.fixed[axis]}"
    reason = scenario.unfit_settings(chosen, parameters) or _no_conversion(scenario, chosen, parameters, design)
    reason = reason or _no_punch(chosen, parameters, design) or _no_policy(chosen, design)
    if reason is None and "inject" in chosen:
        from gmembench.inject.injection import why_no_injection  # a tenth of a second, which few processes need

        reason = why_no_injection(chosen["inject"], design, hardware)
    return f"{design.name}: {reason}" if reason else None


def _no_conversion(scenario: Scenario, chosen: Mapping[str, str], parameters: Parameters, design: Design) -> str | None:
    if "conversion" not in chosen:
        return None
    if "convert" not in design.programs:
        return f"no conversion: {design.not_applicable.get('convert', 'no program does this')}"
    most = int(parameters.get(scenario.converted, 0))
    if gfns_of(chosen["conversion"]) > most:
        return f"{scenario.name} converts {most * 4}K at a time at most, and {chosen['conversion']} is more"
    return None


def _no_punch(chosen: Mapping[str, str], parameters: Parameters, design: Design) -> str | None:
    policy = chosen.get("punch", NONE)
    if policy == NONE:
        return None
    for program in ("convert", "punch"):
        if program not in design.programs:
            return f"no {program}: {design.not_applicable.get(program, 'no program does this')}"
    if policy.endswith("-after") and (design.one_copy or design.gmem_only):
        return "one page for private and shared memory: a punch after the conversion would free the page in use"
    if policy.startswith("batched") and not int(parameters.get("conversion_gfns", 0)):
        return f"one conversion is one batch here, so it would be {policy.replace('batched', 'eager')}; set conversion"
    return None


def _maps_its_file(design: Design) -> bool:
    """Whether the VMM maps the file of private memory all the same: its faults go by markers in page-table entries."""
    access = design.programs.get("access")
    return access is not None and any(row.step.startswith("enc.") for row in access.rows)


def _no_policy(chosen: Mapping[str, str], design: Design) -> str | None:
    policy = NUMA[chosen.get("numa", "one")][1]
    if policy != "default" and design.file and not design.one_copy and not _maps_its_file(design):
        return "private memory lies in a file that nobody maps, so mbind() cannot give it a policy"
    return None
