/*
 * Two vCPUs write to the two gfns of a region while the first of them is converted to private and back: guest_memfd on
 * hardware without encryption. The VMA has huge pages of two, the file single ones.
 *
 * Written by hand from the rows of core/designs/guest_memfd.py and the steps in core/steps, one atomic step a row. A
 * label is a row's name. vCPU 0 works on gfn 1, vCPU 1 on gfn 0; pages 1 to 5, of which 2-3 and 4-5 are blocks. What
 * follows from other variables is left out: who holds SRCU, mmap_lock or the file, what a page holds, the mixed flag of
 * the level above. A variable that nobody reads again is set back to 0, as our driver does by liveness.
 *
 * -DCONVERSIONS=N: to private, back to shared, ... -DTIMER: vCPUs leave the guest by themselves too. -DNO_RECHECK,
 * -DNO_RANGE_OF_HUGE: mutants.
 */

#ifndef CONVERSIONS
#define CONVERSIONS 2
#endif
#ifdef TIMER
#define LEAVES(v) (mode[v])
#else
#define LEAVES(v) (mode[v] && kicked[v])
#endif

/* invalidation, and mmu_lock */
bit mmu_writer;
byte mmu_readers, count;
bit valid;			/* the range is known: it begins at gfn 0 */
byte range_end;

/* stage 2: the entries of both gfns, tables of levels 2 to 4, and whether the region is mixed */
#define HUGE 8
byte spte[2];
bit table2, mixed, private;	/* private: attribute of gfn 0 */
byte tables;			/* at level 4 and at level 3 */

/* host page table of the region (the head of its block), page cache of gfn 0, folio */
byte host, cached;
bit uptodate, wrote_private, wrote_shared[2];
byte lock;

/* allocator: free lists, and what was never used */
byte free_page, free_huge, fresh_page = 1, fresh_end = 2, fresh_block = 2;
byte link[6], refs[6];

/* vCPUs */
bit mode[2], requests[2], kicked[2];
byte tlb[2], seq[2];

#define NONE 0
#define FRESH 1
#define STALE 2

#define GFN (1 - _pid)
#define PRIVATE (_pid == 1 && private)
#define INVALIDATED ((count > 0 && (!valid || GFN < range_end)) || seq[_pid] == STALE)
#define IS_HUGE (spte[0] >= HUGE)
#define MAPPED (spte[GFN] || IS_HUGE)
#define PFN (spte[GFN] -> (spte[GFN] & 7) : (spte[0] & 7) + GFN)

inline take_block(p) {
	if
	:: free_huge -> p = free_huge; free_huge = link[p]
	:: !free_huge && fresh_block < 6 -> p = fresh_block; fresh_block = fresh_block + 2
	:: else -> p = 0
	fi
}

inline take_page(p) {
	if
	:: free_page -> p = free_page; free_page = link[p]
	:: else ->
		if
		:: fresh_page == fresh_end ->
			take_block(p);
			if
			:: p -> fresh_page = p; fresh_end = p + 2
			:: else
			fi
		:: else
		fi;
		if
		:: fresh_page < fresh_end -> p = fresh_page; fresh_page = fresh_page + 1
		:: else -> p = 0
		fi
	fi
}

#define BLOCK_HEAD(p) (order -> (p & 6) : p)

/* the last reference frees the page, or the block */
inline put(p) {
	if
	:: refs[p] == 1 && order -> refs[p] = 0; link[p] = free_huge; free_huge = p
	:: refs[p] == 1 && !order -> refs[p] = 0; link[p] = free_page; free_page = p
	:: else -> refs[p] = refs[p] - 1
	fi
}

