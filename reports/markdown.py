"""`summary.md`: the report in a page of Markdown, for a pull request."""

from collections.abc import Sequence
from pathlib import Path

from gmembench.reports import formatting, overview, provenance
from gmembench.reports.findings import Finding
from gmembench.reports.loading import Results

_SPECIAL = "\\`*_{}[]<>|~#$@!"


def escaped(text: str) -> str:
    """A text as it is, whatever marks of Markdown it holds, on one line."""
    safe = "".join(f"\\{character}" if character in _SPECIAL else character for character in text)
    return " ".join(safe.replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\@", "&#64;").split())


def summary(results: Results, findings: Sequence[Finding]) -> str:
    """The summary: warnings, findings, the overview's first choice, and where the numbers are from."""
    cells = formatting.plural(len(results.cells), "cell")
    lines = ["# gmembench report", "", f"{cells}, {formatting.plural(len(results.designs), 'design')}."]
    lines += ["", *(f"> **Warning:** {escaped(warning)}" for warning in provenance.warnings(results))]
    lines += ["", "## Findings", ""]
    lines += [f"- *{finding.kind}*: {escaped(finding.sentence)}" for finding in findings]
    lines += ["", *_overview(results), "", "## Where the numbers are from", ""]
    for path, metadata in results.files.items():
        command = escaped(str(metadata.get("gmembench.command", "no command recorded")))
        lines.append(f"- {escaped(Path(path).name)}: {command}")
    text = "\n".join(lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text + "\n"


def _overview(results: Results) -> list[str]:
    found = overview.overview(results)
    metric, (hardware, page_size) = found.metrics[0], found.groups[0]
    title = f"## Ratio to {escaped(found.baseline)}: {metric.label} ({metric.kind})"
    about = f"Hardware {escaped(hardware)}, {escaped(page_size)}; less is better. "
    about += "n/a: the design cannot run it. Empty: it was not run. A plain number: the baseline has none."
    designs = [escaped(design) for design in results.designs]
    table = ["| scenario | " + " | ".join(designs) + " |", "|---" + "|---:" * len(designs) + "|"]
    for scenario, fields in found.rows():
        texts = [escaped(field.text) or " " for field in fields]
        table.append(f"| {escaped(scenario)} | " + " | ".join(texts) + " |")
    return [title, "", about, "", *table]
