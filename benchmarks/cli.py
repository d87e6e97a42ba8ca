"""The command line: `gmembench COMMAND`.

Exit codes: 0 done; 1 a finding (a cell failed, a trace disagrees); 2 bad usage or input, told in one
line; 3 not possible on this host; 4 stopped at a bound before a verdict; 130 interrupted. A command
returns its code. With `--json` standard output holds one JSON value, everything else goes to standard
error. Modules are imported inside the commands that need them: `--help` must not wait for Numba.
"""

import sys

import click

import gmembench
from gmembench.benchmarks.commands import cache, compare, explain, explore, history, listing, replay, report, run, trace
from gmembench.core.errors import UserError

BAD_INPUT = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.version_option(gmembench.__version__, prog_name="gmembench", message="%(prog)s %(version)s")
def command_line() -> None:
    """Measure designs of KVM guest private memory: what a fault and a conversion cost, in steps, memory and time.

    \b
    Example:
      gmembench run --quick --report out/report
    """


COMMANDS = (
    run.run,
    explore.explore,
    replay.replay,
    explain.explain,
    report.report,
    compare.compare,
    history.history,
    trace.trace,
    listing.list_,
    cache.cache,
)
for command in COMMANDS:
    command_line.add_command(command)


def complain(text: str) -> int:
    """Tell the user about bad usage or input in one line on standard error; return the exit code."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    print(" ".join(printable.split()), file=sys.stderr)
    return BAD_INPUT


def usage_line(error: click.ClickException) -> str:
    """A usage error of click as what, where and the mend."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = context.command_path if context else "gmembench"
    return f"{where}: {error.format_message().rstrip('.')}; see {where} --help"


def invoke() -> int:
    """Run the command that the arguments name; return the exit code. Raises KeyboardInterrupt."""
    try:
        return int(command_line.main(prog_name="gmembench", standalone_mode=False) or 0)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        return complain(usage_line(error))
    except UserError as error:
        return complain(str(error))
