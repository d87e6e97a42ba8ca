"""In-place conversion on folios of 1G: split and merged, mapped whole, punched whole or cleared in part.

Regions of 2 gfns make folios of 4: the worlds of 8 gfns here have two of them, and a pool.
"""

import random
from dataclasses import replace

import pytest
from file_worlds import account, content, file_of, guest_of, host_of, machine_of, pages_of, turns_of
from small_worlds import H0, H1, V0, V1, Machine

from gmembench.core.catalog import load_designs
from gmembench.core.designs.guest_memfd_inplace_1g import DESIGN
from gmembench.core.errno import EAGAIN, EBUSY, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP, OK, SIGBUS
from gmembench.core.world import ATTR_PRIVATE, PG_LRU_BATCH, SPTE_GIGANTIC

ZERO = ("zero", 0, 0)
INIT_SHARED = replace(DESIGN, init_private=False)


def orders(m: Machine) -> list[int]:
    """Orders of the folios in the file, in the order of their indexes."""
    found, index, file = [], 0, file_of(m.world)
    while index < 8:
        if index not in file:
            index += 1
            continue
        found.append(int(m.world.arrays["pages"]["order"][file[index]]))
        index += 1 << found[-1]
    return found


def gigantic(m: Machine) -> list[int]:
    """Gfns at which an entry of 1G stands."""
    bits = m.world.arrays["frames"]["spte"]["bits"][:, 0]
    return [gfn for gfn in range(8) if bits[gfn] & SPTE_GIGANTIC]


def host(m: Machine, gfn: int, *, write: bool = False) -> tuple[str, int, int] | str:
    """What the VMM reads at a gfn (or overwrites it with), or the result if it gets nothing."""
    result = m.do("host_access", H0, gfn, write=write)
    return content(m.world, H0) if result == "OK" else result


def guest(m: Machine, gfn: int, *, write: bool = False) -> tuple[str, int, int] | str:
    """What the guest reads at a gfn (or overwrites it with), or the result."""
    result = m.do("access", V0, gfn, write=write)
    return content(m.world, V0) if result == "OK" else result


def test_it_is_a_design_of_1g() -> None:
    """It is found by its file, and its cells and its folios are of 1G."""
    assert load_designs()["guest-memfd-inplace-1g"] is DESIGN
    assert DESIGN.sizes == DESIGN.private_sizes == ("1G",)


def test_a_private_folio_is_mapped_whole() -> None:
    """One fault allocates, clears and maps a whole folio; every gfn of it reads zero without a further fault."""
    m = machine_of(DESIGN)
    assert guest(m, 2, write=True) == ("data", 2, 1)
    assert (gigantic(m), orders(m), m.world["zeroed_pages"]) == ([0], [2], 4)
    assert [guest(m, gfn) for gfn in (0, 1, 3)] == [ZERO] * 3
    assert m.hits("access.gmem.alloc_folio") == m.hits("access.fault.set_spte") == 1
    assert account(m.world) == []


def test_a_conversion_to_shared_splits_the_folio_and_one_back_merges_it() -> None:
    """One shared gfn splits its folio to 4K and unmaps the 1G entry; the data stay, also when it is merged again."""
    m = machine_of(DESIGN)
    for gfn in range(8):
        guest(m, gfn, write=True)
    assert gigantic(m) == [0, 4]
    assert m.do("convert", H0, 1) == "OK"
    assert (orders(m), gigantic(m)) == ([0, 0, 0, 0, 2], [4])
    assert host(m, 1, write=True) == ("data", 1, 2)
    assert [host(m, gfn) for gfn in (0, 2, 3)] == ["SIGBUS"] * 3
    assert [guest(m, gfn) for gfn in range(4)] == [("data", gfn, 1 + (gfn == 1)) for gfn in range(4)]
    assert gigantic(m) == [4]
    assert account(m.world) == []
    assert m.do("convert", H0, 1, private=True) == "OK"
    assert orders(m) == [2, 2]
    assert [guest(m, gfn) for gfn in range(4)] == [("data", gfn, 1 + (gfn == 1)) for gfn in range(4)]
    assert gigantic(m) == [0, 4]
    assert (m.world["private_pages"], m.world["zeroed_pages"]) == (8, 8)
    assert account(m.world) == []


