"""A scenario that is explored in a second, interpreted."""

TINY = """
doc = "A vCPU reads while freed pages may be used again."

[world]
gfns = 1
pages = 2

[[actors]]
name = "V0"
kind = "vcpu"
script = ["access 0 read"]

[[actors]]
name = "R"
kind = "host"
script = ["reuse"]

[[sometimes]]
name = "a fault"
when = ["V0 before fault.lock_mmu"]
"""
