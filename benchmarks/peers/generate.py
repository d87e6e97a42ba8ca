"""The C twin of a design: one of its programs, written out as straight-line code with a label a row.

No program is read at run time: positions, operands and targets of the assembled rows are constants, and every
step is inlined where its row stands. So the twin has the design's rows by construction. A row counts
itself, and an outcome that leads elsewhere than to the row below counts too.
"""

from collections.abc import Iterator

from gmembench.benchmarks.peers.expressions import GETTERS, HEADER
from gmembench.benchmarks.peers.layout import c_header
from gmembench.benchmarks.peers.translate import Translation
from gmembench.core.drivers.sequential import acknowledge_kicks, begin
from gmembench.core.outcomes import CODE, OUTCOMES
from gmembench.core.programs import Code
from gmembench.core.rows import END, OPERANDS

MACHINE = """
#define STEP static inline __attribute__((always_inline))

struct row {
	int64_t OPERANDS;
};

struct machine {
	struct header *w;
POINTERS
};

typedef const struct machine *const machine;

STEP struct machine machine_of(char *buffer)
{
	struct header *w = (struct header *)buffer;

	return (struct machine){
		.w = w,
STARTS
	};
}
"""

RUN = """
/*
 * Run operations of one program; fetch the memory of an operation `ahead` operations earlier, 0: leave that to
 * the processor. Returns -1, or the position of a row that waits for what will never happen.
 */
int64_t twin_run(char *buffer, struct operation *restrict operations, int64_t count, int64_t ahead,
	int64_t *restrict hits, int64_t *restrict taken, int64_t *restrict results)
{
	const struct machine m = machine_of(buffer);

	for (int64_t i = 0; i < count; i++) {
		struct actor *a = &m.actors[operations[i].actor];

		if (ahead && i + ahead < count) {
			__builtin_prefetch(&m.frames[operations[i + ahead].gfn], 1, 3);
			__builtin_prefetch(&m.cache[operations[i + ahead].gfn], 1, 3);
		}
		BEGIN(a, &operations[i]);
ROWS
	ended:
		results[a->result]++;
	}
	return -1;
}
"""


def _machine() -> str:
    pointers = (f"\tstruct {record} *{array};" for array, record in GETTERS.items())
    starts = (f"\t\t.{array} = (struct {record} *)(buffer + w->{array}_at)," for array, record in GETTERS.items())
    text = MACHINE.replace("OPERANDS", ", ".join(OPERANDS))
    return text.replace("POINTERS", "\n".join(pointers)).replace("STARTS", "\n".join(starts))


def positions(code: Code, program: str) -> range:
    """Positions of the rows of a program."""
    found = [position for position, item in enumerate(code.info) if item.program == program]
    return range(found[0], found[-1] + 1)


def _outcome(code: Code, position: int, outcome: str, acknowledge: str) -> Iterator[str]:
    """What follows one outcome of a row."""
    number = CODE[outcome]
    target = int(code.targets[position, number])
    yield f"\t\tcase {number}: /* {outcome} */"
    if outcome == "blocked":
        yield f"\t\t\tif (!{acknowledge}(&m))"
        yield f"\t\t\t\treturn {position};"
        yield f"\t\t\thits[{position}]--;"
        yield f"\t\t\tgoto row_{position};"
    elif outcome == "next" and not code.rows["jump"][position]:
        yield "\t\t\tbreak;"
    else:
        yield f"\t\t\ttaken[{position * len(OUTCOMES) + number}]++;"
        yield f"\t\t\tgoto {'ended' if target == END else f'row_{target}'};"


def _row(code: Code, position: int, step: str, acknowledge: str) -> Iterator[str]:
    item = code.info[position]
    operands = ", ".join(f".{name} = {code.rows[name][position]}" for name in OPERANDS)
    yield f"\trow_{position}: /* {item.name} */"
    yield f"\t\thits[{position}]++;"
    yield f"\t\tswitch ({step}(&m, a, &(struct row){{ {operands} }})) {{"
    for outcome in dict.fromkeys(("next", "again", "blocked", "yield", *item.step.outcomes)):
        yield from _outcome(code, position, outcome, acknowledge)
    yield "\t\tdefault:"
    yield "\t\t\t__builtin_unreachable();"
    yield "\t\t}"


def c_source(code: Code, program: str = "access") -> str:
    """The whole twin of one program of `code`, as one C file. Raises UntranslatableError."""
    made = Translation()
    acknowledge = made.name_of(acknowledge_kicks, [HEADER])
    start = made.name_of(begin, ["actor", "operation"])
    rows: list[str] = []
    for position in positions(code, program):
        step = made.name_of(code.info[position].step.function, [HEADER, "actor", "row"])
        rows += _row(code, position, step, acknowledge)
    run = RUN.replace("BEGIN", start).replace("ROWS", "\n".join(rows))
    return c_header() + _machine() + made.text() + run
