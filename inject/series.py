"""A series of edits of one program that are much alike, tried one after the other: moves of one row or phase."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from gmembench.core.errors import UserError
from gmembench.core.programs import Code, Design, assemble
from gmembench.inject.likeness import Past, Shape, alike
from gmembench.inject.mutants import mutated
from gmembench.inject.necessity import Tried
from gmembench.inject.trial import UNSAFE, Case, Trial, attempt_alone


class Order(msgspec.Struct, frozen=True):
    """What is to be tried: an edit, in these cases, until safety breaks. `shrinks`: the failure is shrunk."""

    edit: str
    cases: tuple[str, ...]
    ignored: dict[str, tuple[str, ...]]
    shrinks: bool = False


Unedited = Callable[[str, tuple[str, ...]], tuple[Code, Trial, np.ndarray]]
"""Case and ignored invariants -> the code of the design there, what it does, and what was taken of it."""


@dataclass
class Series:
    """Tries edits of one program. What does the same as one before, as far as that ran, is not explored again.

    The worlds that found most so far come first, then the smallest.
    """

    program: str
    cases: Mapping[str, Case]
    unedited: Unedited
    _past: dict[str, list[Past]] = field(default_factory=dict)
    _found: Counter[str] = field(default_factory=Counter)

    def run(self, order: Order) -> Tried:
        """Try an edit, until safety breaks."""
        try:
            mutant = self._mutant(order)
        except UserError as fault:
            return Tried(refused=f"{fault.what}; {fault.mend}")
        shape = Shape.of(assemble(mutant, self._any(order).question.hardware), self.program)
        known = {name: self._same(name, order, shape) for name in order.cases}
        trials = {name: trial for name, trial in known.items() if trial is not None}
        codes: dict[frozenset[str], Code] = {}
        for name in sorted(order.cases, key=lambda name: -self._found[name]):
            if any(trial.result == UNSAFE for trial in trials.values()):
                break
            if name not in trials:
                trials[name] = self._explored(name, order, mutant, codes)
        told = tuple(msgspec.structs.replace(trials[name], choices=()) for name in order.cases if name in trials)
        done = Tried(told)
        if done.worst is not None and done.worst.result == UNSAFE:
            self._found[done.worst.case] += 1
        return done

    def _any(self, order: Order) -> Case:
        return self.cases[order.cases[0]]

    def _mutant(self, order: Order) -> Design:
        """The design with only the program that is edited. Raises UserError if the edit cannot be made."""
        question = self._any(order).question
        alone = replace(question.design, programs={self.program: question.design.programs[self.program]})
        return mutated(alone, question.hardware, (order.edit,))

    def _same(self, name: str, order: Order, shape: Shape) -> Trial | None:
        """What a mutant that does the same there has shown, if there was one."""
        if name not in self._past:
            self._past[name] = [self._past_unedited(name, order)] if self.program in self.cases[name].programs else []
        return next((past.trial for past in self._past[name] if alike(past, shape)), None)

    def _past_unedited(self, name: str, order: Order) -> Past:
        code, trial, taken = self.unedited(name, order.ignored.get(name, ()))
        return Past.of(code, self.program, taken, trial)

    def _explored(self, name: str, order: Order, mutant: Design, codes: dict[frozenset[str], Code]) -> Trial:
        """Explore a mutant in a case, and keep what it did. `codes`: of this mutant, by the programs that run."""
        case = self.cases[name]
        programs = frozenset(case.programs)
        if programs not in codes:
            whole = case.design()
            codes[programs] = assemble(whole.edited(mutant.name, **mutant.programs), case.question.hardware)
        instance = case.running(codes[programs], order.ignored.get(name, ()))
        trial, taken = attempt_alone(case, instance)
        if taken is not None:
            self._past[name].append(Past.of(instance.code, self.program, taken, trial))
        return trial