def test_it_merges_only_when_all_of_it_is_private() -> None:
    """Two gfns are shared: after the first comes back the folio stays split, after the second it is whole."""
    m = machine_of(DESIGN)
    guest(m, 0, write=True)
    m.do("convert", H0, 1, 2)
    m.do("convert", H0, 1, private=True)
    assert orders(m) == [0, 0, 0, 0]
    m.do("convert", H0, 2, private=True)
    assert orders(m) == [2]
    assert account(m.world) == []


def test_a_folio_is_split_as_soon_as_it_is_allocated_where_some_is_shared() -> None:
    """The pool gives 1G at a time; with a shared gfn in it the pages are single from the start, cleared one by one."""
    m = machine_of(DESIGN)
    m.do("convert", H0, 3)
    assert host(m, 3, write=True) == ("data", 3, 1)
    assert (orders(m), m.world["private_pages"], m.world["zeroed_pages"]) == ([0, 0, 0, 0], 4, 1)
    assert guest(m, 0) == ZERO
    assert (gigantic(m), m.world["zeroed_pages"]) == ([], 2)
    assert account(m.world) == []


def test_pages_that_nobody_touched_are_cleared_when_they_are_merged() -> None:
    """A merged folio is uptodate as one: what was not cleared before is cleared then, and data stay."""
    m = machine_of(DESIGN, pages=8)
    content_of = m.world.arrays["pages"]["content"]
    content_of[:] = 2
    m.do("convert", H0, 3)
    host(m, 3, write=True)
    m.do("convert", H0, 3, private=True)
    assert [guest(m, gfn) for gfn in range(4)] == [ZERO, ZERO, ZERO, ("data", 3, 1)]
    assert m.world["zeroed_pages"] == 4
    assert account(m.world) == []


def test_a_hole_in_a_part_of_a_folio_only_clears() -> None:
    """Two gfns of an unsplit folio are punched: they read 0, the others keep data, nothing is freed (B17)."""
    m = machine_of(DESIGN)
    for gfn in range(8):
        guest(m, gfn, write=True)
    assert m.do("punch", H0, 1, 2) == "OK"
    assert (orders(m), m.world["private_pages"]) == ([2, 2], 8)
    assert [guest(m, gfn) for gfn in range(4)] == [("data", 0, 1), ZERO, ZERO, ("data", 3, 1)]
    assert account(m.world) == []


def test_a_hole_over_a_whole_folio_gives_it_back_to_the_pool() -> None:
    """A hole from the middle of the first to the end of the second folio clears one and frees the other."""
    m = machine_of(DESIGN)
    for gfn in range(8):
        guest(m, gfn, write=True)
    free = m.world["free_pages"]
    assert m.do("punch", H0, 2, 6) == "OK"
    assert (orders(m), m.world["private_pages"], m.world["free_pages"] - free) == ([2], 4, 4)
    assert [guest(m, gfn) for gfn in (0, 2, 4)] == [("data", 0, 1), ZERO, ZERO]
    assert account(m.world) == []


def test_a_split_folio_is_unmapped_and_merged_before_it_is_truncated() -> None:
    """A hole over a folio with shared gfns: the host's entries go in one notification, and the 1G is whole again."""
    m = machine_of(DESIGN)
    m.do("convert", H0, 1, 2)
    for gfn in (1, 2):
        host(m, gfn, write=True)
    free = m.world["free_pages"]
    assert m.do("punch", H0, 0, 4) == "OK"
    assert (m.hits("punch.unmap.clear_pte"), m.hits("punch.merge_part")) == (4, 1)
    assert (host_of(m.world), m.world["private_pages"], m.world["free_pages"] - free) == ({}, 0, 4)
    assert [int(a) & ATTR_PRIVATE for a in m.world.arrays["frames"]["attr"][:4]] == [1, 0, 0, 1]
    assert host(m, 1) == ZERO
    assert account(m.world) == []


