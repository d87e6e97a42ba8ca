"""`gmembench trace`: what a recorded KVM trace holds."""

from pathlib import Path

import click

from gmembench.benchmarks.commands import options


@click.group(no_args_is_help=False)
def trace() -> None:
    """Work with recorded KVM traces.

    \b
    Example:
      gmembench trace show kvm.trace.xz
    """
