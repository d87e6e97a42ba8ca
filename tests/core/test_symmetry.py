"""Symmetry: exchanging actors that do the same changes nothing but their numbers, and a search may count both once."""

import ast
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from interleavings import operation, random_script, tiny
from renaming import form, shuffled

from gmembench.benchmarks.peers.instances import TWINS
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers import symmetry
from gmembench.core.drivers.canonical import Canonical
from gmembench.core.drivers.exhaustive import REDUCTIONS, Exploration, Explorer, explore
from gmembench.core.drivers.instance import Force, Gate, Instance, Sometimes
from gmembench.core.drivers.moves import CHOICE_SHIFT
from gmembench.core.drivers.prepared import Prepared
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.drivers.symmetry import HOLDERS, Symmetry
from gmembench.core.jit import INTERPRETED
from gmembench.core.operations import PROGRAM_NUMBER, WRITE
from gmembench.core.outcomes import NEXT
from gmembench.core.programs import assemble
from gmembench.core.world import CONSUMER_PIN_SHORT, SMALL
from gmembench.inject.mutants import mutated
from gmembench.inject.plan import load_plans
from gmembench.inject.script import script
from gmembench.inject.small_world import small_geometry

DESIGNS, HARDWARE = load_designs(), load_hardware()
V0, V1, H0, H1 = range(4)
CHOICES = 80 if INTERPRETED else 400


def alike(design: str, hardware: str, seed: int) -> Instance:
    """Two vCPUs with one random script, two host threads with another, all on one node."""
    d, h, rng = DESIGNS[design], HARDWARE[hardware], random.Random(seed)
    scripts = [random_script(rng, d, actor, 4) for actor in (V0, H0)]
    world = tiny(d, h, nodes=1, consumers=4)
    return Instance(assemble(d, h), world, (scripts[0], scripts[0], scripts[1], scripts[1]), timer=True)


def fault_vs_punch(mutant: str = "") -> Instance:
    """Two vCPUs that write to the page that a host thread punches out."""
    twin = replace(TWINS["fault-vs-punch-1-1"], scripts=(("access 0 write",), ("access 0 write",), ("punch 0 1",)))
    return twin.instance(mutant)


def two_hosts(operation: str, *edits: str) -> Instance:
    """Two host threads that do the same, actors 1 and 2, and a vCPU that does nothing."""
    d, h = DESIGNS["guest-memfd"], HARDWARE["none"]
    world = small_geometry(d, h, vcpus=1, host_actors=2, pages=3)
    code = assemble(mutated(d, h, edits), h)
    return Instance(code, world, (script([], 0), script([operation], 1), script([operation], 2)))


EVERYWHERE = [(d, h) for d in sorted(DESIGNS) for h in sorted(HARDWARE) if h not in DESIGNS[d].not_on]


@pytest.mark.parametrize(("design", "hardware"), EVERYWHERE)
def test_exchanged_actors_do_the_same(design: str, hardware: str) -> None:
    """After any choices, the same made by the other of two twins lead to the same state with the twins exchanged."""
    for seed in range(1 if INTERPRETED else 10):
        one, other = (Stepper.of(alike(design, hardware, seed)) for _ in range(2))
        twins, rng = Symmetry(one.prepared), random.Random(seed)
        canonical = Canonical(one.prepared, vcpus=True, pages=False)
        if PROGRAM_NUMBER["vmsa_load"] in one.prepared.programs:
            assert not twins.applies
            continue
        assert twins.twins.tolist() == [[V0, V1], [H0, H1]]
        for _ in range(CHOICES):
            options = one.options()
            if not len(options):
                break
            number, kind = options[rng.randrange(len(options))].tolist()
            went = one.take(number, kind)
            assert other.take(number ^ 1, kind) == went
            back = other.world.buffer.copy()
            twins.exchange(back, V0, V1)
            twins.exchange(back, H0, H1)
            assert np.array_equal(back[SMALL.state_at :], one.world.buffer[SMALL.state_at :])
            for buffer in (back, other.world.buffer.copy()):
                mine = one.world.buffer.copy()
                canonical.sort(mine)
                canonical.sort(buffer)
                assert np.array_equal(mine[SMALL.state_at :], buffer[SMALL.state_at :])