active [2] proctype vcpu()
{
	byte pfn, level, old, error, zapped;
	bit todo = 1, is_private, order, slot, tag;

idle:
end:
	if				/* before and after the access, and run.resume */
	:: d_step { LEAVES(_pid) -> mode[_pid] = 0; kicked[_pid] = 0 }; goto idle
	:: d_step { todo -> todo = 0 }
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
	:: d_step { mode[_pid] && !tlb[_pid] && MAPPED -> pfn = PFN; tlb[_pid] = pfn }
	:: d_step { mode[_pid] && !tlb[_pid] && !MAPPED -> skip }; goto set_outside
	fi;
	if				/* guest.use */
	:: d_step {
		assert(PRIVATE -> pfn == cached : pfn == host + GFN);
		if
		:: PRIVATE && pfn == cached -> wrote_private = 1
		:: else -> wrote_shared[GFN] = 1
		fi;
		pfn = 0; error = 0 }; goto idle
	fi;
set_outside:
	if :: d_step { mode[_pid] = 0 } fi;
	if :: d_step { skip } fi;	/* exit.srcu_lock */
	if				/* exit.decode */
	:: d_step { kicked[_pid] -> kicked[_pid] = 0 }; goto service_requests
	:: d_step { !kicked[_pid] -> skip }
	fi;
	if :: d_step { is_private = PRIVATE } fi;	/* fault.classify */
	if :: d_step { slot = 1; tag = 1 } fi;	/* fault.lookup_slot */
	if				/* fault.try_fast */
	:: d_step { MAPPED -> is_private = 0 }; goto service_requests
	:: d_step { !MAPPED -> skip }
	fi;
	if :: d_step { skip } fi;	/* fault.topup_caches */
	if :: d_step { seq[_pid] = FRESH } fi;	/* fault.snapshot_seq */
	if				/* fault.check_attr */
	:: d_step { is_private != PRIVATE -> is_private = 0; seq[_pid] = NONE }; goto memory_fault
	:: d_step { is_private == PRIVATE -> skip }
	fi;
	if :: d_step { skip } fi;	/* fault.check_slot */
	if				/* fault.precheck_stale_1 */
	:: d_step { INVALIDATED -> is_private = 0; seq[_pid] = NONE }; goto service_requests
	:: d_step { !INVALIDATED -> skip }
	fi;
	if				/* fault.choose_backing */
	:: d_step { !is_private -> skip }; goto fast
	:: d_step { is_private -> error = 0 }
	fi;
	if :: d_step { error = 1 } fi;	/* gmem.get_file */
	if :: d_step { skip } fi;	/* gmem.check_file */
	if :: d_step { skip } fi;	/* gmem.check_binding */
find_folio:
	if
	:: d_step { cached -> pfn = cached; refs[pfn] = refs[pfn] + 1 }
	:: d_step { !cached -> skip }; goto alloc_folio
	fi;
	if :: d_step { !lock -> lock = _pid + 1 } fi;	/* gmem.lock_folio */
	if :: d_step { skip }; goto check_poison fi;	/* gmem.recheck_mapping: nobody truncates */
alloc_folio:
	if
	:: d_step { cached -> skip }; goto find_folio
	:: d_step { !cached ->
		take_page(pfn);
		assert(pfn);	/* there is always a page left */
		link[pfn] = 0; refs[pfn] = 2; lock = _pid + 1; cached = pfn }
	fi;
check_poison:
	if :: d_step { skip } fi;
	if				/* gmem.clear_page */
	:: d_step { uptodate -> skip }; goto unlock_folio
	:: d_step { !uptodate -> skip }
	fi;
	if :: d_step { uptodate = 1 } fi;	/* gmem.mark_uptodate */
unlock_folio:
	if :: d_step { lock = 0 } fi;
	if :: d_step { skip } fi;	/* gmem.put_file */
precheck_stale_2:
	if
	:: d_step { INVALIDATED -> is_private = 0; seq[_pid] = NONE }; goto drop
	:: d_step { !INVALIDATED -> skip }
	fi;
	if :: d_step { !mmu_writer -> mmu_readers = mmu_readers + 1 } fi;	/* fault.lock_mmu */
	if :: d_step { skip } fi;	/* fault.recheck_root */
#ifdef NO_RECHECK
	if :: d_step { seq[_pid] = NONE } fi;
#else
	if				/* fault.recheck_stale */
	:: d_step { INVALIDATED -> is_private = 0; seq[_pid] = NONE }; goto release_page
	:: d_step { !INVALIDATED -> seq[_pid] = NONE }
	fi;
#endif
	if				/* fault.choose_level */
	:: d_step { level = (order && !mixed -> 2 : 1); is_private = 0 }
	fi;
link_table:
	if
	:: d_step { level == 1 && IS_HUGE -> level = 0 }; goto release_page
	:: d_step { !(level == 1 && IS_HUGE) && tables < 2 -> tables = tables + 1 }; goto link_table
	:: d_step { !(level == 1 && IS_HUGE) && tables == 2 && level == 1 && !table2 -> table2 = 1 }; goto link_table
	:: d_step { !(level == 1 && IS_HUGE) && tables == 2 && (level == 2 || table2) ->
		old = (level == 2 -> spte[0] : spte[GFN]) }
	fi;
	if				/* fault.set_spte */
	:: d_step { level == 1 ->
		if
		:: spte[GFN] == old -> spte[GFN] = pfn; assert(PRIVATE == (pfn == cached))
		:: else
		fi;
		level = 0; old = 0 }; goto release_page
	:: d_step { level == 2 && (spte[0] != old || spte[0] == pfn - GFN + HUGE) -> level = 0; old = 0 }; goto release_page
	:: d_step { level == 2 && spte[0] == old && spte[0] != pfn - GFN + HUGE && !(table2 && (spte[0] || spte[1])) && !IS_HUGE ->
		table2 = 0; spte[0] = pfn - GFN + HUGE; assert(!private);
		level = 0; old = 0 }; goto release_page
	:: d_step { level == 2 && spte[0] == old && spte[0] != pfn - GFN + HUGE && ((table2 && (spte[0] || spte[1])) || IS_HUGE) ->
		if
		:: table2 -> zapped = (spte[0] != 0) + (spte[1] != 0); spte[1] = 0
		:: else -> zapped = 1
		fi;
		table2 = 0; spte[0] = pfn - GFN + HUGE; assert(!private);
		level = 0; old = 0 }
	fi;
	if :: d_step { requests[0] = 1; requests[1] = 1; zapped = 0 } fi;	/* fault.flush_request */
	if				/* fault.flush_kick */
	:: d_step { kicked[0] = kicked[0] || mode[0]; kicked[1] = kicked[1] || mode[1] }
	fi;
	if				/* fault.flush_wait */
	:: d_step { !(kicked[0] && mode[0]) && !(kicked[1] && mode[1]) -> skip }
	fi;
release_page:
	if :: d_step { pfn = BLOCK_HEAD(pfn); put(pfn); pfn = 0; order = 0 } fi;
	if :: d_step { mmu_readers = mmu_readers - 1 }; goto service_requests fi;	/* fault.unlock_mmu */

fast:
	if				/* gup.fast */
	:: d_step { host -> pfn = host + GFN; refs[host] = refs[host] + 1; order = 1 }; goto precheck_stale_2
	:: d_step { !host -> skip }
	fi;
	if :: d_step { skip } fi;	/* gup.lock_mmap */
	if :: d_step { skip } fi;	/* gup.find_vma */
walk:
	if
	:: d_step { !host -> skip }; goto alloc
	:: d_step { host -> skip }
	fi;
	if :: d_step { pfn = host + GFN; refs[host] = refs[host] + 1; order = 1 } fi;	/* gup.take_ref */
	if :: d_step { skip }; goto precheck_stale_2 fi;	/* gup.unlock_mmap */
alloc:
	if
	:: d_step {
		if
		:: !host -> take_block(pfn); order = 1
		:: else -> take_page(pfn)
		fi;
		assert(pfn);	/* there is always a page left */
		refs[pfn] = 1 }
	fi;
	if :: d_step { skip } fi;	/* gup.zero */
	if				/* gup.set_pte */
	:: d_step {
		if
		:: host -> put(pfn)
		:: else -> host = pfn; link[pfn] = 0
		fi;
		pfn = 0; order = 0 }; goto walk
	fi;

drop:
	if :: d_step { pfn = BLOCK_HEAD(pfn); put(pfn); pfn = 0; order = 0 }; goto service_requests fi;
cancel:
	if :: d_step { mode[_pid] = 0 } fi;
	if :: d_step { skip }; goto service_requests fi;	/* cancel.srcu_lock */
memory_fault:
	if :: d_step { error = 1 } fi;
	if :: d_step { tag = 0; error = 0 }; goto idle fi	/* leave.srcu_unlock */
}

