"""What is computed from results once, however many parts of a report ask for it."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from gmembench.reports.loading import Results

Others = ParamSpec("Others")
Found = TypeVar("Found")


def once(
    function: Callable[Concatenate[Results, Others], Found],
) -> Callable[Concatenate[Results, Others], Found]:
    """Keep what a function of results, and of arguments that can be keys, finds: results do not change.

    It is kept with the results, and goes when they go. Callers must not change it.
    """

    @wraps(function)
    def kept(results: Results, /, *others: Others.args, **named: Others.kwargs) -> Found:
        found: dict[object, Found] = vars(results).setdefault("_once", {})
        key = (function, others, tuple(named.items()))
        if key not in found:
            found[key] = function(results, *others, **named)
        return found[key]

    return kept
