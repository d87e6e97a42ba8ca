"""`gmembench report`: build an HTML report with figures from result files."""

from pathlib import Path

import click

from gmembench.benchmarks.commands import options


@click.command()
@click.argument("results", metavar="FILE.json...", nargs=-1, required=True, type=options.existing_file)
@click.option(
    "-o", "--output", metavar="DIR", required=True, type=click.Path(path_type=Path), help="The folder; must not exist."
)
@options.as_json
@options.quiet
def report(results: tuple[Path, ...], output: Path, as_json: bool, quiet: bool) -> int:
    """Build a report (one HTML page, figures as PNG and SVG, summary.md) from files.

    FILE: results of `gmembench run`; with them, failures that `gmembench explore --save` wrote are shown as
    sequence diagrams, and tables of `gmembench explain -o` as they are.

    \b
    Example:
      gmembench report base.json failure.json -o out/report
    """
    from gmembench.benchmarks.output import check_new_path

    check_new_path(output, "-o")
    from gmembench.reports.build import build_report

    page = build_report(list(results), output)
    if as_json:
        options.print_json({"report": str(output), "page": str(page)})
    elif not quiet:
        print(f"report: {page}")
    return 0
