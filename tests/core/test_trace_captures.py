"""Traces as people posted them: captures from mailing lists and bug reports, read word for word."""

from pathlib import Path

import pytest

from gmembench.core.trace import CHANGE_COLLAPSE, CHANGE_OTHER, CHANGE_ZAP, EVENT_KINDS, Events, read_events

ATTRIBUTES = """\
   <...>-12693   [059] .....  1342.536361: kvm_vm_set_mem_attributes:  0x00000000000000 -- 0x00000000080000 [0x8]
qemu-kvm-12693   [187] .....  1342.747651: kvm_vm_set_mem_attributes:  . 0x00000010000000 -- 0x00000018000000 [0x8]
qemu-kvm-12693   [040] .N...  1366.473790: kvm_vm_set_mem_attributes:  . 0x00000018000000 -- 0x00000020000000 [0x8]
qemu-kvm-12693   [009] .N...  1390.350362: kvm_vm_set_mem_attributes:  . 0x00000020000000 -- 0x00000028000000 [0x8]
qemu-kvm-12693   [008] .N...  1414.154231: kvm_vm_set_mem_attributes:  0x00000028000000 -- 0x0000002da80000 [0x8]
qemu-kvm-12693   [136] .....  1430.988101: kvm_vm_set_mem_attributes:  0x000000000ffc00 -- 0x00000000100000 [0x8]
qemu-kvm-12693   [024] .....  1431.029798: kvm_vm_set_mem_attributes:  0x00000000000000 -- 0x000000000000c0 [0x8]
"""

SNP_FAULTS = """\
  <...>-1946910 [226] ...1. 324797.313982: kvm_page_fault: vcpu 219 rip 0x0 address 0x00000018cbc00000 error_code 0x500000004
  <...>-1946910 [098] ...1. 324797.631256: kvm_page_fault: vcpu 219 rip 0x0 address 0x00000018cbdff000 error_code 0x500000004
  <...>-1946910 [107] ...1. 324835.184044: kvm_page_fault: vcpu 219 rip 0x0 address 0x00000018cbe00000 error_code 0x500000004
  <...>-1946910 [235] ...1. 324835.208404: kvm_page_fault: vcpu 219 rip 0x0 address 0x00000018cbfff000 error_code 0x500000004
"""  # noqa: E501  # a capture keeps its lines

COALESCED = """\
VCPU-0-61883   [078] ..... 72276.115679: kvm_page_fault: address 84d000 error_code 4
VCPU-0-61883   [078] ..... 72276.127005: kvm_mmu_spte_requested: gfn 84d pfn 100b4a4d level 2
VCPU-0-61883   [078] ..... 72276.127008: kvm_tdp_mmu_spte_changed: as id 0 gfn 800 level 2 old_spte 100b1b16827 new_spte 100b4a00ea7
VCPU-0-61883   [078] ..... 72276.127009: kvm_tdp_mmu_spte_changed: as id 0 gfn 800 level 1 old_spte 1003eb27e67 new_spte 5a0
VCPU-0-61883   [078] ..... 72276.127010: kvm_tdp_mmu_spte_changed: as id 0 gfn 803 level 1 old_spte 0 new_spte 5a0
 VCPU-0-61883   [078] ..... 72276.127090: kvm_mmu_set_spte: gfn 800 spte 100b4a00ea7 (rwxu) level 2 at 10052fa5020
"""  # noqa: E501  # a capture keeps its lines

SPURIOUS = """\
qemu-5786    [029] d.... 3602162.971193: kvm_exit: vcpu 4 reason EPT_VIOLATION rip 0xffffffff820fe612 info1 0x0000000000000184 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000
qemu-5786    [029] ..... 3602162.971194: kvm_page_fault: vcpu 4 rip 0xffffffff820fe612 address 0x00000000020fe612 error_code 0x184
qemu-5786    [029] ..... 3602162.971194: fast_page_fault: vcpu 4 gva 20fe612 error_code F sptep 00000000fd98c937 old 0x61000034d4fe877 new 61000034d4fe877 spurious 1 fixed 0
qemu-5786    [029] d.... 3602162.971194: kvm_entry: vcpu 4, rip 0xffffffff820fe612
"""  # noqa: E501  # a capture keeps its lines

