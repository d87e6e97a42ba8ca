/*
 * Two vCPUs touch a private gfn while its page is punched out of the file: guest_memfd on hardware without encryption.
 *
 * Written by hand from the rows of core/designs/guest_memfd.py and the steps in core/steps, one atomic step a row. A
 * label is a row's name. One gfn, two pages, regions of one gfn; vCPU 0 writes and vCPU 1 reads. What follows from the
 * control locations is left out: who holds SRCU, the file or its invalidate_lock, and a walk's cursor. A variable that
 * nobody reads again is set back to 0, as our driver does by liveness.
 *
 * -DWRITES=N, -DREADS=N: accesses of the vCPUs. -DTIMER: vCPUs leave the guest by themselves too. -DNO_RECHECK, -DTRUNCATE_LATE:
 * mutants.
 */

#ifndef READS
#define READS 1
#endif
#ifndef WRITES
#define WRITES 1
#endif
#ifdef TIMER
#define LEAVES(v) (mode[v])
#else
#define LEAVES(v) (mode[v] && kicked[v])
#endif

/* header and frame of gfn 0 */
bit mmu_writer;
byte mmu_readers;
byte count;			/* invalidations under way */
bit valid = 1;			/* their range is known; it is gfn 0 */
byte tables;			/* page tables linked below the root */
byte spte;			/* page that the leaf entry maps; 0 none */
byte cached;			/* folio in the page cache; 0 none */
byte generation;		/* oracle: of the last write */
bit punches, zero, data, raced;	/* oracle */

/* pages 1 and 2, and the list of free ones */
byte fresh = 1, head;
byte link[3], refs[3], lock[3], content[3], written[3];
bit mapped[3], uptodate[3];

/* vCPUs */
bit mode[2], requests[2], kicked[2];
byte tlb[2];
byte seq[2];			/* snapshot of the sequence: none, fresh, stale */

#define NONE 0
#define FRESH 1
#define STALE 2
#define INVALIDATED (count > 0 || seq[_pid] == STALE)

/* the last reference frees the page */
#define PUT(p) \
	if \
	:: refs[p] == 1 -> refs[p] = 0; link[p] = head; head = p \
	:: else -> refs[p] = refs[p] - 1 \
	fi

