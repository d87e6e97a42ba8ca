"""Options that edit a design, in the order in which they stand on the command line: each edit sees those before it."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FORMS = {
    "without": ("ROW", "Leave out a row or a phase."),
    "swap": ("A,B", "Exchange two rows or phases."),
    "move": ("ROW,before=B", "Move a row or a phase to before (or after=B) another."),
    "redirect": ("ROW,OUTCOME=LABEL", "Let an outcome of a row lead elsewhere."),
    "replace": ("ROW,STEP", "Let a row run another step."),
    "operand": ("ROW,KEY=VALUE", "Give a row another operand."),
    "insert": ("STEP,before=ROW", "Add a row that runs a step."),
}
"""Kind of edit -> form of its argument, and help. inject/mutants.py says more."""

ORDER = "gmembench.order of options"


class Ordered(click.Command):
    """A command that remembers the order of its options, the repeated ones each time."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as ever; note the order first."""
        if not ctx.resilient_parsing:
            ctx.meta[ORDER] = [item.name for item in self.make_parser(ctx).parse_args(args=list(args))[2]]
        return super().parse_args(ctx, args)


def edit_options(command: F) -> F:
    """Add an option for each kind of edit. The command's class must be `Ordered`."""
    for kind, (form, text) in reversed(FORMS.items()):
        command = click.option(f"--{kind}", f"edit_{kind}", metavar=form, multiple=True, help=text)(command)
    return command


def edits_in_order(ctx: click.Context, values: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The edits as text, in the order in which they were given. `values`: option name -> its arguments."""
    left = {name: iter(given) for name, given in values.items()}
    return tuple(f"{name.removeprefix('edit_')} {next(left[name])}" for name in ctx.meta[ORDER] if name in left)