EFAULT = """\
             exe-110348  [006] .... 410259.258828: kvm_userspace_exit: reason error (14)
             exe-110348  [006] d... 410259.258862: kvm_exit: vcpu 1 reason EPT_VIOLATION rip 0x5600b39c8132 info1 0x0000000000000181 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000
             exe-110348  [006] .... 410259.258863: kvm_page_fault: address 3fef42812000 error_code 181
"""  # noqa: E501  # a capture keeps its lines

SHADOW = """\
             lm3-16018   [001] .....  2935.496640: kvm_mmu_pagetable_walk: addr 1587000 pferr 6 W|U
             lm3-16018   [001] ...1.  2935.496643: kvm_mmu_spte_requested: gfn 1587 pfn 40d236 level 1
             lm3-16018   [001] ...1.  2935.496643: kvm_mmu_set_spte: gfn 1587 spte 40d236e67 (rwxu) level 1 at 41f93dc38
             lm3-16018   [001] .....  2935.575609: kvm_userspace_exit: reason KVM_EXIT_IO (2)
              gm-13999   [000] .....  2825.873910: kvm_unmap_hva_range: mmu notifier unmap range: 0x007fd02c23a000 -- 0x007fd02c23b000
"""  # noqa: E501  # a capture keeps its lines

LOGS = """\
qemu-system-x86_64: warning: memory fault: GPA 0x4000000 size 0x1000 flags 0x8 kvm_convert_memory start 0x4000000 size 0x1000 shared_to_private
Unexpected exit reason on vcpu run: MemoryFault { flags: 8, gpa: 4096, size: 4096 }
[255267.410514] SEV-SNP: RMPUPDATE failed for PFN 56700, pg_level: 1, ret: 2
[255267.410540] SEV-SNP: PFN 0x56700 unassigned, dumping non-zero entries in 2M PFN region: [0x56600 - 0x56800]
[ 1187.437064] SEV-SNP: rmpupdate failed, ret: 4, pfn: 37d4fe8, npages: 1, level: 1, retrying (max: 96)...
"""  # noqa: E501  # a capture keeps its lines


def read(folder: Path, text: str) -> Events:
    """Read a text in which every line must make sense."""
    path = folder / "kvm.trace"
    path.write_text(text)
    events = read_events(path)
    assert events.malformed_lines == 0
    return events


def kinds(events: Events) -> list[str]:
    """Names of the events, in order."""
    return [EVENT_KINDS[kind] for kind in events.events["kind"]]


def test_attribute_ranges_are_gfns_also_on_lines_with_a_dot(tmp_path: Path) -> None:
    """Every line of the attribute capture is a range of gfns with the attribute PRIVATE."""
    events = read(tmp_path, ATTRIBUTES).events
    assert events["gfn"].tolist() == [0, 0x10000000, 0x18000000, 0x20000000, 0x28000000, 0xFFC00, 0]
    assert events["end"].tolist() == [0x80000, 0x18000000, 0x20000000, 0x28000000, 0x2DA80000, 0x100000, 0xC0]
    assert set(events["code"].tolist()) == {8}
    assert events["cpu"].tolist() == [59, 187, 40, 9, 8, 136, 24]


def test_attribute_times_give_the_cost_that_was_reported(tmp_path: Path) -> None:
    """The second of the calls that were split takes about 177 ns a gfn, as the report says."""
    events = read(tmp_path, ATTRIBUTES).events
    spent_ns = events["time_ns"][2] - events["time_ns"][1]
    assert 176 < spent_ns / (events["end"][1] - events["gfn"][1]) < 178


def test_error_code_keeps_bits_above_32(tmp_path: Path) -> None:
    """Bits 32 and 34 of a 64-bit error_code survive."""
    events = read(tmp_path, SNP_FAULTS).events
    assert events["code"].tolist() == [0x500000004] * 4
    assert events["gfn"].tolist() == [0x18CBC00, 0x18CBDFF, 0x18CBE00, 0x18CBFFF]
    assert set(events["vcpu"].tolist()) == {219}
    assert set(events["task"].tolist()) == {1946910}


