"""Rows by the names that people write: `fault.set_spte`, `punch.start.*`, `gup.mig.*|host.mig.*`."""

from fnmatch import fnmatchcase

from gmembench.core.programs import Code


def matching_rows(code: Code, pattern: str) -> tuple[int, ...]:
    """Indices of the rows whose name, with or without its program, matches one of the globs (separated by `|`)."""
    globs = pattern.split("|")
    found = []
    for index, info in enumerate(code.info):
        names = (info.name, info.name.removeprefix(f"{info.program}."))
        if any(fnmatchcase(name, glob) for glob in globs for name in names):
            found.append(index)
    return tuple(found)


def matching_names(names: tuple[str, ...], pattern: str) -> tuple[int, ...]:
    """Indices of the names that match one of the globs."""
    return tuple(i for i, name in enumerate(names) if any(fnmatchcase(name, glob) for glob in pattern.split("|")))


def mask_of(actors: tuple[int, ...]) -> int:
    """The actors as bits."""
    return sum(1 << number for number in actors)