def test_a_pinned_page_refuses_the_hole_over_its_folio() -> None:
    """A split folio that is in use cannot be merged: the punch ends with EAGAIN and leaves it as it was."""
    m = machine_of(DESIGN)
    m.do("convert", H0, 5)
    host(m, 5, write=True)
    m.do("host_pin", H1, 5)
    guest(m, 0, write=True)
    assert m.do("punch", H0, 0, 8) == "EAGAIN"
    assert (m.actor(H0)["done"], m.world["inval_count"], m.world["private_pages"]) == (4, 0, 4)
    assert (guest(m, 0), host(m, 5)) == (ZERO, ("data", 5, 1))
    m.do("host_unpin", H1, 5)
    assert m.do("punch", H0, 0, 8) == "OK"
    assert account(m.world) == []


def test_a_pin_refuses_the_conversion() -> None:
    """EAGAIN with the index of the page, nothing converted, nothing merged; after the unpin it is merged."""
    m = machine_of(INIT_SHARED)
    host(m, 2, write=True)
    m.do("host_pin", H1, 2)
    assert m.do("convert", H0, 0, 4, private=True) == "EAGAIN"
    assert (m.actor(H0)["done"], orders(m)) == (2, [0] * 4)
    m.do("host_unpin", H1, 2)
    assert m.do("convert", H0, 0, 4, private=True) == "OK"
    assert orders(m) == [2]
    assert account(m.world) == []


def test_folios_are_on_no_lru() -> None:
    """No batch holds a reference, so a fresh page converts at once."""
    m = machine_of(INIT_SHARED)
    host(m, 2, write=True)
    assert not (m.world.arrays["pages"]["flags"] & PG_LRU_BATCH).any()
    assert m.do("convert", H0, 2, private=True) == "OK"
    assert account(m.world) == []


def test_a_conversion_keeps_a_neighbours_fault_from_mapping_the_folio_whole() -> None:
    """A fault beside the range has the whole folio in hand: the invalidation covers it, and it maps 4K afterwards."""
    t = turns_of(DESIGN)
    t.do(V0, "access", 0, write=True)
    t.do(H0, "zap_gfn_range", 0, 8)
    t.start(V1, "prefault", 3)
    t.run(V1, "prefault.fault.lock_mmu")
    assert t.world.arrays["actors"]["order"][V1] == 2
    t.start(H0, "convert", 0)
    t.run(H0, "convert.end.lock_mmu")
    t.run(V1, "prefault.check_result")
    assert guest_of(t.world) == {}
    assert t.run(H0) == ""
    assert t.run(V1) == ""
    assert guest_of(t.world) == {3: file_of(t.world)[3]}
    assert account(t.world) == []


def test_without_a_folio_in_the_pool_there_is_no_memory() -> None:
    """Small pages do not help: the pool is empty, the guest's fault exits, the VMM gets ENOMEM."""
    m = machine_of(DESIGN, pages=4)
    assert guest(m, 0, write=True) == ("data", 0, 1)
    assert m.do("access", V0, 4) == "ENOMEM"
    m.do("convert", H0, 5)
    assert host(m, 5) == "ENOMEM"
    m.do("punch", H0, 0, 4)
    assert host(m, 5) == ZERO
    assert account(m.world) == []


def test_an_allocation_is_rounded_down_to_whole_folios() -> None:
    """Half a folio asks for none, one and a half for one."""
    m = machine_of(DESIGN)
    assert (m.do("allocate", H0, 1, 2), orders(m)) == ("OK", [])
    assert (m.do("allocate", H0, 0, 6), orders(m)) == ("OK", [2])
    assert (m.do("allocate", H0, 0, 8), orders(m)) == ("OK", [2, 2])
    assert m.world["zeroed_pages"] == 0
    assert account(m.world) == []


@pytest.mark.parametrize("program", ["teardown", "close"])
def test_the_end_gives_every_folio_back(program: str) -> None:
    """Whole and split folios go back to the pool; a page that a pin holds goes when the pin does."""
    m = machine_of(DESIGN)
    m.do("convert", H0, 1)
    host(m, 1, write=True)
    guest(m, 4, write=True)
    m.do("host_pin", H1, 1)
    assert m.do(program, H0) == "OK"
    if program == "close":
        m.do("host_unpin", H1, 1)
    assert (m.world["private_pages"], m.world["free_pages"]) == (0, pages_of(m.world))


