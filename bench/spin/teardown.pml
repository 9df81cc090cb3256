/* SPDX-License-Identifier: MIT
 * The whole-range teardown of tests/reference/teardown_case.hpp, one transition a step: the remover clears four
 * leaves in two tables, flushes once, then unlinks, flushes and frees each table; LOADERS CPUs load LOADS times each
 * and count their faults. Descriptors 0 to 3 are leaves, 4 and 5 the root's entries. CPU 0 removes.
 */
#define ALL ((1 << (1 + LOADERS)) - 1)

byte valid = 63;  /* in memory */
byte pending;     /* clears in the remover's write buffer */
byte holders[6];  /* who may hold the stale descriptor */
bit no_isb[6];    /* CPU 0 has only its ISB left to do */
byte doomed[6];   /* whom CPU 0's outstanding TLBI will take it from */
byte released;
byte done[LOADERS];
byte faults[LOADERS];

inline visible(e) {
  pending = pending & ~(1 << e); valid = valid & ~(1 << e);
  holders[e] = ALL; no_isb[e] = 0; doomed[e] = 0
}
inline visible_if_pending(e) { if :: pending & (1 << e) -> visible(e) :: else fi }
inline drain() {
  visible_if_pending(0); visible_if_pending(1); visible_if_pending(2);
  visible_if_pending(3); visible_if_pending(4); visible_if_pending(5)
}
inline complete(e) {
  if :: doomed[e] -> no_isb[e] = no_isb[e] | (doomed[e] & 1); holders[e] = holders[e] & ~(doomed[e] & ~1); doomed[e] = 0
     :: else fi
}
inline synchronise(e) {
  if :: no_isb[e] -> no_isb[e] = 0; holders[e] = holders[e] & ~1; doomed[e] = doomed[e] & ~1 :: else fi
}

#define READ d_step { true }
#define CLEAR(e) d_step { pending = pending | (1 << (e)) }
#define DSB_ISHST d_step { drain() }
#define DSB_ISH d_step { drain(); complete(0); complete(1); complete(2); complete(3); complete(4); complete(5) }
#define ISB d_step { synchronise(0); synchronise(1); synchronise(2); synchronise(3); synchronise(4); synchronise(5) }
#define RELEASE(t) d_step { drain(); released = released | (1 << (t)) }

inline unmap_table(t) { READ; READ; CLEAR(2 * t); READ; CLEAR(2 * t + 1) }
inline free_table(t) {
  READ;                                            /* the root's entry */
  READ; READ;                                      /* nothing of the range is left */
  READ; READ; READ; READ; READ; READ; READ; READ;  /* nor anything else */
  CLEAR(4 + t);
  DSB_ISHST; d_step { doomed[4 + t] = holders[4 + t]; doomed[2 * t] = holders[2 * t] }; DSB_ISH; ISB;
  RELEASE(t)
}

active proctype remover() {
  unmap_table(0); unmap_table(1);
  DSB_ISHST;
  d_step { doomed[0] = holders[0]; doomed[1] = holders[1]; doomed[2] = holders[2]; doomed[3] = holders[3] };
  DSB_ISH; ISB;
  free_table(0); free_table(1);
end: false
}

#define ME (_pid - 1)
#define LEAF (done[ME] % 4)
#define TABLE (4 + LEAF / 2)
#define MAPPED ((valid >> LEAF & 1) && (valid >> TABLE & 1))
#define STALE ((holders[LEAF] >> _pid & 1) || ((holders[TABLE] >> _pid & 1) && (valid >> LEAF & 1)))
#define COUNTED done[ME]++; if :: done[ME] == LOADS -> faults[ME] = 0 :: else fi

active [LOADERS] proctype loader() {
end: do
  :: d_step { done[ME] < LOADS && (MAPPED || STALE) -> COUNTED }
  :: d_step { done[ME] < LOADS && !MAPPED -> faults[ME]++; COUNTED }
  od
}

active proctype write_buffer() {
end: do
  :: d_step { pending & 1 -> visible(0) }
  :: d_step { pending & 2 -> visible(1) }
  :: d_step { pending & 4 -> visible(2) }
  :: d_step { pending & 8 -> visible(3) }
  :: d_step { pending & 16 -> visible(4) }
  :: d_step { pending & 32 -> visible(5) }
  od
}
