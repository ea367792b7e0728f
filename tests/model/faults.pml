/* Crashes, lost directories, and what must be so when nothing is left to do. Included by sluice.pml. */

/* ------------------------------------------------------------------ faults */

#ifdef PROGRESS
#define NEWEST(i) (LEADS(i) || (told[reg_term] & BIT(i)))
#define NOTE_DEATH(i) leader_died = leader_died || NEWEST(i)
#else
#define NOTE_DEATH(i) skip
#endif

/* Process or machine dies and comes back with n entries: unsynced ones are lost or kept. What was
   kept is fsynced before it answers anything. */
#ifdef MEMORY                 /* a minority at a time */
#define MAY_FORGET(i) ((tails & ~BIT(i)) == 0)
#else
#define MAY_FORGET(i) true
#endif
#define CAN_CRASH(i, n) (crashes_left > 0 && MAY_FORGET(i) && role[i] != GONE && ON_DISK(i) <= n && n <= head[i] \
    && (n < head[i] || role[i] != FENCED))
inline crash(i, upto) {
  NOTE_DEATH(i);
  crashes_left--;
  log[i] = log[i] & MASK(upto);
  head[i] = upto;
  synced[i] = upto;
#ifdef MEMORY
  tails = tails | BIT(i);
#endif
#ifdef WITHOUT_REJOIN
  restarted[i] = 1;
#endif
#ifdef WITHOUT_DURABLE_TERM                                 /* rule 2 */
  term[i] = adopted[i];
#endif
  role[i] = FENCED;
  hw[i] = 0;
  acked[i] = 0;
  printf("replica %d: crashes in term %d and comes back with %d entries\n", i, term[i], upto)
}

/* The leader that is the sole member goes on in its term by itself. */
#define SOLE(i) (CFG(i) == BIT(i) && CFG_NEXT(i) == 0 && (told[term[i]] & BIT(i)))
#define CAN_RESUME(i) (role[i] == FENCED && !TAIL_LOST(i) && adopted[i] == term[i] && (led & BIT(term[i])) \
    && SOLE(i))
inline resume(i) {
  role[i] = LEADER;
  start_end[term[i]] = head[i];
  assert(head[i] >= confirmed_len && SAME(log[i], confirmed, confirmed_len));  /* NoLoss */
  printf("replica %d: sole member, leads term %d again\n", i, term[i])
}

/* The directory is lost. The broker comes back as another incarnation, which is another slot. A majority of disks is never lost. */
#define LEFT(j, i) ((role[j] != GONE && (j) != (i)) << (j))
#define CAN_WIPE(i) (wipes_left > 0 && role[i] != GONE \
    && QUORUM(OTHERS(i), reg_ensemble, reg_next))
inline wipe(i) {
  NOTE_DEATH(i);
  wipes_left--;
#ifdef WITHOUT_NEW_INCARNATION                              /* rule 6 */
  role[i] = FENCED;
#else
  role[i] = GONE;
#endif
  term[i] = 0; adopted[i] = 0; log[i] = 0; head[i] = 0; synced[i] = 0; hw[i] = 0; acked[i] = 0;
  printf("replica %d: its directory is lost\n", i)
}

/* ------------------------------------------------------------------ progress */

/* Every action uses something up, so each run ends; where it ends, nothing is left to do. Then the
   shard must serve: a leader of the newest term has committed all that fits, everyone left
   follows it, no change hangs. If terms ran out while a leader was needed, nothing can be said.
   If the coordinator stopped for good, the shard must serve all the same, unless its leader
   died. */
#define WELL(i)   (SERVES(i) && (hw[i] == ENTRIES || (SEALED(i) && hw[i] == head[i])))
#define APART(i)  (((reg_ensemble | reg_next) & BIT(i)) && role[i] != GONE && role[i] == FENCED)
#define SERVING   (ANY(WELL) && !ANY(APART) && reg_next == 0 && (((final ^ final_heard) >> reg_term) & 1) == 0)
inline check_progress() {
  if
  :: stopped -> assert(ANY(WELL) || leader_died)            /* CoordinatorNotNeeded */
  :: !stopped && !(reg_term == TERMS && NEEDED) -> assert(SERVING)   /* Progress */
  :: else
  fi
}