@pytest.mark.parametrize("seed", range(12))
def test_random_operations_keep_data_and_structure(seed: int) -> None:
    """Any sequence: a folio is whole exactly if all of it is private; data are those written last."""
    rng, m = random.Random(seed), machine_of(replace(DESIGN, init_private=bool(seed % 2)))
    private, written, generations = [bool(seed % 2)] * 8, [0] * 8, [0] * 8
    for _ in range(120):
        gfn = rng.randrange(8)
        count = rng.randint(1, 8 - gfn)
        gfns = range(gfn, gfn + count)
        kind = rng.choice(["access", "host_access", "host_access", "convert", "convert", "punch", "allocate"])
        if kind in ("access", "host_access"):
            write, who = rng.random() < 0.5, V0 if kind == "access" else H0
            result = m.do(kind, who, gfn, write=write)
            assert result == ("SIGBUS" if kind == "host_access" and private[gfn] else "OK")
            if result == "OK":
                generations[gfn] += int(write)
                written[gfn] = generations[gfn] if write else written[gfn]
                assert content(m.world, who) == (("data", gfn, written[gfn]) if written[gfn] else ZERO)
        elif kind == "convert":
            to_private = rng.random() < 0.5
            assert m.do("convert", H0, gfn, count, private=to_private) == "OK"
            private = [to_private if g in gfns else private[g] for g in range(8)]
        else:
            assert m.do(kind, H0, gfn, count) == "OK"
            if kind == "punch":
                written = [0 if g in gfns else written[g] for g in range(8)]
        file, table = file_of(m.world), m.world.arrays["pages"]
        for first in (0, 4):
            if first in file:
                assert table["order"][file[first]] == (2 if all(private[first : first + 4]) else 0)
        assert account(m.world) == []
    m.do("teardown", H0)
    assert m.world["free_pages"] == pages_of(m.world)


@pytest.mark.parametrize("seed", range(10))
def test_random_turns_never_let_the_host_at_private_memory(seed: int) -> None:
    """Four actors whose rows interleave: no host entry or pin names a private page, no 1G entry a mixed folio."""
    rng, t = random.Random(seed), turns_of(replace(DESIGN, init_private=bool(seed % 2)), pages=16)
    turns = [rng.randrange(4) for _ in range(2500)] + [0, 1, 2, 3] * 2000
    for moment, number in enumerate(turns):
        if t.row(number) == "":
            if moment >= 2500:
                continue
            kinds = ["access", "prefault"] if number < 2 else ["host_access", "convert", "convert", "punch", "host_pin"]
            if number >= 2:
                kinds += ["host_unpin", "numa_zap", "allocate"]
            gfn = rng.randrange(8)
            flags = {"write": rng.random() < 0.5, "private": rng.random() < 0.5}
            t.start(number, rng.choice(kinds), gfn, rng.randint(1, 8 - gfn), **flags)
        t.step(number)
        private = [bool(a & ATTR_PRIVATE) for a in t.world.arrays["frames"]["attr"].tolist()]
        assert not any(private[gfn] for gfn in host_of(t.world))
        pinned = {int(c["pfn"]) for c in t.world.arrays["consumers"] if c["kind"]}
        assert not any(private[i] and pfn in pinned for i, pfn in file_of(t.world).items())
        bits = t.world.arrays["frames"]["spte"]["bits"][:, 0]
        assert all(len(set(private[g : g + 4])) == 1 for g in range(8) if bits[g] & SPTE_GIGANTIC)
    assert [t.row(number) for number in range(4)] == [""] * 4
    results = set(t.world.arrays["actors"]["result"].tolist())
    assert results <= {OK, EAGAIN, EFAULT, SIGBUS, EINVAL, EBUSY, ENOMEM, EOPNOTSUPP}
    for number in (H0, H1):
        while t.do(number, "host_unpin", 0, 8) == OK:
            pass
    assert account(t.world) == []
