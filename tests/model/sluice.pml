/*
 * The election, replication and membership protocol of one shard, as a checked model.
 *
 * One process takes one enabled action after another; each action is atomic and is what one
 * party does on one message or timer. A message is not an object here: whatever has been sent
 * stays deliverable (see "in flight"), so delay, loss, duplication and reordering are all there.
 * Names in capitals that start with WITHOUT_ leave a rule out; README.md lists them.
 * Sizes are given with -D: see checks.txt.
 */

#ifndef REPLICAS
#define REPLICAS 3            /* slots; a slot is one (broker, directory incarnation) */
#endif
#ifndef ENSEMBLE
#define ENSEMBLE 7            /* the first ensemble, a bit a slot */
#endif
#ifndef SPARE
#define SPARE 0               /* the learner, a bit; the membership change brings it in */
#endif
#ifndef LEARNERS
#define LEARNERS SPARE        /* slots that a leader attaches though they do not count */
#endif
#ifndef COORDINATORS
#define COORDINATORS 1
#endif
#ifndef TERMS
#define TERMS 4
#endif
#ifndef ENTRIES
#define ENTRIES 2
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef WIPES
#define WIPES 0
#endif
#ifndef CHANGES
#define CHANGES 0
#endif
#ifndef MIN_INSYNC
#define MIN_INSYNC 1
#endif

#include "state.pml"
#include "coordinator.pml"
#include "replica.pml"
#include "faults.pml"

/* ------------------------------------------------------------------ everything that can happen */

#define C_NEW_TERM(c, i) :: d_step { CAN_NEW_TERM(c, i) -> new_term(c, i) }
#define C_CHOOSE(c, i)   :: d_step { CAN_CHOOSE(c, i) -> choose(c, i) }
#define C_FINISH(c, i)   :: d_step { CAN_FINISH(c, i) -> finish_change(c, i) }
#define C_OPEN(c, i)     :: d_step { CAN_OPEN(c, i) -> open_children(c, i) }
#define COORDINATOR(c) \
  :: d_step { CAN_START(c) -> start_election(c) }

#define C0_NEW_TERM(i)   C_NEW_TERM(0, i)
#define C1_NEW_TERM(i)   C_NEW_TERM(1, i)
#define C0_CHOOSE(i)     C_CHOOSE(0, i)
#define C1_CHOOSE(i)     C_CHOOSE(1, i)
#define C0_FINISH(i)     C_FINISH(0, i)
#define C0_OPEN(i)       C_OPEN(0, i)

#define A_LATE_2(i)      :: d_step { CAN_LATE_NEW_TERM(i, 2) -> late_new_term(i, 2) }
#define A_LATE_3(i)      :: d_step { CAN_LATE_NEW_TERM(i, 3) -> late_new_term(i, 3) }
#define A_LATE_4(i)      :: d_step { CAN_LATE_NEW_TERM(i, 4) -> late_new_term(i, 4) }
#define A_LEAD_2(i)      :: d_step { CAN_LEAD(i, 2) -> become_leader(i, 2) }
#define A_LEAD_3(i)      :: d_step { CAN_LEAD(i, 3) -> become_leader(i, 3) }
#define A_LEAD_4(i)      :: d_step { CAN_LEAD(i, 4) -> become_leader(i, 4) }
#define A_APPEND(i)      :: d_step { CAN_APPEND(i) -> append(i, 0) }
#define A_SEAL(i)        :: d_step { CAN_APPEND(i) && !SEALED(i) -> append(i, SEAL_BIT) }
#define A_COMMIT(i)      :: d_step { CAN_COMMIT(i) -> commit(i) }
#define A_RETRY(i)       :: d_step { CAN_ANSWER_RETRY(i) -> answer_retry(i) }
#define A_LATEST(i)      :: d_step { CAN_READ_LATEST(i) -> read_latest(i) }
#define A_FINAL(i)       :: d_step { CAN_HEAR_FINAL(i) -> hear_final(i) }
#define A_FSYNC(i)       :: d_step { CAN_FSYNC(i) -> fsync_log(i) }
#define A_ADOPT(i)       :: d_step { CAN_ADOPT(i) -> adopt(i) }
#define A_ATTACH(l, j)   :: d_step { CAN_ATTACH(l, j) -> attach(l, j) }
#define A_REPLICATE(l, j) :: d_step { CAN_REPLICATE(l, j) -> replicate(l, j) }
#define A_CUT_AGAIN(l, j) :: d_step { CAN_CUT_AGAIN(l, j) -> cut_again(l, j) }
#define A_SPREAD(l, j)   :: d_step { CAN_SPREAD(l, j) -> spread(l, j) }
#define A_CRASH_0(i)     :: d_step { CAN_CRASH(i, 0) -> crash(i, 0) }
#define A_CRASH_1(i)     :: d_step { CAN_CRASH(i, 1) -> crash(i, 1) }
#define A_CRASH_2(i)     :: d_step { CAN_CRASH(i, 2) -> crash(i, 2) }
#define A_CRASH_3(i)     :: d_step { CAN_CRASH(i, 3) -> crash(i, 3) }
#define A_RESUME(i)      :: d_step { CAN_RESUME(i) -> resume(i) }
#define A_WIPE(i)        :: d_step { CAN_WIPE(i) -> wipe(i) }

