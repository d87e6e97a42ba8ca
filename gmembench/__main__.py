"""Where the command line starts, as `gmembench` and as `python -m gmembench`.

Importing the commands takes a tenth of a second, more on a busy machine, and signals that come meanwhile must be
heeded too: so this is imported first, and imports nothing but the standard library.
"""

import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
TERMINATED = 143


def end_on_signal(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends like Ctrl-C: by an exception, so that children are killed on the way out."""
    raise SystemExit(TERMINATED)


def main() -> NoReturn:
    """Run the command that the arguments name, and exit with its code."""
    try:
        signal.signal(signal.SIGTERM, end_on_signal)
        from gmembench.benchmarks.cli import invoke

        code = invoke()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
