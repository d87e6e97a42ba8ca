"""A page for each design: where it comes from, what it costs, its programs row by row, what can go wrong.

`python -m gmembench.benchmarks.design_pages DIR` writes DIR/<design>.md for every design, from its data. Every
number on the pages is counted, in a world of 1024 gfns with 2 MiB regions, on hardware `none`.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gmembench.benchmarks.design_costs import CostRow, cost_rows, state_bytes
from gmembench.core.catalog import load_designs
from gmembench.core.operations import PROGRAMS
from gmembench.core.programs import Design, Finding, Program, Row, steps_by_name
from gmembench.core.touchpoints import FAULT_PATH, touchpoints

COMMAND = "python -m gmembench.benchmarks.design_pages docs/designs"


COUNTED = (
    "Counted over 512 gfns of 4 KiB, on hardware `none`. A row of a program is one step of one CPU; KVM rows are those"
    " that stand in KVM's own code."
)
LISTED = (
    "A row runs one step and leads to the row below, unless an outcome is named. The kernel function it stands for is"
    " beside it. `?` marks a zap that may yield mmu_lock."
)


def page_name(design: Design) -> str:
    """File name of a design's page."""
    return design.name.replace("-", "_") + ".md"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows), ""]


def _facts(design: Design) -> list[str]:
    backing = "a file" if design.file else "a VMA"
    if design.file and not design.one_backing:
        backing = "a file for private memory, a VMA for shared memory"
    facts = [
        ("where it comes from", design.origin or "see above"),
        ("order of its rows", f"Linux {design.kernel}" if design.kernel[:1].isdigit() else design.kernel),
        ("backing", backing),
        ("page sizes", ", ".join(design.sizes)),
        ("page sizes of folios in the file", ", ".join(design.private_sizes) if design.file else "there is no file"),
        ("pins", design.pins),
        ("state of the model", f"{state_bytes(design):.2f} bytes a gfn"),
    ]
    lines = _table(("", ""), facts)
    if design.not_on:
        lines += _table(("hardware it cannot run on", "why"), sorted(design.not_on.items()))
    return lines


def _costs(design: Design) -> list[str]:
    rows: list[CostRow] = cost_rows(design)
    lines = [COUNTED, ""]
    head = ("operation", "times", "rows", "KVM rows", "rows a gfn", "flushes")
    lines += _table(head, ((c.what, c.times, c.rows, c.kvm_rows, f"{c.rows / c.gfns:.2f}", c.flushes) for c in rows))
    paths = touchpoints(design)
    fault = {t for program, found in paths.items() if program in FAULT_PATH for t in found}
    lifetime = {t for program, found in paths.items() if program not in FAULT_PATH for t in found}
    split = f"{len(fault)} in the fault path, {len(lifetime)} elsewhere, {len(lifetime - fault)} of these only there"
    return [*lines, f"Touchpoints, distinct pairs of kernel function and nature in KVM's own code: {split}.", ""]


def _targets(r: Row) -> str:
    return ", ".join(f"{outcome} → {label}" for outcome, label in sorted(r.to.items()))


def _listing(program: Program) -> list[str]:
    width = max(len(r.name) for r in program.rows) + 2
    lines = ["```"]
    for r in program.rows:
        lines += [f"{label}:" for label in r.labels]
        if r.step.startswith("hook:"):
            what = "rows of the hardware"
        else:
            item = steps_by_name()[r.step]
            what = f"{item.nature:<10} {r.site or item.site}"
        mark = "?" if r.operands.get("may_yield") else ""
        to = _targets(r)
        lines.append(f"    {r.name + mark:<{width}} {what:<46} {to}".rstrip())
    return [*lines, "```", ""]


def _same_as(design: Design, name: str, others: Mapping[str, Design]) -> Design | None:
    """The first other design, in the order given, that has the very same program."""
    for other in others.values():
        if other.name == design.name:
            return None
        if name in other.programs and other.programs[name].rows == design.programs[name].rows:
            return other
    return None


def _programs(design: Design, designs: Mapping[str, Design]) -> list[str]:
    lines = [LISTED, ""]
    for name in PROGRAMS:
        if name not in design.programs:
            continue
        same = _same_as(design, name, designs)
        lines += [f"### {name}", ""]
        if same is not None:
            lines += [f"As in [{same.name}]({page_name(same)}#{name}).", ""]
        else:
            lines += _listing(design.programs[name])
    if design.not_applicable:
        lines += ["### Not applicable", ""]
        lines += _table(
            ("program", "why"), ((n, design.not_applicable[n]) for n in PROGRAMS if n in design.not_applicable)
        )
    return lines


def _broken(finding: Finding) -> str:
    told = finding.invariant or "costs only"
    return f"{told}, then {', '.join(finding.then)}" if finding.then else told


def _findings(design: Design) -> list[str]:
    if not design.findings:
        return ["Nothing is known that goes wrong with the rows above, within what the model can say.", ""]
    rows = ((_broken(f), f.what, f.scenario, ", ".join(f.hardware), f.source) for f in design.findings)
    return _table(("invariant", "what", "how", "hardware", "source"), rows)


def page(design: Design, designs: Mapping[str, Design]) -> str:
    """The page of a design, as Markdown. `designs`: all of them, in the order in which they refer to each other."""
    lines = [
        f"# {design.name}",
        "",
        f"<!-- made by `{COMMAND}`; do not edit -->",
        "",
        design.doc,
        "",
        "## Facts",
        "",
        *_facts(design),
        "## What it costs",
        "",
        *_costs(design),
        "## What can go wrong",
        "",
        *_findings(design),
        "## Programs",
        "",
        *_programs(design, designs),
    ]
    return "\n".join(lines).rstrip() + "\n"


def in_order(designs: Mapping[str, Design]) -> dict[str, Design]:
    """Designs with those first from which most others are made."""
    first = ["legacy-vma", "guest-memfd"]
    return {name: designs[name] for name in [*first, *sorted(set(designs) - set(first))] if name in designs}


def write_pages(folder: Path) -> list[Path]:
    """Write all pages; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    designs = in_order(load_designs())
    for design in designs.values():
        (folder / page_name(design)).write_text(page(design, designs))
    return [folder / page_name(design) for design in designs.values()]


def main(words: Sequence[str]) -> int:
    """Write the pages into the folder named by the only word."""
    if len(words) != 1 or words[0].startswith("-"):
        sys.stderr.write(f"design_pages: give one folder, as in {COMMAND}\n")
        return 2
    try:
        written = write_pages(Path(words[0]))
    except OSError as error:
        sys.stderr.write(f"design_pages: {words[0]}: {error.strerror}; name a folder that can be written\n")
        return 2
    sys.stderr.write(f"{len(written)} pages in {words[0]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
