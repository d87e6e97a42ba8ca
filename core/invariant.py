"""What an invariant is: something that must hold, and when it is judged.

A rule is a plain function of records that compiles like a step. It returns 0 where the invariant holds, else
1 + the number of the gfn, page, memslot or actor that breaks it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gmembench.core.jit import part

WHENS = ("state", "use", "rest", "end")
"""When rules are judged: after every step; right after a step that used a page; when nobody is inside an operation;
at the end of an operation."""

STUCK = "stuck"
"""Judged by the driver itself: no unfinished actor can step."""


@dataclass(frozen=True)
class Rule:
    """One function of an invariant, and the sentence about what breaks it: `{}` stands for the number found.

    `judge`: of (w) at "state" and "rest", of (w, a) at "use", of (w, a, program) at "end".
    """

    judge: Callable[..., int]
    says: str

    @property
    def compiled(self) -> Any:
        """The rule as it runs: compiled, or the function itself when interpreted."""
        return part(self.judge)


@dataclass(frozen=True)
class Invariant:
    """An invariant: its rules by when they are judged.

    `name`: its code, as in `UAF-MAP`. `doc`: what must hold, in words. `state`, `use`, `rest`, `end`: rules, as
    WHENS says. `stuck`: the sentence about a deadlock, for the invariant that the driver judges.
    """

    name: str
    doc: str
    state: Rule | None = None
    use: Rule | None = None
    rest: Rule | None = None
    end: Rule | None = None
    stuck: str = ""

    @property
    def when(self) -> tuple[str, ...]:
        """When it is judged: some of WHENS, or STUCK."""
        return (*(when for when in WHENS if getattr(self, when) is not None), *((STUCK,) if self.stuck else ()))

    def why(self, when: str, index: int) -> str:
        """One sentence about what was found."""
        if when == STUCK:
            return self.stuck
        rule: Rule | None = getattr(self, when)
        if rule is None:
            raise ValueError(f"{self.name} is not judged at {when!r}")
        return rule.says.format(index)