active [2] proctype vcpu()
{
	byte todo = (_pid == 0 -> WRITES : READS), pfn, old, error;
	bit slot, tag;

idle:
end:
	if				/* between two accesses, and run.resume */
	:: d_step { LEAVES(_pid) -> mode[_pid] = 0; kicked[_pid] = 0 }; goto idle
	:: d_step { todo && mode[_pid] -> todo = todo - 1 }; goto translate
	:: d_step { todo && !mode[_pid] -> todo = todo - 1 }
	fi;
	if :: d_step { skip } fi;	/* run.srcu_lock */
service_requests:
	if
	:: d_step {
		if
		:: requests[_pid] -> tlb[_pid] = 0; requests[_pid] = 0
		:: else
		fi }
	fi;
	if :: d_step { skip } fi;	/* enter.load_root */
	if :: d_step { mode[_pid] = 1 } fi;	/* enter.set_in_guest */
	if :: d_step { tag = 0 } fi;	/* enter.srcu_unlock */
	if				/* enter.recheck_requests */
	:: d_step { requests[_pid] -> skip }; goto cancel
	:: d_step { !requests[_pid] -> skip }
	fi;
translate:
	if
	:: d_step { LEAVES(_pid) -> mode[_pid] = 0; kicked[_pid] = 1 }; goto translate
	:: d_step { !mode[_pid] -> skip }; goto set_outside
	:: d_step { mode[_pid] && tlb[_pid] -> pfn = tlb[_pid] }
	:: d_step { mode[_pid] && !tlb[_pid] && spte -> pfn = spte; tlb[_pid] = spte }
	:: d_step { mode[_pid] && !tlb[_pid] && !spte -> skip }; goto set_outside
	fi;
	if				/* guest.use */
	:: d_step {
		if
		:: _pid == 0 ->
			generation = generation + 1; zero = 0; data = 1;
			raced = raced || punches;
			content[pfn] = 1; written[pfn] = generation
		:: else ->
			assert(content[pfn] || zero || !data || punches);
			assert(!content[pfn] || (data && written[pfn] == generation))
		fi;
		assert(pfn == cached);
		pfn = 0; error = 0 }; goto idle
	fi;
set_outside:
	if :: d_step { mode[_pid] = 0 } fi;
	if :: d_step { skip } fi;	/* exit.srcu_lock */
	if				/* exit.decode */
	:: d_step { kicked[_pid] -> kicked[_pid] = 0 }; goto service_requests
	:: d_step { !kicked[_pid] -> skip }
	fi;
	if :: d_step { skip } fi;	/* fault.classify */
	if :: d_step { slot = 1; tag = 1 } fi;	/* fault.lookup_slot */
	if				/* fault.try_fast */
	:: d_step { spte -> skip }; goto service_requests
	:: d_step { !spte -> skip }
	fi;
	if :: d_step { skip } fi;	/* fault.topup_caches */
	if :: d_step { seq[_pid] = FRESH } fi;	/* fault.snapshot_seq */
	if :: d_step { skip } fi;	/* fault.check_attr */
	if :: d_step { skip } fi;	/* fault.check_slot */
	if				/* fault.precheck_stale_1 */
	:: d_step { INVALIDATED -> seq[_pid] = NONE }; goto service_requests
	:: d_step { !INVALIDATED -> skip }
	fi;
	if :: d_step { error = 0 } fi;	/* fault.choose_backing */
	if :: d_step { error = 1 } fi;	/* gmem.get_file */
	if :: d_step { skip } fi;	/* gmem.check_file */
	if :: d_step { skip } fi;	/* gmem.check_binding */
find_folio:
	if
	:: d_step { cached -> pfn = cached; refs[pfn] = refs[pfn] + 1 }
	:: d_step { !cached -> skip }; goto alloc_folio
	fi;
	if :: d_step { !lock[pfn] -> lock[pfn] = _pid + 1 } fi;	/* gmem.lock_folio */
	if				/* gmem.recheck_mapping */
	:: d_step { mapped[pfn] -> skip }; goto check_poison
	:: d_step { !mapped[pfn] -> lock[pfn] = 0; PUT(pfn); pfn = 0 }; goto find_folio
	fi;
alloc_folio:
	if
	:: d_step { cached -> skip }; goto find_folio
	:: d_step { !cached && !head && fresh == 3 -> error = 2; seq[_pid] = NONE }; goto put_file
	:: d_step { !cached && (head || fresh < 3) ->
		if
		:: head -> pfn = head; head = link[pfn]; link[pfn] = 0
		:: else -> pfn = fresh; fresh = fresh + 1
		fi;
		mapped[pfn] = 1; uptodate[pfn] = 0; refs[pfn] = 2; lock[pfn] = _pid + 1; cached = pfn }
	fi;
check_poison:
	if :: d_step { skip } fi;
	if				/* gmem.clear_page */
	:: d_step { uptodate[pfn] -> skip }; goto unlock_folio
	:: d_step { !uptodate[pfn] -> content[pfn] = 0 }
	fi;
	if :: d_step { uptodate[pfn] = 1 } fi;	/* gmem.mark_uptodate */
unlock_folio:
	if :: d_step { lock[pfn] = 0 } fi;
	if :: d_step { skip } fi;	/* gmem.put_file */
	if				/* fault.precheck_stale_2 */
	:: d_step { INVALIDATED -> seq[_pid] = NONE }; goto drop
	:: d_step { !INVALIDATED -> skip }
	fi;
	if :: d_step { !mmu_writer -> mmu_readers = mmu_readers + 1 } fi;	/* fault.lock_mmu */
	if :: d_step { skip } fi;	/* fault.recheck_root */
#ifdef NO_RECHECK
	if :: d_step { seq[_pid] = NONE } fi;
#else
	if				/* fault.recheck_stale */
	:: d_step { INVALIDATED -> seq[_pid] = NONE }; goto release_page
	:: d_step { !INVALIDATED -> seq[_pid] = NONE }
	fi;
#endif
	if :: d_step { skip } fi;	/* fault.choose_level */
link_table:
	if
	:: d_step { tables < 3 -> tables = tables + 1 }; goto link_table
	:: d_step { tables == 3 -> old = spte }
	fi;
	if				/* fault.set_spte */
	:: d_step {
		if
		:: spte == old -> spte = pfn; assert(spte == cached)
		:: else
		fi;
		old = 0 }
	fi;
release_page:
	if :: d_step { PUT(pfn); pfn = 0 } fi;
	if :: d_step { mmu_readers = mmu_readers - 1 }; goto service_requests fi;	/* fault.unlock_mmu */

drop:
	if :: d_step { PUT(pfn); pfn = 0 }; goto service_requests fi;
cancel:
	if :: d_step { mode[_pid] = 0 } fi;
	if :: d_step { skip }; goto service_requests fi;	/* cancel.srcu_lock */
put_file:
	if :: d_step { skip } fi;
	if :: d_step { skip } fi;	/* leave.memory_fault */
	if :: d_step { tag = 0; error = 0 }; goto idle fi	/* leave.srcu_unlock */
}

