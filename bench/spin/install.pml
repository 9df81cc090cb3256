/* SPDX-License-Identifier: MIT
 * The table installers of tests/reference/install_case.hpp without the shared address, one transition a step: CPUS
 * CPUs each take the lock, allocate, zero and link a table, map a page below it, load, unmap and flush.
 */
#define ALL ((1 << CPUS) - 1)
#define NONE 0
#define ZERO 1
#define LINK 2
#define LEAF 3
#define CLEAR 4

byte lock_holder;    /* CPU + 1 */
byte allocated;
byte owner[CPUS];    /* of each page: CPU + 1 */
byte word[CPUS];     /* the first of each page: 0 left behind, 1 zero, 2 leaf */
byte slot[CPUS];     /* of each CPU in the middle table: page + 1 */
byte table[CPUS];    /* page + 1, from its allocation to its link */
byte pending[CPUS];  /* what stands in the write buffer */
byte target[CPUS];   /* page + 1 that it is for */
byte holders[CPUS];  /* of the stale leaf of each CPU's address */
bit no_isb[CPUS];
byte doomed[CPUS];

inline visible(c) {
  if
  :: pending[c] == ZERO -> word[target[c] - 1] = 1
  :: pending[c] == LINK -> slot[c] = target[c]
  :: pending[c] == LEAF -> word[target[c] - 1] = 2
  :: pending[c] == CLEAR -> word[target[c] - 1] = 1; holders[c] = ALL; no_isb[c] = 0; doomed[c] = 0
  :: else
  fi;
  pending[c] = NONE; target[c] = 0
}
#define READ d_step { true }
#define STORE(what, page) d_step { pending[_pid] = what; target[_pid] = page }
#define DRAIN d_step { visible(_pid) }
#define ISB d_step { if :: no_isb[_pid] -> no_isb[_pid] = 0; holders[_pid] = holders[_pid] & ~(1 << _pid); doomed[_pid] = 0 :: else fi }

active [CPUS] proctype cpu() {
  READ; READ;
  d_step { lock_holder == 0 -> lock_holder = _pid + 1 };
  READ;
  d_step { owner[allocated] = _pid + 1; allocated++; table[_pid] = allocated };
  STORE(ZERO, table[_pid]); DRAIN;
  d_step { pending[_pid] = LINK; target[_pid] = table[_pid]; table[_pid] = 0 };
  d_step { visible(_pid); lock_holder = 0 };
  STORE(LEAF, slot[_pid]); DRAIN; ISB;
  READ;        /* the load: it cannot fault */
  READ; READ;  /* down to the table again */
  STORE(CLEAR, slot[_pid]); DRAIN;
  d_step { doomed[_pid] = holders[_pid] };
  d_step { no_isb[_pid] = (doomed[_pid] >> _pid) & 1; holders[_pid] = holders[_pid] & ~(doomed[_pid] & ~(1 << _pid)); doomed[_pid] = 0 };
  ISB;
end: false
}

active proctype write_buffer() {
end: do
  :: d_step { pending[0] -> visible(0) }
  :: d_step { pending[1] -> visible(1) }
#if CPUS > 2
  :: d_step { pending[2] -> visible(2) }
#endif
#if CPUS > 3
  :: d_step { pending[3] -> visible(3) }
#endif
  od
}
