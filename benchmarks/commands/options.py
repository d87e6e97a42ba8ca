"""Options and output that the commands share."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON value on standard output.")
quiet = click.option("--quiet", is_flag=True, help="Show no progress and no table.")
existing_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
paths = click.option(
    "--path",
    "paths",
    metavar="DIR",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, readable=True, path_type=Path),
    help="Also load designs and scenarios from this folder. They are run as code. Repeatable.",
)

axes = click.option(
    "--axis",
    "axes",
    metavar="AXIS=VALUE,...",
    multiple=True,
    help="Change what scenarios do: guest=64M,4G vcpus=1,8 conversion=4K punch=none,eager-after numa=interleave "
    "inject=EVENT. All combinations. Repeatable.",
)


def print_json(value: Any) -> None:
    """Print a value as the one JSON text on standard output."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def choose_designs(names: Sequence[str]) -> list[str]:
    """The designs asked for, else all. Raises UsageError if one does not exist."""
    from gmembench.core.catalog import load_designs

    known = list(load_designs())
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"no design {unknown[0]!r}: choose from {', '.join(known)}")
    return list(names) or known
