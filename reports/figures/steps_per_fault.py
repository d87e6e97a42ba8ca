"""Steps per fault, stacked by the place where they stand."""

from functools import partial

from gmembench.reports import stacks
from gmembench.reports.figure import Figure

_STACK = stacks.Stack(programs=("access", "prefault"), steps="fault_steps", events="faults", noun="fault", pages=None)

FIGURE = Figure(
    section="scenario",
    order=10,
    title="Steps per fault, by place",
    kind="counted",
    caption=(
        "One bar a cell: the steps that one guest fault takes on average, from the exit to the next entry, "
        "retries included. Blue is KVM's own code; other colours are the rest of the host."
    ),
    draw=partial(stacks.draw, stack=_STACK),
    numbers=partial(stacks.numbers, stack=_STACK),
)
