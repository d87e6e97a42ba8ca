"""Judges: one compiled function for all rules of a kind."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gmembench.core.intrinsics.chains import call_compiled
from gmembench.core.intrinsics.records import layout_of, step_types
from gmembench.core.jit import INTERPRETED, WORD
from gmembench.core.layouts import Layout
from gmembench.core.views import Record

NUMBER_SHIFT = 40
"""A judge returns the number of the rule that found something, shifted by this, and what the rule returned."""

Judge = Callable[[int, Record, Record, int], int]


def judge_of(rules: Sequence[Any], arguments: int, layouts: Sequence[Layout]) -> Judge:
    """A function (mask, header, actor, program) that runs rules in order until one returns something else than 0.

    Rule i is left out unless bit i of the mask is set. Each takes the first `arguments` of (header, actor, program).
    Returns 0, or i << NUMBER_SHIFT | what rule i returned. A kernel must name it as a global to be cached on disk.
    """
    if INTERPRETED:
        return _interpreted_judge(rules, arguments)

    @intrinsic
    def judge(typingctx: Any, mask: Any, header: Any, actor: Any, program: Any) -> Any:
        all_types = (*step_types(layout_of(layouts, header))[:2], types.int64)
        rule_signature = types.int64(*all_types[:arguments])

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            found = builder.alloca(WORD)
            builder.store(WORD(0), found)
            end = builder.append_basic_block()
            for number, rule in enumerate(rules):
                asked, hit, following = (builder.append_basic_block() for _ in range(3))
                bit = builder.and_(builder.lshr(args[0], WORD(number)), WORD(1))
                builder.cbranch(builder.icmp_unsigned("!=", bit, WORD(0)), asked, following)
                builder.position_at_end(asked)
                answer = call_compiled(context, builder, rule, rule_signature, list(args[1 : 1 + arguments]))
                builder.cbranch(builder.icmp_unsigned("!=", answer, WORD(0)), hit, following)
                builder.position_at_end(hit)
                builder.store(builder.or_(answer, WORD(number << NUMBER_SHIFT)), found)
                builder.branch(end)
                builder.position_at_end(following)
            builder.branch(end)
            builder.position_at_end(end)
            return builder.load(found)

        return types.int64(types.int64, *all_types), codegen

    return cast(Judge, judge)


def _interpreted_judge(rules: Sequence[Any], arguments: int) -> Judge:
    def judge(mask: int, header: Record, actor: Record, program: int) -> int:
        for number, rule in enumerate(rules):
            if mask >> number & 1:
                answer = int(rule(*(header, actor, program)[:arguments]))
                if answer != 0:
                    return number << NUMBER_SHIFT | answer
        return 0

    return judge
