"""Synthetic result files, written by pyperf itself as gmembench run writes them."""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyperf
import pytest

NO_CONVERT = "KVM supports no memory attribute for a VM without private memory (kvm_main.c:2458)"
NO_PRIVATE = "the design has no private memory to convert"
NO_HUGE = "private guest_memfd folios are 4K (guest_memfd.c:110)"

_COMMON_ROWS = (
    ("access.run.resume", "enter.resume", "kvm-fault", "state", "vcpu_run", 2),
    ("access.enter.service_requests", "enter.service_requests", "kvm-fault", "flush", "vcpu_enter_guest", 1),
    ("access.enter.load_root", "enter.load_root", "kvm-fault", "state", "kvm_mmu_reload", 1),
    ("access.enter.set_in_guest", "enter.set_in_guest", "kvm-fault", "state", "vcpu_enter_guest", 1),
    (
        "access.enter.recheck_requests",
        "enter.recheck_requests",
        "kvm-fault",
        "check",
        "kvm_vcpu_exit_request",
        1,
    ),
    ("access.guest.translate", "guest.translate", "guest", "check", "guest", 2),
    ("access.guest.use", "guest.use", "guest", "state", "guest", 2),
    ("access.exit.srcu_lock", "exit.srcu_lock", "kvm-fault", "lock", "vcpu_enter_guest", 1),
    ("access.fault.lookup_slot", "fault.lookup_slot", "kvm-fault", "check", "kvm_vcpu_gfn_to_memslot", 1),
    ("access.fault.topup_caches", "fault.topup_caches", "kvm-fault", "alloc", "mmu_topup_memory_caches", 1),
    ("access.fault.snapshot_seq", "fault.snapshot_seq", "kvm-fault", "state", "kvm_mmu_faultin_pfn", 1),
    ("access.fault.check_slot", "fault.check_slot", "kvm-fault", "check", "kvm_mmu_faultin_pfn", 1),
    (
        "access.fault.precheck_stale_1",
        "fault.precheck_stale",
        "kvm-fault",
        "check",
        "mmu_invalidate_retry_gfn",
        1,
    ),
    ("access.fault.lock_mmu_read", "fault.lock_mmu_read", "kvm-fault", "lock", "kvm_tdp_mmu_page_fault", 1),
    ("access.fault.recheck_stale", "fault.recheck_stale", "kvm-fault", "check", "is_page_fault_stale", 1),
    ("access.fault.link_table", "fault.link_table", "kvm-fault", "spte-bits", "tdp_mmu_link_sp", 3),
    (
        "access.fault.set_spte",
        "fault.set_spte",
        "kvm-fault",
        "spte-bits",
        "tdp_mmu_map_handle_target_level",
        1,
    ),
    (
        "access.fault.release_page",
        "fault.release_page",
        "kvm-fault",
        "refcount",
        "kvm_mmu_finish_page_fault",
        1,
    ),
    ("access.fault.unlock_mmu", "fault.unlock_mmu", "kvm-fault", "lock", "kvm_tdp_mmu_page_fault", 1),
    (
        "slot_delete.slot.publish_invalid",
        "slot.publish_invalid",
        "kvm-memslot",
        "state",
        "kvm_swap_active_memslots",
        0,
    ),
    ("slot_delete.slot.srcu_wait", "slot.srcu_wait", "kvm-memslot", "lock", "kvm_swap_active_memslots", 0),
    ("punch.start.lock_mmu", "inv.lock_mmu", "kvm-invalidate", "lock", "kvm_mmu_invalidate_start", 0.2),
    ("punch.start.count_inc", "inv.count_inc", "kvm-invalidate", "state", "kvm_mmu_invalidate_start", 0.2),
    ("punch.start.zap", "inv.zap", "kvm-invalidate", "spte-bits", "kvm_mmu_unmap_gfn_range", 0.3),
    ("punch.start.flush_wait", "inv.flush_wait", "kvm-invalidate", "flush", "kvm_flush_remote_tlbs", 0.2),
    ("punch.end.seq_bump", "inv.seq_bump", "kvm-invalidate", "state", "kvm_mmu_invalidate_end", 0.2),
)