active proctype converter()
{
	byte done, round, level;
	bit zapped;

#define TO_PRIVATE (done % 2 == 0)

idle:
end:
	if :: d_step { done < CONVERSIONS -> skip } fi;	/* lock_slots */
	if :: d_step { skip } fi;	/* check_noop: the attribute is never the wanted one */
	if :: d_step { skip } fi;	/* reserve */
	if :: d_step { skip } fi;	/* pre.find_slot */
	if :: d_step { !mmu_writer && !mmu_readers -> mmu_writer = 1 } fi;	/* pre.lock_mmu */
	if :: d_step { count = count + 1 } fi;	/* pre.count_inc */
	if :: d_step { valid = 0 } fi;	/* pre.range_reset */
	if :: d_step { valid = 1; range_end = 1 } fi;	/* pre.range_add */
#ifndef NO_RANGE_OF_HUGE
range_add_huge:
	if
	:: d_step { round == 0 -> range_end = (mixed -> 1 : 2); round = 1 }; goto range_add_huge
	:: d_step { round > 0 && round < 4 -> round = round + 1 }; goto range_add_huge
	:: d_step { round == 4 -> round = 0 }
	fi;
#endif
	if				/* pre.zap, and the same when asked to yield: there is no further gfn */
	:: d_step { zapped = ((table2 || IS_HUGE) && spte[0]); spte[0] = (zapped -> 0 : spte[0]) }
	:: d_step { zapped = ((table2 || IS_HUGE) && spte[0]); spte[0] = (zapped -> 0 : spte[0]) }
	fi;
	if				/* pre.flush_request */
	:: d_step { !zapped -> skip }; goto unlock_mmu
	:: d_step { zapped -> requests[0] = 1; requests[1] = 1; zapped = 0 }
	fi;
	if				/* pre.flush_kick */
	:: d_step { kicked[0] = kicked[0] || mode[0]; kicked[1] = kicked[1] || mode[1] }
	fi;
	if				/* pre.flush_wait */
	:: d_step { !(kicked[0] && mode[0]) && !(kicked[1] && mode[1]) -> skip }
	fi;
unlock_mmu:
	if :: d_step { mmu_writer = 0 } fi;
	if :: d_step { private = TO_PRIVATE; assert(!spte[0]) } fi;	/* store_attr */
	if :: d_step { skip } fi;	/* post.find_slot */
	if :: d_step { !mmu_writer && !mmu_readers -> mmu_writer = 1; level = 2 } fi;	/* post.lock_mmu */
	if				/* post.seq_bump */
	:: d_step {
		if :: seq[0] == FRESH -> seq[0] = STALE :: else fi;
		if :: seq[1] == FRESH -> seq[1] = STALE :: else fi }
	fi;
	if :: d_step { count = count - 1 } fi;	/* post.count_dec */
update_mixed:
	if
	:: d_step { level == 2 -> mixed = private; level = 3 }; goto update_mixed
	:: d_step { level == 3 -> level = 0 }
	fi;
	if :: d_step { mmu_writer = 0 } fi;	/* post.unlock_mmu */
	if :: d_step { done = done + 1 }; goto idle fi	/* unlock_slots */
}
