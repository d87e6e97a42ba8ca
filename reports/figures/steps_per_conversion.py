"""Steps per conversion, stacked by the place where they stand."""

from functools import partial

from gmembench.reports import stacks
from gmembench.reports.figure import Figure

_STACK = stacks.Stack(
    programs=("convert",), steps="conversion_steps", events="conversions", noun="conversion", pages="converted_gfns"
)

FIGURE = Figure(
    section="scenario",
    order=20,
    title="Steps per conversion, by place",
    kind="counted",
    caption=(
        "One bar a cell: the steps of one change of a range between private and shared. Some steps run once "
        "for each page of the range, whose mean length stands beside the bar. "
        "Punching the hole that frees the other copy is an operation of its own and not in these bars."
    ),
    draw=partial(stacks.draw, stack=_STACK),
    numbers=partial(stacks.numbers, stack=_STACK),
)
