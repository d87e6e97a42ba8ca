"""`gmembench list`: what there is to run."""

import click

from gmembench.benchmarks.commands import options


@click.command("list")
@options.as_json
def list_(as_json: bool) -> int:
    """List."""
    return 0
