"""Touchpoints: where a design stands in KVM's own code.

A touchpoint is a distinct pair (kernel function, nature) among the rows whose place is in KVM: splitting a row
for the sake of interleaving does not add one.
"""

from gmembench.core.programs import Design, steps_by_name

FAULT_PATH = ("access", "prefault")
"""Programs of the fault path; all others are the lifetime of memory and memslots."""

Touchpoint = tuple[str, str]
"""(kernel function, nature)"""


def touchpoints(design: Design) -> dict[str, set[Touchpoint]]:
    """Program -> its touchpoints. Rows of the hardware are left out."""
    found: dict[str, set[Touchpoint]] = {}
    for name, program in design.programs.items():
        rows = [(r, steps_by_name()[r.step]) for r in program.rows if not r.step.startswith("hook:")]
        found[name] = {
            (r.site or item.site, item.nature) for r, item in rows if (r.place or item.place).startswith("kvm-")
        }
    return found


def on_paths(design: Design) -> dict[str, set[Touchpoint]]:
    """The fault path and the lifetime path -> touchpoints; a pair that stands in several programs is there once."""
    found: dict[str, set[Touchpoint]] = {"fault": set(), "lifetime": set()}
    for program, pairs in touchpoints(design).items():
        found["fault" if program in FAULT_PATH else "lifetime"] |= pairs
    return found
