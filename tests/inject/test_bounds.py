"""Mutants stay inside the model's arrays: compiled steps check no bounds, interpreted ones do."""

from collections import Counter
from itertools import pairwise

import pytest

from gmembench.core.drivers.sampling import Sampler
from gmembench.core.errors import UserError
from gmembench.core.jit import INTERPRETED
from gmembench.core.programs import with_hardware
from gmembench.inject.trial import Case, case_of

PROGRAMS = ("access", "punch")

SCHEDULES = 2

pytestmark = pytest.mark.skipif(not INTERPRETED, reason="only interpreted steps check bounds")


def edits(case: Case) -> list[str]:
    """Every row that runs left out, and every two neighbours that run exchanged."""
    instance = case.instance(())
    hits = Sampler(instance).run(3, seed=1).taken.sum(axis=1)
    ran = {item.name for item, count in zip(instance.code.info, hits, strict=True) if count}
    found: list[str] = []
    for program in PROGRAMS:
        made = with_hardware(case.design().programs[program], case.question.hardware)
        names = [made.full_name(r) for r in made.rows]
        found += [f"without {name}" for name in names if name in ran]
        found += [f"swap {one},{two}" for one, two in pairwise(names) if {one, two} <= ran]
    return found


def test_rows_left_out_and_exchanged_stay_inside() -> None:
    """No index leaves its array. A count of references may fall below zero: three edits of about a hundred do that."""
    case = case_of("bugs/A05-fault-no-recheck-under-mmu-lock", "guest-memfd", "none", 3000, planned=True)
    ended = Counter[str]()
    for edit in edits(case):
        try:
            made = Sampler(case.instance((edit,))).run(SCHEDULES, seed=2)
        except UserError:
            ended["refused"] += 1
        except OverflowError:
            ended["count"] += 1
        else:
            ended["broken" if made.violation else "fine"] += 1
    assert sum(ended.values()) > 100
    assert ended["count"] <= 5
    assert ended["broken"] >= 5
    assert ended["fine"] >= 50
