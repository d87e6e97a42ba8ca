"""Broken pages, behind the VMA and in the file; exact counts."""

import consistency
import pytest
from small_worlds import H0, H1, V0, V1, machine

from gmembench.core.world import HPTE_HUGE, HPTE_POISON, PG_POISONED

designs = pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd"])


@designs
def test_a_broken_page_behind_the_vma_is_answered_with_sigbus(design: str) -> None:
    """Guest and VMM get SIGBUS, KVM's copy EFAULT, a pin EHWPOISON; the page is lost to the host."""
    m = machine(design)
    m.do("access", V0, 3, write=True)
    free = m.world["free_pages"]
    assert m.do("poison", H0, 3) == "OK"
    assert m.hits("poison.mf.mn.start.count_inc") == 1
    assert not m.world.arrays["frames"]["spte"]["bits"].any()
    results = [m.do("access", V0, 3), m.do("prefault", V1, 3), m.do("host_access", H1, 3)]
    assert results == ["SIGBUS"] * 3
    assert (m.do("kernel_access", H0, 3), m.do("host_pin", H0, 3)) == ("EFAULT", "EHWPOISON")
    assert m.world["free_pages"] == free
    assert len(consistency.broken_pages(m.world)) == 1


def test_a_punch_gives_a_new_page_for_a_broken_one() -> None:
    """MADV_DONTNEED takes the poison entry away: the next access reads zero from another page."""
    m = machine("legacy-vma")
    m.do("access", V0, 3, write=True)
    m.do("poison", H0, 3)
    m.do("punch", H0, 3)
    assert m.do("access", V0, 3) == "OK"
    assert m.actor(V0)["content"] == 0
    m.do("teardown")
    assert m.world["free_pages"] == 15


def test_a_huge_page_loses_only_the_broken_part() -> None:
    """The huge page is split; the rest keeps its data."""
    m = machine("legacy-vma", "2M")
    m.do("access", V0, 0, 4, write=True)
    m.do("poison", H0, 1)
    entries = m.world.arrays["frames"]["hpte"][:4].tolist()
    assert entries == [1, HPTE_POISON, 1, 1]
    assert not any(e & HPTE_HUGE for e in entries)
    assert m.do("access", V1, 2, 2) == "OK"
    assert m.actor(V1)["content_gfn"] == 3
    assert consistency.faults(m.world) == []


def test_a_broken_page_of_the_file_stays_in_it() -> None:
    """The mapping goes, the page stays, and whoever asks for it gets EHWPOISON, until a punch."""
    m = machine("guest-memfd")
    m.do("convert", H0, 3, private=True)
    m.do("access", V0, 3, write=True)
    pfn = consistency.file_pages(m.world)[3]
    assert m.do("poison", H0, 3, private=True) == "OK"
    assert (m.hits("poison.mf.start.count_inc"), m.hits("poison.mf.end.count_dec")) == (1, 1)
    assert consistency.file_pages(m.world) == {3: pfn}
    assert m.world.arrays["pages"]["flags"][pfn] & PG_POISONED
    assert (m.do("access", V0, 3), m.do("prefault", V1, 3)) == ("EHWPOISON", "EHWPOISON")
    assert m.do("poison", H0, 3, private=True) == "EHWPOISON"
    assert m.hits("poison.mf.start.count_inc") == 1
    m.do("punch", H0, 3)
    assert m.do("access", V0, 3) == "OK"
    assert consistency.file_pages(m.world)[3] != pfn


def test_without_a_memslot_nothing_is_counted() -> None:
    """A broken page that no memslot has bound is marked, and no invalidation begins or ends."""
    m = machine("guest-memfd", slots=((0, 2),))
    m.do("allocate", H0, 3)
    m.do("poison", H0, 3, private=True)
    assert (m.hits("poison.mf.start.count_inc"), m.hits("poison.mf.end.count_dec")) == (0, 0)
    assert consistency.faults(m.world) == []