_OWN_ROWS = {
    "legacy-vma": (
        ("access.gup.lock_mmap", "gup.lock_mmap", "mm", "lock", "hva_to_pfn_slow", 1),
        ("access.gup.walk", "gup.walk", "mm", "check", "follow_page_mask", 2),
        ("access.gup.alloc", "gup.alloc", "mm", "alloc", "do_anonymous_page", 1),
        ("access.gup.zero", "gup.zero", "mm", "zero", "do_anonymous_page", 1),
        ("access.gup.take_ref", "gup.take_ref", "mm", "refcount", "try_grab_folio", 1),
        ("numa_zap.mn.active_inc", "mn.active_inc", "kvm-invalidate", "callback", "invalidate_range_start", 0),
        ("numa_zap.mn.find_slot", "mn.find_slot", "kvm-invalidate", "check", "kvm_handle_hva_range", 0),
    ),
    "guest-memfd": (
        ("access.fault.check_attr", "fault.check_attr", "kvm-fault", "check", "kvm_mmu_faultin_pfn", 1),
        ("access.gmem.get_file", "gmem.get_file", "backing", "refcount", "kvm_gmem_get_file", 1),
        ("access.gmem.lock_folio", "gmem.lock_folio", "backing", "lock", "kvm_gmem_get_folio", 1),
        ("access.gmem.alloc_folio", "gmem.alloc_folio", "backing", "alloc", "kvm_gmem_get_folio", 1),
        ("access.gmem.clear_page", "gmem.clear_page", "backing", "zero", "kvm_gmem_prepare_folio", 1),
        ("access.gmem.unlock_folio", "gmem.unlock_folio", "backing", "lock", "kvm_gmem_get_pfn", 1),
        ("access.gmem.put_file", "gmem.put_file", "backing", "refcount", "kvm_gmem_get_pfn", 1),
        ("access.hw.assign", "hw.assign", "hardware", "hw-op", "kvm_arch_gmem_prepare", 1),
        ("convert.lock_slots", "convert.lock_slots", "kvm-attributes", "lock", "kvm_vm_set_mem_attributes", 1),
        ("convert.check_noop", "convert.check_noop", "kvm-attributes", "check", "kvm_vm_set_mem_attributes", 1),
        ("convert.reserve", "convert.reserve", "kvm-attributes", "alloc", "kvm_vm_set_mem_attributes", 512),
        ("convert.pre.lock_mmu", "inv.lock_mmu", "kvm-attributes", "lock", "kvm_handle_gfn_range", 1),
        ("convert.pre.zap", "inv.zap", "kvm-invalidate", "spte-bits", "kvm_mmu_unmap_gfn_range", 300),
        ("convert.pre.flush_wait", "inv.flush_wait", "kvm-invalidate", "flush", "kvm_flush_remote_tlbs", 1),
        ("convert.store_attr", "convert.store_attr", "kvm-attributes", "state", "kvm_vm_set_mem_attributes", 512),
        ("convert.update_mixed", "convert.update_mixed", "kvm-attributes", "state", "kvm_arch_post_set_attributes", 2),
        ("slot_delete.bind.erase", "bind.erase", "kvm-memslot", "state", "kvm_gmem_unbind", 0),
    ),
}  # fmt: skip

CONFORMANCE = {
    "trace": "conversions.txt",
    "design": "guest-memfd",
    "verdict": "agrees",
    "headline": "guest-memfd makes 53,545 of the kernel's 53,545 leaf changes; 1 of 2 controls lower the figure.",
    "agreement": 1.0,
    "agreement_pure": 0.9214,
    "inputs_share": 0.0396,
    "retries_explained": 1.0,
    "counts": {
        "leaf_changes": 55750, "matched": 53545, "missed_sets": 0, "missed_zaps": 0, "extra_sets": 0,
        "extra_zaps": 0, "faults": 28116, "retries": 241, "retries_explained": 241,
        "inputs": {"unmap": 2205, "exit": 0}, "excluded": {"teardown": 7}, "pure": {"matched": 51364},
    },
    "controls": {
        "obey-filter": {"agreement": 0.816, "judged": True, "note": "lowers the figure", "inputs": 2717},
        "ignore-noop": {"agreement": 1.0, "judged": False, "note": "this trace cannot judge", "inputs": 2205},
    },
}  # fmt: skip

