"""Pages are told apart only by number: renamed, a state does the same, and a search may count all such states once."""

import random
from dataclasses import replace

import numpy as np
import pytest
from interleavings import operation, private_parts, random_script, tiny
from renaming import form, shuffled

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.canonical import Canonical
from gmembench.core.drivers.exhaustive import REDUCTIONS, explore
from gmembench.core.drivers.instance import Instance, Sometimes
from gmembench.core.drivers.pages import Pages
from gmembench.core.drivers.prepared import Prepared
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.jit import INTERPRETED
from gmembench.core.operations import WRITE
from gmembench.core.programs import assemble
from gmembench.core.world import (
    ARRAYS,
    COUNTERS,
    HEADER,
    HPTE_RW,
    HPTE_SWAP,
    PAGE_ANON,
    PFN_CHAINS,
    PFN_FIELDS,
    SPTE,
)
from gmembench.inject.mutants import mutated
from gmembench.inject.script import script
from gmembench.inject.small_world import small_geometry

DESIGNS, HARDWARE = load_designs(), load_hardware()
EVERYWHERE = [(d, h) for d in sorted(DESIGNS) for h in sorted(HARDWARE) if h not in DESIGNS[d].not_on]
CHOICES = 40 if INTERPRETED else 200


def any_world(design: str, hardware: str, seed: int) -> Instance:
    """A world of four gfns, three of them written to, huge pages if the seed says so, and four random scripts."""
    d, h, rng = DESIGNS[design], HARDWARE[hardware], random.Random(seed)
    huge = {"shared_order": seed % 2} if "2M" in d.sizes else {}
    world = tiny(d, h, nodes=1, consumers=4, **{**huge, **private_parts(d, seed)})
    scripts = tuple(random_script(rng, d, actor, 4) for actor in range(4))
    written = tuple(operation("access", 0, gfn, 1, WRITE) for gfn in range(3))
    return Instance(assemble(d, h), world, scripts, prepare=written, timer=True)


@pytest.mark.parametrize(("design", "hardware"), EVERYWHERE)
def test_renamed_pages_do_the_same(design: str, hardware: str) -> None:
    """After any choices, every move of a state and of the same with its pages renamed leads to the same form."""
    renamed = 0
    for seed in range(1 if INTERPRETED else 3):
        one, other = (Stepper.of(any_world(design, hardware, seed)) for _ in range(2))
        canonical, rng = Canonical(one.prepared, vcpus=False, pages=True), random.Random(seed)
        number = -1
        for _ in range(CHOICES):
            options = one.options()
            if not len(options):
                break
            names = shuffled(canonical, one, rng)
            other.world.buffer[:] = one.world.buffer
            assert canonical.rename(other.world.buffer, names)
            renamed += not np.array_equal(other.world.buffer, one.world.buffer)
            assert form(canonical, one) == form(canonical, other)
            assert other.options().tolist() == options.tolist()
            left = [option for option in options.tolist() if option[0] == number and rng.random() < 0.9]
            number, kind = rng.choice(left or options.tolist())
            assert one.take(number, kind) == other.take(number, kind)
            assert form(canonical, one) == form(canonical, other), (seed, one.trail[-1])
    assert renamed > CHOICES / 4


def test_every_field_that_holds_a_page_is_known() -> None:
    """All fields of a state that are named after a pfn, or after the lists of free pages, are renamed."""
    named = {f"{array}.{name}" for array, form in ARRAYS.items() for name in form.names or () if "pfn" in name}
    lists = {f"header.{name}" for name in HEADER.names or () if name.startswith("free_") and name not in COUNTERS}
    inside = {f"frames.spte.{name}" for name in SPTE.names or () if "pfn" in name}
    not_named = {"actors.target", "actors.gathered"}
    assert {*PFN_FIELDS, *PFN_CHAINS} == named | lists | inside | not_named


