"""Files that a report shows beside results: a failure, and a table of what rows are for. Both hold markup as text."""

import json
from pathlib import Path
from typing import Any

EVIL = "<script>alert(1)</script>"

FAILURE: dict[str, Any] = {
    "schema": 1,
    "gmembench": "0.1.0",
    "sources": "abc",
    "setting": {"design": "guest-memfd", "hardware": "none", "scenario": EVIL, "edits": ["without a.b.c"]},
    "violation": {"invariant": "UAF-MAP", "sentence": f"gfn 0 {EVIL}", "reason": "because", "actor": 0, "marked": [1]},
    "actors": ["V0", "H0"],
    "replay": "v1:fault-vs-punch:guest-memfd:none::0s3:abc",
    "choices": [
        {"actor": 0, "row": "access.run.resume", "begins": "access gfn 0", "locks": ["+mmu_lock read"]},
        {"actor": 1, "row": "punch.remove", "begins": f"punch {EVIL}", "outcome": "next"},
        {"actor": 0, "row": "access.fault.set_spte", "outcome": "next", "locks": ["-mmu_lock read"]},
    ],
}  # fmt: skip

ENTRY = {
    "name": "access.fault.lock", "program": "access", "phase": False, "step": "fault.lock", "verdict": "necessary",
    "guards": "", "invariant": "UAF-MAP", "case": "fault-vs-punch", "why": "", "cases": 1, "places": {}, "breaks": {},
    "shown": {
        "case": "fault-vs-punch", "edit": "without", "invariant": "UAF-MAP", "sentence": EVIL, "reason": "because",
        "steps": ["V0: access"], "switches": 1, "replay": "gmembench replay x",
    },
}  # fmt: skip

TABLE: dict[str, Any] = {
    "schema": 1, "gmembench": "0.1.0", "sources": "abc", "design": "guest-memfd", "hardware": "none", "claim": EVIL,
    "complete": False, "mutants": 3, "counts": {"necessary": 1}, "entries": [ENTRY],
    "cases": [{"case": "fault-vs-punch", "result": "holds", "states": 12, "transitions": 34, "ignored": []}],
}  # fmt: skip


def write(path: Path, data: object) -> Path:
    """Write JSON."""
    path.write_text(json.dumps(data, indent=1))
    return path
