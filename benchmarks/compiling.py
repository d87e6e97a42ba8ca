"""Saying that the model is compiled first: a command is silent for minutes meanwhile."""

import sys

TEXT = "compiling the model first: once for these sources, about a minute, more on a busy machine"

SEARCH, COLLAPSED = "search.search_on", "collapsed.search_collapsed"
SCHEDULES, STEPS, COUNTING = "schedules.sample_on", "stepper._do_move", ""
"""The kernels of a driver that take longest to compile, by their modules and names. Counting has none of its own."""


def must_compile(kernel: str) -> bool:
    """Whether a command that needs a driver's kernel will have to compile: it, or the steps."""
    from gmembench.core import jit

    if jit.INTERPRETED:
        return False
    table = f"small-links-{jit.MACHINE}" if kernel else f"links-{jit.MACHINE}"
    if not (jit.STEPS_FOLDER / table).exists():
        return True
    return bool(kernel) and not any(jit.CACHE_FOLDER.glob(f"drivers_*/{kernel}-*.nbc"))


def tell_compiling(*kernels: str, quiet: bool = False) -> None:
    """Say it on standard error, if it has to be done for one of them."""
    if not quiet and any(must_compile(kernel) for kernel in kernels):
        sys.stderr.write(f"{TEXT}\n")
        sys.stderr.flush()
