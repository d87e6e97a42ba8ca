"""Counted numbers do not depend on how they were counted."""

from pathlib import Path
from typing import Any

import pytest

from gmembench.benchmarks import child, counters
from gmembench.core.jit import DIGEST, INTERPRETED

SCENARIO = '''
"""The guest is made private and touched, then shared and touched again, in pieces of four gfns."""
import numpy as np
from gmembench.benchmarks.scenario import Scenario, Workload, booted, shared, touched

def build(parameters):
    gfns = parameters["gfns"]
    pieces = [work for first in range(0, gfns, 4) for work in (*shared(first, 4, parameters, actor=2),
        touched(first, 4, 2, 2))]
    return Workload(np.concatenate([*booted(parameters), *pieces]), gfns, ((0, gfns),), 2, 1, region_gfns=4)

SIZES = {size: {"gfns": 16, "vcpus": 2, "range_gfns": 4, "punch": "eager-before"} for size in ("small", "full")}
SCENARIO = Scenario("there-and-back", __doc__, SIZES, build, needs=("convert",))
'''

NAMES = [
    f"there-and-back/{rest}"
    for rest in ("guest-memfd/none/4K", "fd-private/none/4K", "guest-memfd-inplace/tdx/4K", "guest-memfd/none/2M")
]


def counted(folder: Path, children: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The counted numbers of NAMES, by cell, without tables of rows: each child tells those once."""
    monkeypatch.setattr(child, "AT_ONCE", children)
    request = child.Request("small", (folder,), None, DIGEST)
    return {line["cell"]: line["counted"] for line in counters.counted_lines(NAMES, request)}


@pytest.mark.skipif(INTERPRETED, reason="it compares interpreted rows with compiled ones, and starts both itself")
def test_counted_numbers_are_the_same_however_they_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker or two, compiled or interpreted: all numbers, the hits of rows and the digest of the end are equal."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "there_and_back.py").write_text(SCENARIO)
    one = counted(tmp_path, 1, monkeypatch)
    assert sorted(one) == sorted(NAMES)
    assert all(numbers["count.conversions"] > 0 and numbers["check.state"] for numbers in one.values())
    assert counted(tmp_path, 2, monkeypatch) == one
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert counted(tmp_path, 1, monkeypatch) == one