DEFAULT_CELLS = (
    "boot-populate/legacy-vma/none/4K",
    "boot-populate/legacy-vma/none/2M",
    "boot-populate/guest-memfd/none/4K",
    "bounce-buffer:punch-first/guest-memfd/none/4K",
    "bounce-buffer:punch-first/guest-memfd/none/2M",
    "bounce-buffer:attributes-first/guest-memfd/none/4K",
    "bounce-buffer:attributes-first/guest-memfd/none/2M",
    "trace/legacy-vma/none/4K",
    "trace/guest-memfd/none/4K",
)

DEFAULT_MISSING = {
    "boot-populate/guest-memfd/none/2M": NO_HUGE,
    "bounce-buffer:punch-first/legacy-vma/none/4K": NO_PRIVATE,
    "bounce-buffer:attributes-first/legacy-vma/none/4K": NO_PRIVATE,
}


def cell_metadata(cell: str) -> dict[str, Any]:
    """Metadata of one cell: deterministic, and consistent with its rows."""
    scenario, design, hardware, page_size = cell.rsplit("/", 3)
    faults = {"4K": 16384, "2M": 32}.get(page_size, 100)
    converts = 0 if scenario.startswith("boot") or design == "legacy-vma" else 24
    rows = [
        dict(zip(("row", "step", "place", "nature", "site"), row[:5], strict=True))
        | {"hits": int(row[5] * (converts if row[0].startswith("convert.") else faults))}
        for row in (*_COMMON_ROWS, *_OWN_ROWS.get(design, ()))
    ]
    backing = _backing(scenario, converts, faults)
    twice = max(backing["double_backed_pages"])
    metadata = {
        "gmembench.schema": 1, "gmembench.version": "0.1.0", "gmembench.digest": "9f1c22ab40d7",
        "gmembench.size": "small", "gmembench.command": "gmembench run --quick -o result.json",
        "cell.scenario": scenario, "cell.design": design, "cell.hardware": hardware, "cell.page_size": page_size,
        "cell.parameters": json.dumps({"guest_mib": 64, "vcpus": 2}), "jit.state": "cached",
        "count.operations": faults + 2 * converts, "count.operations.access": faults,
        "count.steps": sum(row["hits"] for row in rows), "count.steps.access": _hits(rows, "access", guest=True),
        "count.faults": faults, "count.fault_steps": _hits(rows, "access"),
        "count.conversions": converts, "count.conversion_steps": _hits(rows, "convert"),
        "count.converted_gfns": 512 * converts, "count.retries": faults // 400, "count.flushes": 3 * converts,
        "count.ipis": converts, "count.zeroed_pages": faults, "count.gfns": 16384,
        "count.private_pages_peak": max(backing["private_pages"]),
        "count.shared_pages_peak": max(backing["shared_pages"]),
        "count.backing_pages_peak": max(map(sum, zip(backing["private_pages"], backing["shared_pages"], strict=True))),
        "count.double_backed_pages_peak": twice,
        "count.state_bytes": 16384 * 48, "count.state_bytes_per_gfn": 48, "count.result.access.OK": faults,
        "profile.rows": json.dumps(rows), "profile.backing": json.dumps(backing),
        "python_version": "3.11.9", "cpu_model_name": "Example CPU 3000", "cpu_count": 2,
        "platform": "Linux-7.3.4-x86_64-with-glibc2.36", "date": "2026-01-02 03:04:05",
    }  # fmt: skip
    if design == "legacy-vma" and scenario == "trace":
        metadata |= {"count.not_applicable.convert": 64, "reason.not_applicable.convert": NO_CONVERT}
    if converts:
        metadata |= {"count.operations.convert": converts, "count.steps.convert": _hits(rows, "convert")}
        metadata |= {"count.result.convert.OK": converts}
    if scenario == "trace" and design == "guest-memfd":
        metadata["profile.conformance"] = json.dumps(CONFORMANCE)
    return metadata


def _hits(rows: list[dict[str, Any]], program: str, *, guest: bool = False) -> int:
    """Hits of a program, without the steps that an access takes without a fault unless `guest`."""
    skipped = () if guest else ("enter.resume", "guest.translate", "guest.use")
    return sum(r["hits"] for r in rows if r["row"].startswith(f"{program}.") and r["step"] not in skipped)


