"""One replay: the steps of a trace through a model, each leaf change matched per gfn, VM and task.

Rules. A cause (fault, attribute call, punch) asks the model at once, and what the model answers is *owed* by
that task. A set is right if the model owes it and the task that sets it has an open fault there. A zap is
right if its task owes it. Zaps that a task still owes at its next cause are extra; so are sets that nobody
ever made. What the kernel did and nobody owed is *missed*, or *input* if no model could know it:

- `unmap`: a zap after the task's kvm_unmap_hva_range, whose host addresses no event maps to gfns
- `slot`: a zap in a task that did nothing to cause it, because deleting a memslot emits no event
- `prefault`: a set that answers no fault (KVM_PRE_FAULT_MEMORY)
- `exit`: a fault that ended in an error exit, because the memslot or the file is not there
- `value`: the pieces of a page that became large, and a large page that a range only cuts

An input is told to the model (`Model.zap`, or the program `prefault`). A missed change counts once and is
then told as well, so that one error is not counted again at every later event of that gfn. Retries are no
error: the set of a fault that is still running when another task zaps is awaited again, and a change that
overlaps another task's call is asked for a second time (`late`; kvm_tdp_mmu_zap_leafs may yield mmu_lock in
the middle, arch/x86/kvm/mmu/tdp_mmu.c:744-793).

Where a trace begins in the life of a VM, older entries and answers to older faults are left out, and so are
the zaps of the first attribute call on gfns whose attribute is unknown until then.

In the `pure` replay the model hears of faults, attribute calls and hypercalls only; nothing is told.
"""

from collections.abc import Callable, Sequence

from gmembench.core.conformance import steps as s
from gmembench.core.conformance.gfns import REGION_GFNS
from gmembench.core.conformance.model import LeafChange, Model, Tally
from gmembench.core.conformance.state import Debt, Task, Vm
from gmembench.core.conformance.steps import Script, Step
from gmembench.core.traces.events import CHANGE_SET


