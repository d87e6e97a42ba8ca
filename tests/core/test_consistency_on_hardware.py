"""Random sequences of operations on hardware that encrypts memory leave every design consistent."""

import consistency
import pytest
from encrypted import on_hardware
from small_worlds import ALL_DESIGNS, EVERY_DESIGN_AND_SIZE, NOT_KEPT, random_operations

GFNS, LENGTH, SEEDS = 40, 60, 3

CASES = [
    (design, size, kind)
    for design, size in EVERY_DESIGN_AND_SIZE
    for kind in ("tdx", "snp")
    if kind not in ALL_DESIGNS[design].not_on
]


@pytest.mark.parametrize(("design", "size", "kind"), CASES)
def test_a_world_at_rest_is_consistent(design: str, size: str, kind: str) -> None:
    """After each of random operations, and after the teardown: locks, pages, references, entries, bindings."""
    without = NOT_KEPT.get(design, frozenset())
    for seed in range(SEEDS):
        slots = ((0, 17), (17, 7), (28, 9))
        m = on_hardware(kind, design, size=size, gfns=GFNS, slots=slots, nodes=2, tlb_entries=8)
        asked = random_operations(design, seed, LENGTH, GFNS)
        for number in range(len(asked)):
            m.driver.run(asked, number, number + 1)
            found = consistency.faults(m.world, torn_down=number == LENGTH, without=without)
            assert found == [], f"seed {seed}, operation {number}: {asked[number]}"
        assert len(consistency.free_list(m.world)) == m.world["free_pages"]