def test_old_fault_form_and_collapse_are_read(tmp_path: Path) -> None:
    """The capture of a wrong 2 MiB mapping shows a collapse at level 2 and a zap below it."""
    events = read(tmp_path, COALESCED).events
    assert events["gfn"].tolist() == [0x84D, 0x84D, 0x800, 0x800, 0x803, 0x800]
    assert events["vcpu"][0] == -1
    assert events["code"].tolist()[:2] == [4, 0x100B4A4D]
    assert events["change"].tolist() == [0, 0, CHANGE_COLLAPSE, CHANGE_ZAP, CHANGE_OTHER, 0]
    assert events["new"][5] == 0x100B4A00EA7
    assert events["level"][5] == 2


def test_exits_and_fast_faults_are_read(tmp_path: Path) -> None:
    """The capture of spurious violations gives exit, fault, fast fault and entry of vCPU 4."""
    events = read(tmp_path, SPURIOUS)
    assert kinds(events) == ["kvm_exit", "kvm_page_fault", "fast_page_fault", "kvm_entry"]
    assert set(events.events["vcpu"].tolist()) == {4}
    assert events.events["gfn"].tolist() == [-1, 0x20FE, 0x20FE, -1]
    assert events.events["old"][2] == events.events["new"][2] == 0x61000034D4FE877
    assert events.events["time_ns"][0] == 3602162_971193_000


def test_four_character_flags_and_errno_are_read(tmp_path: Path) -> None:
    """`reason error (14)` is errno 14 with a minus sign, with the flags column of older kernels."""
    events = read(tmp_path, EFAULT).events
    assert events["code"].tolist()[0] == -14
    assert events["gfn"][2] == 0x3FEF42812
    assert events["code"][2] == 0x181


def test_events_of_no_kind_are_counted_by_name(tmp_path: Path) -> None:
    """kvm_mmu_pagetable_walk is counted, not called malformed; the notifier's range is in host pages."""
    events = read(tmp_path, SHADOW)
    assert events.unplaced == {"kvm_mmu_pagetable_walk": 1}
    assert events.counts["kvm_mmu_pagetable_walk"] == 1
    assert events.counts["kvm_mmu_set_spte"] == 1
    assert events.events["gfn"].tolist()[-1] == 0x7FD02C23A
    assert events.events["end"].tolist()[-1] == 0x7FD02C23B
    assert events.events["code"].tolist()[2] == 2


def test_log_lines_are_told_from_garbage(tmp_path: Path) -> None:
    """QEMU's conversion message is an event, other log lines are counted by what they are about."""
    events = read(tmp_path, LOGS)
    assert kinds(events) == ["kvm_convert_memory"]
    assert events.events[["gfn", "end", "code", "task"]].tolist() == [(0x4000, 0x4001, 8, -1)]
    assert events.unplaced == {"MemoryFault": 1, "SEV-SNP": 3}


@pytest.mark.parametrize("capture", [ATTRIBUTES, SNP_FAULTS, COALESCED, SPURIOUS, EFAULT, SHADOW])
@pytest.mark.parametrize("columns", [64, 72, 80])
def test_mail_wrapping_and_quoting_change_nothing(tmp_path: Path, capture: str, columns: int) -> None:
    """A capture that a mail program wrapped and quoted holds the same events as before."""
    plain = read(tmp_path, capture)
    wrapped = read(tmp_path, "".join(f"> {part}\n" for line in capture.splitlines() for part in wrap(line, columns)))
    assert wrapped.counts == plain.counts
    names = [name for name in plain.events.dtype.names or () if name != "line"]
    assert wrapped.events[names].tolist() == plain.events[names].tolist()


def wrap(line: str, columns: int) -> list[str]:
    """Break at the last space before `columns`, as a mail program does."""
    parts = []
    while len(line) > columns and line.rfind(" ", 30, columns) > 0:
        cut = line.rfind(" ", 30, columns)
        parts.append(line[:cut])
        line = line[cut + 1 :]
    return [*parts, line]