def two_gfns(pages: int = 3, **parts: object) -> Instance:
    """Two host threads that each touch a gfn of their own: which of them gets the first page is chance."""
    d, h = DESIGNS["legacy-vma"], HARDWARE["none"]
    world = small_geometry(d, h, vcpus=1, host_actors=2, gfns=2, pages=pages)
    scripts = (script([], 0), script(["host_access 0 write"], 1), script(["host_access 1 write"], 2))
    return replace(Instance(assemble(d, h), world, scripts), **parts)  # type: ignore[arg-type]  # fields by name


def states(instance: Instance, *reductions: str) -> int:
    """How many states are visited until all hold."""
    found = explore(instance, reductions=reductions)
    assert (found.verdict, found.reductions) == ("holds", reductions)
    return found.states


def test_pages_handed_out_in_another_order_are_one_state() -> None:
    """With both gfns backed, half of the states are another with the pages exchanged. Reductions go together."""
    instance = two_gfns()
    assert states(instance, "pages") == 121
    assert states(instance) == 170
    assert states(instance, "order", "pages") < states(instance, "order")


def test_a_page_that_is_named_keeps_its_name() -> None:
    """By a watched state, as an element or as what a field refers to; whether there is a page may be asked."""

    def why_not(instance: Instance) -> str:
        return Pages(Prepared(instance)).why_not

    def watching(*field: object) -> Instance:
        return two_gfns(sometimes=(Sometimes("one", fields=(field,)),))  # type: ignore[arg-type]  # as given

    named = "a state to be seen names a page"
    assert why_not(two_gfns()) == ""
    assert why_not(two_gfns(pages=1)) == "there is one page of a kind only"
    assert why_not(watching("pages[1].refs", "==", 1)) == named
    assert why_not(watching("frames[0].spte[0].pfn", "==", 1)) == named
    assert why_not(watching("actors[1].target", ">", 0)) == named
    assert why_not(watching("header.fresh_page", "!=", 0)) == named
    assert why_not(watching("frames[0].spte[0].pfn", "!=", 0)) == ""
    found = explore(watching("pages[1].refs", "==", 1))
    assert "pages" not in found.reductions
    assert found.not_made["pages"] == named
    assert explore(watching("pages[1].refs", "==", 1), reductions=()).not_made == {}


def test_a_violation_names_the_page_of_the_instance() -> None:
    """What is broken is told of the page that a stepper finds, not of the search's name for it."""
    first = tuple(script([f"host_access {gfn} write"], 1) for gfn in (1, 0))  # the search names the page of gfn 0 first
    instance = two_gfns(prepare=first, scripts=(script([], 0), script([], 1), script(["punch 1 1"], 2)))
    lost = mutated(DESIGNS["legacy-vma"], HARDWARE["none"], ["without punch.mm.free_page"])
    broken = replace(instance, code=assemble(lost, HARDWARE["none"]))
    for reductions in ((), ("pages",), REDUCTIONS):
        found, stepper = explore(broken, reductions=reductions), Stepper.of(broken)
        for choice in found.choices:
            stepper.take(*choice)
        assert found.violation is not None
        assert stepper.violation is not None
        assert found.violation.why == stepper.violation.why
        assert "page 1 is kept by nobody" in found.violation.why


def test_a_record_goes_with_its_page() -> None:
    """Of two exchanged pages: all that refers to them, their records, the next pages of chains; no swap slot."""
    prepared = Prepared(two_gfns())
    world, canonical = prepared.world, Canonical(prepared, vcpus=False, pages=True)
    frames, pages, actors = (world.arrays[name] for name in ("frames", "pages", "actors"))
    world.header["fresh_block"], world.header["free_page"] = 4, 3
    frames["hpte"], frames["hpfn"] = [HPTE_RW, HPTE_SWAP], [1, 1]
    pages["state"][1], pages["index"][1], pages["refs"][1] = PAGE_ANON, 1, 5
    pages["index"][3] = 2
    actors["target"][1] = 2
    assert canonical.rename(world.buffer, np.array([0, 2, 3, 1]))
    assert frames["hpfn"].tolist() == [2, 1]
    assert pages["refs"].tolist() == [0, 0, 5, 0]
    assert pages["index"].tolist() == [0, 3, 1, 0]
    assert world["free_page"] == 1
    assert actors["target"].tolist() == [0, 3, 0]
