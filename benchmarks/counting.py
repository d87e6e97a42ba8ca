"""Counted numbers of a run, from the counters of its rows: exact, the same on every machine."""

import math

import numpy as np

from gmembench.core.drivers.sequential import Sequential
from gmembench.core.errno import EAGAIN, RESULT_NAMES
from gmembench.core.operations import PROGRAMS
from gmembench.core.outcomes import CODE
from gmembench.core.world import SPTE_GIGANTIC, SPTE_HUGE, SPTE_PRESENT, World

RETRIES = ("stale", "lost", "frozen", "root")
"""Outcomes after which a fault begins again; in an access, which never gives up, also `invalid`."""

GUEST_ROWS = ("enter.resume", "guest.translate", "guest.use")
"""Steps of an access that need no fault."""

FAULTING = ("access", "prefault")

LEAF_BITS = SPTE_PRESENT | SPTE_HUGE | SPTE_GIGANTIC
"""Bits of a stage-2 entry that say whether it maps, and what size."""

PEAKS = ("private_pages_peak", "shared_pages_peak", "backing_pages_peak", "double_backed_pages_peak")


def all_counts(driver: Sequential, work: np.ndarray) -> dict[str, int | str]:
    """All `count.*` entries, after a run of the operations `work`."""
    converts = work[work["program"] == PROGRAMS.index("convert")]
    return {
        **_operations(driver),
        "count.converted_gfns": int(converts["count"].sum()),  # asked for: designs store attributes in their own ways
        **_rows(driver),
        **_world(driver),
    }


def _operations(driver: Sequential) -> dict[str, int | str]:
    numbers: dict[str, int | str] = {"count.operations": int(driver.results.sum())}
    for number, name in enumerate(PROGRAMS):
        row = driver.results[number]
        if row.any():
            numbers[f"count.operations.{name}"] = int(row.sum())
            for result in np.flatnonzero(row).tolist():
                numbers[f"count.result.{name}.{RESULT_NAMES[result]}"] = int(row[result])
    return numbers


def _rows(driver: Sequential) -> dict[str, int | str]:
    info, hits = driver.code.info, driver.hits
    programs = dict.fromkeys(PROGRAMS, 0)
    for count, item in zip(hits.tolist(), info, strict=True):
        programs[item.program] += count
    numbers: dict[str, int | str] = {"count.steps": int(hits.sum())}
    numbers.update({f"count.steps.{name}": steps for name, steps in programs.items() if steps})
    in_guest = sum(
        int(h) for h, i in zip(hits, info, strict=True) if i.program in FAULTING and i.step.name in GUEST_ROWS
    )
    return numbers | {
        "count.faults": hits_of_step(driver, driver.code.hardware.classify),
        "count.fault_steps": sum(programs[name] for name in FAULTING) - in_guest,
        "count.conversions": int(driver.results[PROGRAMS.index("convert")].sum()),
        "count.conversion_steps": programs["convert"],
        "count.retries": retries(driver),
        "count.flushes": hits_of_step(driver, "flush.wait"),
    }


def _world(driver: Sequential) -> dict[str, int | str]:
    world = driver.world
    numbers: dict[str, int | str] = {f"count.{name}": world[name] for name in (*PEAKS, "ipis", "zeroed_pages", "warns")}
    return (
        numbers
        | _left_behind(world)
        | {
            "count.conversions_refused": int(driver.results[PROGRAMS.index("convert"), EAGAIN]),
            "count.gfns": world.geometry.gfns,
            "count.state_bytes": world.state_bytes,
            "count.state_bytes_per_gfn": math.ceil(world.bytes_per_gfn),
        }
    )


def _left_behind(world: World) -> dict[str, int | str]:
    """What there is at the end: stage-2 entries by the size they map, and pages that somebody pins."""
    of_size = np.bincount(world.arrays["frames"]["spte"]["bits"].ravel() & LEAF_BITS, minlength=LEAF_BITS + 1)
    gigantic = of_size[SPTE_PRESENT | SPTE_GIGANTIC] + of_size[SPTE_PRESENT | SPTE_GIGANTIC | SPTE_HUGE]
    return {
        "count.mappings_4k": int(of_size[SPTE_PRESENT]),
        "count.mappings_2m": int(of_size[SPTE_PRESENT | SPTE_HUGE]),
        "count.mappings_1g": int(gigantic),
        "count.pinned_pages": int(np.count_nonzero(world.arrays["pages"]["pins"])),
    }


def hits_of_step(driver: Sequential, step: str) -> int:
    """How often a step ran, in all rows that use it."""
    return sum(int(h) for h, i in zip(driver.hits, driver.code.info, strict=True) if i.step.name == step)


def retries(driver: Sequential) -> int:
    """How often a fault began again."""
    accesses = [position for position, item in enumerate(driver.code.info) if item.program == "access"]
    again = int(driver.taken[:, [CODE[name] for name in RETRIES]].sum())
    return again + int(driver.taken[accesses, CODE["invalid"]].sum())


def row_profile(driver: Sequential) -> list[dict[str, int | str]]:
    """Every row of the design with its place, nature, site and hits."""
    return [
        {
            "row": item.name,
            "step": item.step.name,
            "place": item.place,
            "nature": item.step.nature,
            "site": item.site,
            "hits": int(hits),
        }
        for item, hits in zip(driver.code.info, driver.hits, strict=True)
    ]