@pytest.mark.parametrize(("design", "hardware"), EVERYWHERE)
def test_actors_and_pages_are_exchanged_together(design: str, hardware: str) -> None:
    """A state has one canonical form, however its twins and its pages are named.

    Not while twins gather pages that nobody else refers to: they are not told apart by those, and two forms are kept.
    """
    for seed in range(1 if INTERPRETED else 5):
        instance, rng = alike(design, hardware, seed), random.Random(seed)
        written = tuple(operation("access", V0, gfn, 1, WRITE) for gfn in range(3))
        one, other = (Stepper.of(replace(instance, prepare=written)) for _ in range(2))
        canonical = Canonical(one.prepared, vcpus=True, pages=True)
        for _ in range(CHOICES // 4):
            options = one.options().tolist()
            if not options or not canonical.symmetric:
                break
            one.take(*rng.choice(options))
            other.world.buffer[:] = one.world.buffer
            canonical.symmetry.exchange(other.world.buffer, *rng.choice([(V0, V1), (H0, H1)]))
            assert canonical.rename(other.world.buffer, shuffled(canonical, one, rng))
            if not one.world.arrays["actors"]["gathered"].any():
                assert form(canonical, one) == form(canonical, other)


def holders_in_source() -> set[str]:
    """Names of fields in which some step or part stores the number of its actor, or that number + 1."""
    found = set()
    core = Path(symmetry.__file__).parents[1]
    for path in sorted(file for folder in ("steps", "parts") for file in (core / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and "a['number']" in ast.unparse(node.value):
                found |= {t.slice.value for t in node.targets if isinstance(t, ast.Subscript)}  # type: ignore[attr-defined]
    return found


def test_every_field_that_names_an_actor_is_renamed() -> None:
    """Of all assignments in steps and parts, those of an actor's number go to the fields that symmetry knows."""
    known = {name.rpartition(".")[2] for name in HOLDERS}
    assert holders_in_source() - known == {"actor", "cursor"}  # of a consumer; the record that find_pin found
    assert {f"header.{name}" for name in known} & set(HOLDERS) == {f"header.{n}" for n in symmetry.HEADER_HOLDERS}


def pairs(instance: Instance) -> list[list[int]]:
    """The actors that may be exchanged."""
    found: list[list[int]] = Symmetry(Prepared(instance)).twins.tolist()
    return found


def test_an_actor_that_is_named_has_no_twin() -> None:
    """By an event, a gate, a watched place or a watched register, or by another script."""
    plain = fault_vs_punch()
    assert pairs(plain) == [[V0, V1]]
    assert pairs(replace(plain, forces=(Force("one", (0,), NEXT, actors=1),))) == []
    assert pairs(replace(plain, forces=(Force("both", (0,), NEXT, actors=3),))) == [[V0, V1]]
    assert pairs(replace(plain, gates=(Gate(V1, (0,)),))) == []
    assert pairs(replace(plain, gates=(Gate(H0, (0,), actors=1),))) == []
    assert pairs(replace(plain, sometimes=(Sometimes("one", needs=((1, (0,)),)),))) == []
    assert pairs(replace(plain, sometimes=(Sometimes("both", needs=((3, (0,)),)),))) == [[V0, V1]]
    assert pairs(replace(plain, sometimes=(Sometimes("register", fields=(("actors[0].srcu", "==", 1),)),))) == []
    assert pairs(replace(plain, sometimes=(Sometimes("who", fields=(("header.mmu_writer", "==", 1),)),))) == []
    assert pairs(replace(plain, sometimes=(Sometimes("held", fields=(("header.mmu_writer", "!=", 0),)),))) == [[V0, V1]]
    assert pairs(replace(plain, scripts=(plain.scripts[0], plain.scripts[0][:0], plain.scripts[2]))) == []


WAYS = ((), ("vcpus",), ("order",), ("order", "vcpus"), REDUCTIONS)


def replayed(instance: Instance, found: Exploration) -> str:
    """The invariant that the choices of a search break when they are made one by one."""
    stepper = Stepper.of(instance)
    for number, kind in found.choices:
        assert stepper.violation is None
        assert [number, kind] in stepper.options().tolist()
        stepper.take(number, kind)
    while stepper.violation is None and len(left := stepper.options()):
        stepper.take(*left[0].tolist())  # it waits: then nobody can step, which is said
    return stepper.violation.invariant if stepper.violation else ""


def with_twins(plan: str, *, edited: bool) -> Instance:
    """The world of a bug, with a second vCPU that has the script of the first."""
    instance = load_plans()[plan].instance(edited=edited)
    (vcpu, host), prepare = instance.scripts, [operations.copy() for operations in instance.prepare]
    for operations in prepare:
        operations["actor"] += operations["actor"] >= 1
    world = replace(instance.geometry, vcpus=2)
    return replace(instance, geometry=world, scripts=(vcpu, vcpu, host), prepare=tuple(prepare))


@pytest.mark.skipif(INTERPRETED, reason="all states of these worlds take hours when interpreted")
@pytest.mark.parametrize("plan", ["bugs/A05-fault-no-recheck-under-mmu-lock", "bugs/A24-flush-after-free"])
def test_the_same_bugs_are_found(plan: str) -> None:
    """With and without each reduction the mutant breaks the same invariant, and the path is one of the instance."""
    instance = with_twins(plan, edited=True)
    found = {ways: explore(instance, live=False, reductions=ways) for ways in WAYS}
    assert {replayed(instance, e) for e in found.values()} == {load_plans()[plan].body.expect}
    assert len({len(e.choices) for ways, e in found.items() if "order" not in ways}) == 1


@pytest.mark.skipif(INTERPRETED, reason="all states of this world take hours when interpreted")
def test_the_same_verdict_with_fewer_states() -> None:
    """With two vCPUs nearly half of all states are another with the vCPUs exchanged."""
    found = {ways: explore(fault_vs_punch(), reductions=ways) for ways in WAYS}
    assert {e.verdict for e in found.values()} == {"holds"}
    assert [e.reductions for e in found.values()] == list(WAYS)
    assert 2 * found["vcpus",].states < 1.1 * found[()].states
    assert 2 * found[REDUCTIONS].states < 1.1 * found["order",].states


def test_the_same_verdict_of_a_tiny_world() -> None:
    """Two host threads that pin the same gfn, with every reduction alone and with all."""
    instance = two_hosts("host_pin 0")
    found = {ways: explore(instance, reductions=ways) for ways in WAYS}
    assert {e.verdict for e in found.values()} == {"holds"}
    assert 2 * found["vcpus",].states < 1.1 * found[()].states


@pytest.mark.parametrize("lost", ["convert.pre.unlock_mmu", "convert.unlock_slots"])
def test_a_path_tells_actors_by_their_own_names(lost: str) -> None:
    """Of two threads that convert, one leaves a lock taken. The search renames them; its path can be stepped."""
    instance = two_hosts("convert 0 1 private", f"without {lost}")
    for ways in WAYS:
        explorer = Explorer(instance, reductions=ways)
        found = explorer.run()
        assert set((explorer.choices[1 : found.states] >> CHOICE_SHIFT).tolist()) == {1, 2}  # by the search's names
        assert {number for number, _ in found.choices} in ({1}, {2})
        assert replayed(instance, found) == "LIVE"


def test_a_lock_goes_with_its_holder() -> None:
    """Of two exchanged actors, the record, the translations, what they hold and the progress of the script."""
    instance = two_hosts("host_pin 0")
    prepared = Prepared(instance)
    world, twins = prepared.world, Symmetry(prepared)
    world.arrays["actors"]["srcu"][1], world.arrays["actors"]["next"][1] = 1, 1
    world.arrays["tlbs"]["pfn"][1] = 3
    world.header["mmap_writer"], world.arrays["pages"]["lock"][2] = 2, 3
    world.arrays["consumers"][0] = (CONSUMER_PIN_SHORT, 2, 0, 3)
    twins.exchange(world.buffer, 1, 2)
    assert world.arrays["actors"]["srcu"].tolist() == [0, 0, 1]
    assert world.arrays["actors"]["next"].tolist() == [0, 0, 2]
    assert world.arrays["actors"]["number"].tolist() == [0, 1, 2]
    assert world.arrays["tlbs"]["pfn"].tolist() == [0, 0, 3]
    assert (world["mmap_writer"], world.arrays["pages"]["lock"][2]) == (3, 2)
    assert world.arrays["consumers"]["actor"].tolist() == [1, 0]
