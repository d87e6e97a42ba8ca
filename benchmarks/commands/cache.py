"""`gmembench cache`: the compiled kernels on disk."""

import click

from gmembench.benchmarks.commands import options


@click.group(no_args_is_help=False)
def cache() -> None:
    """Show, fill or prune the folder of compiled kernels.

    Kernels are compiled at first use, in a folder that is named after the sources: an edit compiles anew.

    \b
    Example:
      gmembench cache warm
    """


@cache.command()
@options.as_json
def path(as_json: bool) -> int:
    """Print the folder that holds the kernels of these sources.

    \b
    Example:
      du -sh $(gmembench cache path)
    """
    from gmembench.core.jit import CACHE_FOLDER

    if as_json:
        options.print_json({"path": str(CACHE_FOLDER)})
    else:
        print(CACHE_FOLDER)
    return 0


@cache.command()
@options.as_json
def prune(as_json: bool) -> int:
    """Remove the kernels of older sources.

    \b
    Example:
      gmembench cache prune
    """
    from gmembench.core.jit import prune_cache

    removed = [str(folder) for folder in prune_cache()]
    if as_json:
        options.print_json({"removed": removed})
    else:
        print("\n".join(removed) if removed else "nothing to remove")
    return 0


@cache.command()
@options.as_json
@options.quiet
def warm(as_json: bool, quiet: bool) -> int:
    """Compile all kernels now, by running the first small cell: designs are data and share their kernels.

    \b
    Example:
      gmembench cache warm --quiet
    """
    from gmembench.benchmarks import harness, progress
    from gmembench.benchmarks.cells import list_cells
    from gmembench.benchmarks.child import Request
    from gmembench.core.jit import CACHE_FOLDER, DIGEST

    cell = next(cell for cell in list_cells("small", (), None) if cell.reason is None)
    work = harness.Work([cell], (), None, Request("small", (), None, DIGEST))
    with progress.shown(quiet) as bar:
        outcome = harness.Run(work, bar).do()
    if outcome.failed:
        return 1
    if as_json:
        options.print_json({"path": str(CACHE_FOLDER), "before": outcome.counted[cell.name]["jit"]})
    elif not quiet:
        print(f"kernels are in {CACHE_FOLDER}")
    return 0
