"""A part of every kind is one file in a folder given with --path, and nothing else has to change."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gmembench.benchmarks.cells import cell_named
from gmembench.benchmarks.child import Request
from gmembench.benchmarks.commands.listing import KINDS
from gmembench.benchmarks.counter import answer
from gmembench.core.jit import DIGEST

DESIGN = """
from gmembench.core.designs.guest_memfd import ACCESS, DESIGN as BASE
DESIGN = BASE.edited("one-precheck", access=ACCESS.without("fault.precheck_stale_2"))
"""

HARDWARE = '''
"""A table of owners that is asked before a page of the file is mapped."""
from gmembench.core.hardware.none import HARDWARE as NONE
from gmembench.core.programs import row
from dataclasses import replace
HARDWARE = replace(NONE, name="owner-table", doc=__doc__, hooks={"map": (row("map.precheck", {"stale": "@lost"},
    step="fault.precheck_stale"),)})
'''

SCENARIO = '''
"""Eight pages are made private and touched."""
from gmembench.benchmarks.scenario import Scenario, Workload, booted
import numpy as np
def build(parameters):
    gfns = parameters["gfns"]
    return Workload(np.concatenate(booted({**parameters, "vcpus": 1, "range_gfns": 8})), gfns, ((0, gfns),), 1, 1)
SCENARIO = Scenario("eight-pages", __doc__, {"small": {"gfns": 8}, "full": {"gfns": 8}}, build)
'''

INVARIANT = '''
"""mmu_lock is not held for writing and for reading at once."""
from gmembench.core.invariant import Invariant, Rule
def both(w):
    return 1 if w["mmu_writer"] != 0 and w["mmu_readers"] != 0 else 0
INVARIANT = Invariant("LOCK", __doc__, state=Rule(both, "mmu_lock is held both ways"))
'''

FILES = {
    "designs/one_precheck.py": DESIGN,
    "hardware/owner_table.py": HARDWARE,
    "scenarios/eight_pages.py": SCENARIO,
    "invariants/lock.py": INVARIANT,
}
NAMES = {"designs": "one-precheck", "hardware": "owner-table", "scenarios": "eight-pages", "invariants": "LOCK"}


def gmembench(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own."""
    command = [sys.executable, "-P", "-m", "gmembench", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def parts(folder: Path, *names: str) -> Path:
    """A folder with some of FILES."""
    for name in names:
        path = folder / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILES[name])
    return folder / "mine"


def listed(kind: str, folder: Path) -> dict[str, dict[str, Any]]:
    """What `gmembench list` finds with the folder, by name, as `--json` prints it."""
    return {row["name"]: row for row in json.loads(json.dumps(KINDS[kind]((folder,))))}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_listed(name: str, tmp_path: Path) -> None:
    """One file in one folder is a part, with its description."""
    folder = parts(tmp_path, name)
    kind = name.partition("/")[0]
    assert listed(kind, folder)[NAMES[kind]]["doc"]


