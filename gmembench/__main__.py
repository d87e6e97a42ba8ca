"""Where the command line starts, as `gmembench` and as `python -m gmembench`.

Importing the commands takes a tenth of a second, more on a busy machine, and signals that come meanwhile must be
heeded too: so this is imported first, and imports nothing but the standard library.
"""

import contextlib
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
TERMINATED = 143

AGAIN_S = 0.05
"""Until an interrupt that came during an import is tried again."""


def end_on_signal(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends like Ctrl-C: by an exception, so that children are killed on the way out."""
    raise SystemExit(TERMINATED)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C raises KeyboardInterrupt, but not while a module is imported.

    There it can be swallowed by the import system, or come out as another error of a half-made class.
    """
    if signal.getsignal(signal.SIGINT) is not interrupt:
        return
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def main() -> NoReturn:
    """Run the command that the arguments name, and exit with its code."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else who started this has it ignored
            signal.signal(signal.SIGINT, interrupt)
            signal.signal(signal.SIGALRM, interrupt)
        signal.signal(signal.SIGTERM, end_on_signal)
        from gmembench.benchmarks.cli import invoke

        code = invoke()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would end in a traceback
        # If it came inside exec() of a text, as dataclasses have it, Python notes it as unhandled although it was
        # caught here, and kills itself when it ends. The next exec() of a text forgets that.
        exec("")
        with contextlib.suppress(OSError):
            print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