def _backing(scenario: str, converts: int, faults: int) -> dict[str, list[int]]:
    """A guest that fills up, then converts half of it; with `attributes-first` old copies stay."""
    points = 120
    operations = [i * (faults + 2 * converts) // (points - 1) for i in range(points)]
    if not converts:
        filled = [16384 * i // (points - 1) for i in range(points)]
        shared = filled if scenario == "trace" else [0] * points
        private = [0] * points if scenario == "trace" else filled
        return _profile(operations, private, shared, [0] * points)
    twice = 0 if "punch-first" in scenario else 4096
    private = [min(16384, 32768 * i // points) - (0 if i < 70 else 8192 - twice) for i in range(points)]
    shared = [0 if i < 70 else min(8192, 400 * (i - 70)) for i in range(points)]
    double = [min(s, twice) for s in shared]
    return _profile(operations, private, shared, double)


def _profile(*columns: list[int]) -> dict[str, list[int]]:
    return dict(zip(("operation", "private_pages", "shared_pages", "double_backed_pages"), columns, strict=True))


def write_result(
    path: Path,
    cells: Iterable[str] = DEFAULT_CELLS,
    *,
    kind: str = "measured",
    missing: dict[str, str] | None = None,
    change: Callable[[str, dict[str, Any]], None] | None = None,
    processes: int = 6,
) -> Path:
    """Write a result file; `change` may edit the metadata of each cell by name."""
    chance = random.Random(7)
    listed = json.dumps(
        [{"cell": c, "reason": r} for c, r in (DEFAULT_MISSING if missing is None else missing).items()]
    )
    benchmarks = []
    for cell in cells:
        metadata = cell_metadata(cell)
        metadata |= {"name": cell, "gmembench.kind": kind, "cells.not_applicable": listed}
        metadata |= {"unit": "second" if kind == "measured" else "integer"}
        if change:
            change(cell, metadata)
        base = 1e-9 * (95 if "legacy" in cell else 118) * (40 if "bounce" in cell else 1)
        runs = []
        for _ in range(processes if kind == "measured" else 1):
            offset = chance.gauss(1, 0.03)
            values = [metadata["count.steps"]]
            if kind == "measured":
                values = [base * offset * chance.gauss(1, 0.006) for _ in range(3)]
            runs.append(pyperf.Run(values, metadata=metadata, collect_metadata=False))
        benchmarks.append(pyperf.Benchmark(runs))
    pyperf.BenchmarkSuite(benchmarks).dump(str(path))
    return path


@pytest.fixture
def result_file(tmp_path: Path) -> Callable[..., Path]:
    """Return a factory of result files: `result_file(name="a.json", cells=..., kind=..., ...)`."""

    def make(name: str = "result.json", **options: Any) -> Path:
        return write_result(tmp_path / name, **options)

    return make


@pytest.fixture(scope="session")
def default_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a report of the default, measured result file; tests only read it."""
    from gmembench.reports.build import build_report

    folder = tmp_path_factory.mktemp("report")
    build_report([write_result(folder / "result.json")], folder / "out")
    return folder / "out"


@pytest.fixture(scope="session")
def browsed_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a report with all sections, one of whose scenarios is named like markup."""
    from report_files import EVIL, FAILURE, TABLE, write

    from gmembench.reports import contact_sheet, raster
    from gmembench.reports.build import build_report

    folder = tmp_path_factory.mktemp("browsed")
    designs = ("legacy-vma", "fd-private", "guest-memfd")
    cells = [f"{scenario}/{design}/none/4K" for scenario in ("trace", "bounce-buffer", EVIL) for design in designs]
    result = write_result(folder / "result.json", [*cells, "trace/guest-memfd/none/2M"], processes=5)
    files = [result, write(folder / "failure.json", FAILURE), write(folder / "table.json", TABLE)]
    with pytest.MonkeyPatch.context() as patch:  # pictures of dots take time, and a browser does not show them
        patch.setattr(raster, "png", lambda *_: b"")
        patch.setattr(contact_sheet, "png", lambda _: b"")
        build_report(files, folder / "out")
    return folder / "out"