def test_new_parts_run_together(tmp_path: Path) -> None:
    """Design, hardware and scenario of one's own make a cell; each changes what it should by one step a fault."""
    folder = parts(tmp_path, *(name for name in FILES if not name.startswith("invariants")))
    cells = [f"eight-pages/{d}/{h}/4K" for d in ("guest-memfd", "one-precheck") for h in ("none", "owner-table")]
    assert set(cells) <= set(listed("cells", folder))
    words = [word for cell in cells for word in ("--cells", cell)]
    done = gmembench("run", "--counted", *words, "--path", str(folder), "--json", "-o", "r.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    steps = {row["name"]: row["steps"] for row in json.loads(done.stdout)["cells"]}
    plain, asked, lean, both = (steps[cell] for cell in cells)
    assert (asked - plain, plain - lean, both - lean) == (8, 8, 8)


def test_steps_name_the_new_design_and_hardware(tmp_path: Path) -> None:
    """The list of steps says who uses each, parts from outside included."""
    folder = parts(tmp_path, "designs/one_precheck.py", "hardware/owner_table.py")
    assert "owner-table" in listed("steps", folder)["fault.precheck_stale"]["designs"]["one-precheck"]


BAD = [
    ("slots=((0, 8), (4, 4))", "memslot of 4 gfns at gfn 4 overlaps the one before it, which ends at gfn 8", "apart"),
    ("slots=((0, 9),)", "memslot of 9 gfns at gfn 0 leaves the guest", "keep memslots within gfns 0 to 7"),
    ("slots=((-1, 4),)", "memslot of 4 gfns at gfn -1 leaves the guest", "keep memslots within gfns 0 to 7"),
    ("slots=((0, 0),)", "memslot of 0 gfns at gfn 0", "give it at least one gfn"),
    ("slots=((0, 8),), gfns=0", "0 gfns", "choose 1 to"),
    ("slots=((0, 8),), nodes=9", "9 NUMA nodes for 8 pages", "every node has a page at least"),
    ("slots=((0, 8),), nodes=0", "0 NUMA nodes for 8 pages", "choose 1 to 8"),
    ("slots=((0, 8),), vcpus=0", "0 vCPUs", "choose at least 1 vCPU"),
    ("slots=((0, 8),), region_gfns=6", "regions of 6 gfns", "choose a power of two"),
    ("slots=((0, 8),), region_gfns=1024", "regions of 1024 gfns", "choose a power of two from 1 to 512"),
    ("slots=((0, 8),), spare_gfns=-4", "-4 spare gfns", "choose 0 or more"),
    ("slots=((0, 8),), at=8", "operation 0 has a range that is empty or leaves the guest's 8 gfns", "mend"),
    ("slots=((0, 8),), count=0", "operation 0 has a range that is empty or leaves the guest's 8 gfns", "mend"),
]

BAD_SCENARIO = """
from gmembench.benchmarks.scenario import Scenario, Workload, operations
def build(parameters, gfns=8, vcpus=1, at=0, count=1, **more):
    return Workload(operations("access", at, count=count), gfns, vcpus=vcpus, host_actors=1, **more)
SCENARIO = Scenario("eight-pages", "Bad.", {size: {} for size in ("small", "full")}, lambda p: build(p, MORE))
"""


def bad_parts(folder: Path, given: str) -> Path:
    """A folder for `--path` with a scenario whose workload is given so."""
    (folder / "mine" / "scenarios").mkdir(parents=True)
    (folder / "mine" / "scenarios" / "eight_pages.py").write_text(BAD_SCENARIO.replace("MORE", given))
    return folder / "mine"


@pytest.mark.parametrize(("given", "what", "mend"), BAD, ids=[given for given, _, _ in BAD])
def test_a_bad_geometry_is_refused(given: str, what: str, mend: str, tmp_path: Path) -> None:
    """Whatever a scenario asks for is refused before it runs, by the child that counts: what, where, the mend."""
    request = Request("small", (bad_parts(tmp_path, given),), None, DIGEST)
    found = answer(cell_named("eight-pages/guest-memfd/none/4K", "small"), request, set())["mistake"]
    assert what in found[0]
    assert found[1].startswith("scenario eight-pages")
    assert mend in found[2]


def test_a_bad_geometry_is_one_line_and_2(tmp_path: Path) -> None:
    """A mistake of a scenario's author ends the run; nothing is written."""
    given, what, mend = BAD[0]
    bad_parts(tmp_path, given)
    words = ("run", "--counted", "--path", "mine", "--cells", "eight-pages/guest-memfd/none/4K", "-o", "r.json")
    done = gmembench(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("scenario eight-pages")
    assert done.stderr.count("\n") == 1
    assert what in done.stderr
    assert mend in done.stderr
    assert not (tmp_path / "r.json").exists()