class Replay:
    """Runs the steps of `script` through fresh models.

    punch: whether hypercalls that punch are heard. pure: see the module.
    """

    def __init__(
        self,
        script: Script,
        make_model: Callable[[], Model],
        *,
        pure: bool = False,
        punch: bool = True,
    ) -> None:
        self.script, self.make_model, self.pure, self.punch = script, make_model, pure, punch
        self.vms: dict[int, Vm] = {}
        self.tally = Tally()
        self.gib_starts = script.gfns.gib_starts()
        self.handlers = {
            s.FAULT: self._fault, s.CONVERT: self._convert, s.PUNCH: self._punch, s.UNMAP: self._unmap,
            s.SET: self._set, s.ZAP: self._zap, s.PREFAULT: self._prefault, s.EXIT_FAULT: self._exit_fault,
            s.HYPERCALL: self._hypercall, s.TEARDOWN: self._teardown, s.PIECE: self._piece,
            s.SPLIT: self._split, s.ROOT: self._root, s.RESET: self._reset, s.OLD_ZAP: self._zap,
            s.OLD_SET: self._set,
        }  # fmt: skip

    def run(self) -> Tally:
        """Replay all steps and settle what is still owed."""
        for step in self.script.steps:
            vm = self.vms.get(step[1])
            if vm is None:
                vm = self.vms[step[1]] = Vm(self.make_model(), self.gib_starts)
            task = vm.tasks.get(step[2])
            if task is None:
                task = vm.tasks[step[2]] = Task()
            self.handlers[step[0]](vm, task, step)
        for vm in self.vms.values():
            self._leave_open(vm)
            self._settle(vm)
        return self.tally

    # Causes

    def _begin(self, vm: Vm, task: Task, step: Step) -> None:
        self.tally.extra_zaps += len(task.owed)
        task.owed.clear()
        for key in task.doubted:
            self._tell_set(vm, key >> 3, step[6], step[7])
        task.doubted.clear()
        task.begin(step[7])

    def _fault(self, vm: Vm, task: Task, step: Step) -> None:
        _, _, _, gfn, _, flags, actor, _ = step
        self._begin(vm, task, step)
        task.fault, task.flags = gfn, flags
        self._owe(vm, task, step, self._access(vm, gfn, flags, actor))

    def _access(self, vm: Vm, gfn: int, flags: int, actor: int) -> Sequence[LeafChange]:
        write, private = bool(flags & s.WRITE), bool(flags & s.PRIVATE)
        return vm.model.apply("access", gfn, 1, actor=actor, write=write, private=private)

    def _exit_fault(self, vm: Vm, task: Task, step: Step) -> None:
        if self.pure:
            self._fault(vm, task, step)
        else:
            self._begin(vm, task, step)
            self.tally.inputs["exit"] += 1

    def _convert(self, vm: Vm, task: Task, step: Step) -> None:
        self._call(vm, task, step, "convert")

    def _punch(self, vm: Vm, task: Task, step: Step) -> None:
        self._call(vm, task, step, "punch" if self.punch else "")

    def _call(self, vm: Vm, task: Task, step: Step, program: str) -> None:
        _, _, _, gfn, end, flags, actor, _ = step
        if not flags & s.JOIN:
            self._begin(vm, task, step)
        task.low, task.high = gfn, end
        task.unsure = bool(flags & s.UNSURE)
        if program:
            private = bool(flags & s.PRIVATE)
            changes = vm.model.apply(program, gfn, end - gfn, actor=actor, write=False, private=private)
            self._owe(vm, task, step, changes)

    def _hypercall(self, vm: Vm, task: Task, step: Step) -> None:
        self._begin(vm, task, step)

    def _unmap(self, vm: Vm, task: Task, step: Step) -> None:
        task.unmapped, task.walking = True, False

    def _prefault(self, vm: Vm, task: Task, step: Step) -> None:
        self._begin(vm, task, step)
        task.requested, task.flags = step[3], step[5]

    def _owe(self, vm: Vm, task: Task, step: Step, changes: Sequence[LeafChange]) -> None:
        """Write down what the model answered to a cause."""
        at = step[7]
        for gfn, _, change in changes:
            if change == CHANGE_SET:
                vm.set_at[gfn] = at
                if vm.key(gfn) == gfn << 3 | 1:
                    self._replace_debt(vm, gfn, Debt(step[2], at))
                continue
            vm.zapped_at[gfn] = at
            debt = vm.debts.get(gfn)
            if debt is not None and vm.tasks[debt.task].at == debt.at:
                debt.withdrawn = True
            elif task.unsure:
                task.doubted.add(vm.key(gfn))
            else:
                task.owed.add(vm.key(gfn))

    def _replace_debt(self, vm: Vm, gfn: int, debt: Debt) -> None:
        old = vm.debts.get(gfn)
        if old is not None and not old.withdrawn:
            self.tally.extra_sets += 1
        vm.debts[gfn] = debt

    # Leaf changes

    def _set(self, vm: Vm, task: Task, step: Step) -> None:
        _, _, _, gfn, end, level, actor, at = step
        if gfn <= task.fault < end and self._pay_set(vm, task, actor, at):
            self.tally.matched_sets += 1
        elif step[0] == s.OLD_SET:
            self.tally.excluded["before"] += 1
            self._tell_set(vm, gfn, actor, at)
        elif not self.pure and gfn <= task.requested < end:
            self.tally.inputs["prefault"] += 1
            self._tell_set(vm, task.requested, actor, at)
        else:
            self.tally.missed_sets += 1
            if not self.pure:
                self._tell_set(vm, task.fault if gfn <= task.fault < end else gfn, actor, at)
        task.requested = -1
        if level > 1:
            self._enlarge(vm, task, step)
        if gfn <= task.fault < end:
            task.fault = -1

    def _pay_set(self, vm: Vm, task: Task, actor: int, at: int) -> bool:
        """Whether the set of the open fault was owed, perhaps after asking the model again."""
        gfn = task.fault
        if vm.zapped_at.get(gfn, -1) > task.at:
            again = self._access(vm, gfn, task.flags, actor)
            if not any(change == CHANGE_SET for _, _, change in again):
                return False
            vm.set_at[gfn] = at
            vm.debts.pop(gfn, None)
            self.tally.late += 1
            return True
        debt = vm.debts.get(gfn)
        if debt is None or debt.withdrawn:
            return False
        del vm.debts[gfn]
        return True

    def _tell_set(self, vm: Vm, gfn: int, actor: int, at: int) -> None:
        vm.model.apply("prefault", gfn, 1, actor=actor, write=True, private=False)
        vm.set_at[gfn] = at

    def _enlarge(self, vm: Vm, task: Task, step: Step) -> None:
        """Note a leaf that maps more than a gfn: one entry answers every fault that is open below it."""
        _, _, _, gfn, end, level, _, _ = step
        vm.large[gfn << 3 | level] = task.fault if gfn <= task.fault < end else gfn
        for other in [owed for owed in vm.debts if gfn <= owed < end]:
            self.tally.excluded["open"] += not vm.debts.pop(other).withdrawn

    def _zap(self, vm: Vm, task: Task, step: Step) -> None:
        _, _, _, gfn, end, level, _, at = step
        key = gfn << 3 | level
        task.walking = key in task.owed
        if task.walking:
            task.owed.discard(key)
            self.tally.matched_zaps += 1
        elif self._zap_late(vm, task, step, key):
            self.tally.matched_zaps += 1
            self.tally.late += 1
        elif step[0] == s.OLD_ZAP or (task.unsure and gfn < task.high and task.low < end):
            self.tally.excluded["before"] += 1
            task.doubted.discard(key)
            self._tell_zap(vm, gfn, end, "late", at)
        elif self.pure:
            self.tally.missed_zaps += 1
        else:
            kind = _class_of_zap(task, gfn, end)
            if kind == "missed":
                self.tally.missed_zaps += 1
            else:
                self.tally.inputs[kind] += 1
            self._tell_zap(vm, gfn, end, kind, at)
        vm.large.pop(key, None)

    def _zap_late(self, vm: Vm, task: Task, step: Step, key: int) -> bool:
        """Whether a zap that its task does not owe belongs to an overlap of its call with another task."""
        _, _, _, gfn, end, _, _, at = step
        if not (gfn < task.high and task.low < end):
            return False
        for other in vm.tasks.values():
            if key in other.owed:
                other.owed.discard(key)
                return True
        if vm.set_at.get(vm.large.get(key, gfn), -1) <= task.at:
            return False
        return self._tell_zap(vm, gfn, end, "late", at)

    def _tell_zap(self, vm: Vm, gfn: int, end: int, kind: str, at: int) -> bool:
        """Tell the model of a zap; whether it had something mapped there."""
        changes = vm.model.zap(gfn, end - gfn, kind)
        for changed, _, _ in changes:
            vm.zapped_at[changed] = at
        return bool(changes)

    # What no model can know

    def _teardown(self, vm: Vm, task: Task, step: Step) -> None:
        _, _, _, gfn, end, level, _, at = step
        self.tally.excluded["teardown"] += 1
        vm.large.pop(gfn << 3 | level, None)
        if level and not self.pure:
            self._tell_zap(vm, gfn, end, "teardown", at)

    def _piece(self, vm: Vm, task: Task, step: Step) -> None:
        _, _, _, gfn, end, _, _, at = step
        if self.pure:
            self.tally.missed_zaps += 1
        else:
            self.tally.inputs["value"] += 1
            self._tell_zap(vm, gfn, end, "value", at)

    def _split(self, vm: Vm, task: Task, step: Step) -> None:
        """A large leaf became a table of smaller leaves, which emit no event of their own."""
        _, _, _, gfn, end, level, actor, at = step
        vm.large.pop(gfn << 3 | level, None)
        if self.pure:
            return
        self.tally.excluded["split"] += 1
        for first in range(gfn, end, REGION_GFNS if level > 2 else 1):
            if level > 2:
                vm.large[first << 3 | 2] = first
            self._tell_set(vm, first, actor, at)

    def _root(self, vm: Vm, task: Task, step: Step) -> None:
        """Another root beside a live one: the old tables are invalid.

        So it is after a memslot of a VM without private memory was deleted (mmu.c:6965-7005).
        """
        self.tally.excluded["root"] += 1
        if not self.pure:
            vm.large.clear()
            self._tell_zap(vm, 0, len(self.gib_starts) * REGION_GFNS, "slot", step[7])

    def _reset(self, vm: Vm, task: Task, step: Step) -> None:
        if not self.pure:
            self._settle(vm)
            vm.model.reset()
            vm.forget()

    def _leave_open(self, vm: Vm) -> None:
        """Forgive what the end of the trace cut off: the rest of a walk that was under way."""
        for task in vm.tasks.values():
            if task.walking:
                self.tally.excluded["open"] += len(task.owed)
                task.owed.clear()

    def _settle(self, vm: Vm) -> None:
        """Count what was owed and never happened."""
        for debt in vm.debts.values():
            if debt.at in self.script.facts.open:
                self.tally.excluded["open"] += 1
            elif not debt.withdrawn:
                self.tally.extra_sets += 1
        vm.debts.clear()
        for task in vm.tasks.values():
            self.tally.extra_zaps += len(task.owed)
            task.owed.clear()


def _class_of_zap(task: Task, gfn: int, end: int) -> str:
    """The class of a zap of [gfn, end) that nobody owes: an input, or "missed"."""
    if task.unmapped:
        return "unmap"
    if not (gfn < task.high and task.low < end):
        return "slot"
    cut = end - gfn > 1 and not (task.low <= gfn and end <= task.high)
    return "value" if cut else "missed"