active proctype puncher()
{
	byte pfn;
	bit zapped, index;

	if :: d_step { punches = 1 } fi;	/* fdget */
	if :: d_step { skip } fi;	/* lock_inval */
	if :: d_step { skip } fi;	/* start.find_binding */
	if :: d_step { !mmu_writer && !mmu_readers -> mmu_writer = 1 } fi;	/* start.lock_mmu */
	if :: d_step { count = count + 1 } fi;	/* start.count_inc */
	if :: d_step { valid = 0 } fi;	/* start.range_reset */
	if :: d_step { valid = 1 } fi;	/* start.range_add */
	if				/* start.zap, and the same when asked to yield: there is no further gfn */
	:: d_step { zapped = (spte != 0); spte = 0 }
	:: d_step { zapped = (spte != 0); spte = 0 }
	fi;
	if				/* start.flush_request */
	:: d_step { !zapped -> skip }; goto unlock_mmu
	:: d_step { zapped -> requests[0] = 1; requests[1] = 1; zapped = 0 }
	fi;
	if				/* start.flush_kick */
	:: d_step { kicked[0] = kicked[0] || mode[0]; kicked[1] = kicked[1] || mode[1] }
	fi;
	if				/* start.flush_wait */
	:: d_step { !(kicked[0] && mode[0]) && !(kicked[1] && mode[1]) -> skip }
	fi;
unlock_mmu:
	if :: d_step { mmu_writer = 0 } fi;
#ifdef TRUNCATE_LATE
	goto finish;
#endif
lock_folio:
	if
#ifdef TRUNCATE_LATE
	:: d_step { index || !cached -> index = 0 }; goto unlock_inval
#else
	:: d_step { index || !cached -> index = 0 }; goto finish
#endif
	:: d_step { !index && cached && !lock[cached] ->
		pfn = cached; lock[pfn] = _pid + 1; refs[pfn] = refs[pfn] + 1 }
	fi;
	if :: d_step { skip } fi;	/* unmap_host */
	if :: d_step { cached = 0; mapped[pfn] = 0; assert(!spte) } fi;	/* remove_folio */
	if :: d_step { PUT(pfn) } fi;	/* put_folio */
	if :: d_step { lock[pfn] = 0; PUT(pfn); pfn = 0; index = 1 }; goto lock_folio fi;	/* unlock_folio */
finish:
	if :: d_step { skip } fi;
	if :: d_step { !mmu_writer && !mmu_readers -> mmu_writer = 1 } fi;	/* end.lock_mmu */
	if				/* end.seq_bump */
	:: d_step {
		if :: seq[0] == FRESH -> seq[0] = STALE :: else fi;
		if :: seq[1] == FRESH -> seq[1] = STALE :: else fi }
	fi;
	if :: d_step { count = count - 1 } fi;	/* end.count_dec */
	if :: d_step { mmu_writer = 0 } fi;	/* end.unlock_mmu */
#ifdef TRUNCATE_LATE
	goto lock_folio;
#endif
unlock_inval:
	if :: d_step { skip } fi;
	if :: d_step { skip } fi;	/* fdput */
	if				/* fallocate.returned */
	:: d_step {
		data = data && raced;
		zero = 1; punches = 0; raced = 0 }; goto idle
	fi;
idle:
end:
	if
	:: d_step { false -> skip }
	fi
}