/* Term 1 is on its way: slot 0 leads, all have adopted, logs are empty. */
inline begin() {
  n = 0;
  do
  :: n < REPLICAS ->
       if
       :: ENSEMBLE & BIT(n) -> term[n] = 1; adopted[n] = 1; role[n] = FOLLOWER
       :: else
       fi;
       n++
  :: else -> break
  od;
  role[0] = LEADER;
  led = BIT(1);
  reg_term = 1;
  reg_ensemble = ENSEMBLE;
  ensemble[1] = ENSEMBLE;
  told[1] = BIT(0);
  c_fresh[0] = 1; c_seen[0] = 1;
#if COORDINATORS == 2
  c_fresh[1] = 1; c_seen[1] = 1;
#endif
  n = 0
}

active proctype shard() {
  d_step { begin() };
end:
  do
  COORDINATOR(0)
  EACH(C0_NEW_TERM)
  EACH(C0_CHOOSE)
#if COORDINATORS == 2
  COORDINATOR(1)
  EACH(C1_NEW_TERM)
  EACH(C1_CHOOSE)
  :: d_step { CAN_REREAD(0) -> reread(0) }
  :: d_step { CAN_REREAD(1) -> reread(1) }
  :: d_step { CAN_JOIN_ELECTION(0) -> join_election(0) }
  :: d_step { CAN_JOIN_ELECTION(1) -> join_election(1) }
#endif
#if CHANGES
#if ENSEMBLE == 1
  :: d_step { CAN_CHANGE(0, 0, SPARE) -> start_change(0, 0, SPARE) }
  :: d_step { CAN_CHANGE(0, 1, SPARE) -> start_change(0, 1, SPARE) }
  :: d_step { reg_ensemble == 3 && CAN_CHANGE(0, 1, 0) -> start_change(0, 1, 0) }
#else  /* slots 1 and 2 are alike at the start, so slot 2 need not leave */
  :: d_step { CAN_CHANGE(0, 1, SPARE) -> start_change(0, 1, SPARE) }
  :: d_step { CAN_CHANGE(0, 2, SPARE) -> start_change(0, 2, SPARE) }
#if CHANGES > 1
  :: d_step { CAN_CHANGE(0, SPARE, 1) -> start_change(0, SPARE, 1) }
  :: d_step { CAN_CHANGE(0, SPARE, 2) -> start_change(0, SPARE, 2) }
#endif
#endif
  EACH(C0_FINISH)
  EACH(A_FINAL)
#endif
  EACH(A_LATE_2)
  EACH(A_LEAD_2)
#if TERMS >= 3
  EACH(A_LATE_3)
  EACH(A_LEAD_3)
#endif
#if TERMS >= 4
  EACH(A_LATE_4)
  EACH(A_LEAD_4)
#endif
  PAIRS(A_ATTACH)
  EACH(A_APPEND)
  PAIRS(A_REPLICATE)
  EACH(A_FSYNC)
  EACH(A_ADOPT)
  EACH(A_COMMIT)
#ifdef WITHOUT_WAIT_FOR_ORIGINAL
  EACH(A_RETRY)
#endif
#ifdef READS
  PAIRS(A_SPREAD)
  EACH(A_LATEST)
#endif
#ifdef SEALS
  EACH(A_SEAL)
  EACH(C0_OPEN)
#endif
#if CRASHES
  EACH(A_CRASH_0)
  EACH(A_CRASH_1)
  EACH(A_CRASH_2)
#if ENTRIES >= 3
  EACH(A_CRASH_3)
#endif
#endif
#if ENSEMBLE == 1
  EACH(A_RESUME)
#endif
#if WIPES
  EACH(A_WIPE)
#endif
#ifdef WITHOUT_ONE_CONNECTION
  PAIRS(A_CUT_AGAIN)
#endif
#ifdef PROGRESS
#ifdef STOPS
  :: d_step { !stopped -> stopped = 1; printf("coordinator 0: stops for good\n") }
#endif
  :: else -> check_progress(); break
#endif
  od
}
