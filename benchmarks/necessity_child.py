"""A process that tries mutants: reads a question a line, answers with a line, or a line for each edit.

Compiled steps check no bounds, and a mutant may use an index that is none: then this process ends, and only this
mutant is lost. With `--interpreted` all bounds are checked.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gmembench.benchmarks import child

if TYPE_CHECKING:
    from collections.abc import Iterable


class Question(msgspec.Struct, frozen=True):
    """One of: a base to explore, an edit to try, several that are much alike, a failure to show.

    Values are JSON of what they are.
    """

    do: str
    first: msgspec.Raw
    second: msgspec.Raw = msgspec.Raw(b"null")


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser()
    for name in ("design", "hardware", "digest", "sources"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--states", type=int, required=True)
    parser.add_argument("--path", type=Path, action="append", default=[])
    parser.add_argument("--interpreted", action="store_true")
    words = parser.parse_args()
    if words.interpreted:
        os.environ["NUMBA_DISABLE_JIT"] = "1"
    try:
        child.check_sources(words.digest)
        answer_all(words)
    except BaseException as error:  # noqa: BLE001  # the parent is told why
        child.die(error)


def answer_all(words: argparse.Namespace) -> None:
    """Answer questions about one design on one hardware."""
    from gmembench.inject.laboratory import Laboratory, Orders, Source
    from gmembench.inject.series import Order
    from gmembench.inject.trial import Trial

    lab = Laboratory(words.design, words.hardware, words.states, tuple(words.path))
    for source in msgspec.json.decode(words.sources, type=list[Source]):
        lab.case(source)
    for line in sys.stdin:
        question = msgspec.json.decode(line, type=Question)
        if question.do == "base":
            answers: Iterable[object] = [lab.base(msgspec.json.decode(question.first, type=Source))]
        elif question.do == "try":
            answers = [lab.run(msgspec.json.decode(question.first, type=Order))]
        elif question.do == "try all":
            answers = lab.run_all(msgspec.json.decode(question.first, type=Orders))
        else:
            order = msgspec.json.decode(question.first, type=Order)
            answers = [lab.show(order, msgspec.json.decode(question.second, type=Trial))]
        for answer in answers:
            sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
