"""Fixed sequences of operations end in the same state, with the same counts, compiled and interpreted.

`pytest tests/core/test_golden.py --regenerate-golden` writes tests/data/golden.json anew, after a change
that is meant to change states or rows. Read the difference before you keep it.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import consistency
import numpy as np
import pytest
from small_worlds import ALL_DESIGNS, EVERY_DESIGN_AND_SIZE, NOT_KEPT, machine, random_operations

from gmembench.core import jit

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden.json"
GFNS = 40
LENGTH = 150

Counts = dict[str, Any]


def outcome_of(design: str, size: str) -> Counts:
    """State hash and counts after the fixed sequence."""
    m = machine(design, size, gfns=GFNS, slots=((0, 17), (17, 7), (28, 9)), nodes=2, tlb_entries=8)
    asked = random_operations(design, 1, LENGTH, GFNS)
    m.driver.run(asked, 0, LENGTH)
    before_teardown = digest(m.world.buffer)
    assert consistency.faults(m.world, without=NOT_KEPT.get(design, frozenset())) == []
    m.driver.run(asked, LENGTH)
    steps = dict.fromkeys(ALL_DESIGNS[design].programs, 0)
    for item, hits in zip(m.code.info, m.driver.hits.tolist(), strict=True):
        steps[item.program] += hits
    peaks = ("private_pages_peak", "shared_pages_peak", "backing_pages_peak", "double_backed_pages_peak")
    counters = ("inval_seq", "zeroed_pages", "ipis", "slot_generation", *peaks)
    return {
        "state": before_teardown,
        "state_after_teardown": digest(m.world.buffer),
        "rows": digest(m.driver.hits),
        "branches": digest(m.driver.taken),
        "steps": dict(sorted(steps.items())),
        "results": digest(m.driver.results),
        "counters": {name: m.world[name] for name in counters},
    }


def digest(array: np.ndarray) -> str:
    """16 hex digits of an array's bytes."""
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=8).hexdigest()


def every_outcome() -> dict[str, Counts]:
    """Outcomes of every design with each of its page sizes."""
    return {f"{design}/{size}": outcome_of(design, size) for design, size in EVERY_DESIGN_AND_SIZE}


def test_states_and_counts_are_the_recorded_ones(request: pytest.FixtureRequest) -> None:
    """State hashes, rows, results and counters of the fixed sequences are those of tests/data/golden.json."""
    outcomes = every_outcome()
    if request.config.getoption("--regenerate-golden", default=False):
        GOLDEN.write_text(json.dumps(outcomes, indent=1, sort_keys=True) + "\n")
    assert outcomes == json.loads(GOLDEN.read_text()), "meant? then run this file with --regenerate-golden"


def test_a_second_run_is_the_same() -> None:
    """The same sequence on a fresh world ends in the same bytes: there is no clock and no chance."""
    assert outcome_of("guest-memfd", "2M") == outcome_of("guest-memfd", "2M")


@pytest.mark.skipif(jit.INTERPRETED, reason="this run is the interpreted one")
def test_interpreted_runs_give_the_same() -> None:
    """Plain Python ends in the same states with the same counts as compiled code."""
    tests = Path(__file__).resolve().parents[1]
    text = "import json, test_golden; print(json.dumps(test_golden.every_outcome()))"
    path = os.pathsep.join([str(tests), str(Path(__file__).parent), *filter(None, sys.path)])
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == every_outcome()
