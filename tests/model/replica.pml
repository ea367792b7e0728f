/* What leaders and followers do. Included by sluice.pml. */

/* ------------------------------------------------------------------ leader */

#ifdef WITHOUT_WAIT_AFTER_RESTART                           /* rule 4 */
#define FIRST_TIME(i) true
#else
#define FIRST_TIME(i) (adopted[i] < term[i])
#endif
#ifdef WITHOUT_FENCING
#define OF_TERM(i, t) (term[i] <= t)
#else
#define OF_TERM(i, t) (term[i] == t)
#endif
#define CAN_LEAD(i, t) ((told[t] & BIT(i)) && OF_TERM(i, t) && !(LEADS(i) && term[i] == t) \
    && (role[i] == FENCED || term[i] < t) && (adopted[i] < t || FIRST_TIME(i)))
inline become_leader(i, t) {
#ifndef LOSS_ONLY                                           /* a variant may go on to the loss */
  assert(!(led & BIT(t)));                                  /* OneLeaderPerTerm */
#endif
  assert(IN_ENSEMBLE(i, t));                                /* LegalLeader */
  assert(t < reg_term || (head[i] >= confirmed_len
                          && SAME(log[i], confirmed, confirmed_len)));  /* NoLoss */
  led = led | BIT(t);
  term[i] = t;
  role[i] = LEADER;
  acked[i] = 0;
  adopted[i] = t;
  start_end[t] = head[i];
#ifdef WITHOUT_START_LOG_GATE                               /* rule 11 */
  hw[i] = head[i];
#endif
  check_exposed(i);
#ifdef PROGRESS
  leader_died = 0;
#endif
  printf("replica %d: BecomeLeader %d, start log %d entries\n", i, t, head[i])
}

#ifdef WITHOUT_APPENDS_REFUSED                              /* rule 13 */
#define REFUSES(l) false
#else
#define REFUSES(l) SEALED(l)
#endif
#define CAN_APPEND(l) (LEADS(l) && head[l] < ENTRIES && !REFUSES(l))
#ifdef TAGS
#define TAG (((crashes_left & 1) << 4))
#else
#define TAG 0
#endif
inline append(l, seal) {
  log[l] = log[l] | ((term[l] | (seal) | TAG) << (5 * head[l]));
  head[l]++;
  printf("replica %d: leader of term %d appends %d (seal: %d)\n", l, term[l], head[l], seal / 8)
}

/* Commit by one entry: a majority (of both ensembles) and min_insync replicas that have adopted
   the term hold it on disk. */
#ifdef WITHOUT_COMMIT_MAJORITY                              /* rule 10 */
#define COMMITTED(l, n) (synced[l] >= n)
#else
#define COMMITTED(l, n) (QUORUM(HOLDERS(l, n), CFG(l), CFG_NEXT(l)) \
    && COUNT(HOLDERS(l, n) & (CFG(l) | CFG_NEXT(l))) >= MIN_INSYNC)
#endif
#define CAN_COMMIT(l) (LEADS(l) && hw[l] < head[l] && COMMITTED(l, hw[l] + 1))
inline commit(l) {
  hw[l]++;
  confirm(l, hw[l]);
  check_exposed(l);
  printf("replica %d: leader of term %d commits %d\n", l, term[l], hw[l])
}

#ifdef WITHOUT_WAIT_FOR_ORIGINAL                            /* rule 12 */
#define CAN_ANSWER_RETRY(l) (LEADS(l) && head[l] > confirmed_len)
inline answer_retry(l) {
  confirm(l, head[l]);
  printf("replica %d: answers the retry of entry %d at once\n", l, head[l])
}
#endif

/* "latest": the leader's high watermark, with the leader's term (leader epoch). A reader drops an
   answer of a lower term than it has seen, and even that must not be ahead. */
#ifdef WITHOUT_LATEST_GATE                                  /* rule 11 */
#define MAY_ANSWER(l) true
#elif defined(WITHOUT_WATERMARK_IN_GATE)                    /* rule 11 */
#define MAY_ANSWER(l) STARTED(l)
#else
#define MAY_ANSWER(l) (hw[l] >= start_end[term[l]])
#endif
#define CAN_READ_LATEST(l) (LEADS(l) && MAY_ANSWER(l) \
    && (term[l] > seen_term || hw[l] > seen_hw || (term[l] == seen_term && hw[l] != seen_hw)))
inline read_latest(l) {
  printf("reader: replica %d of term %d says latest = %d\n", l, term[l], hw[l]);
  assert(term[l] >= seen_term && hw[l] >= seen_hw);         /* WatermarkNeverBack */
  seen_term = term[l];
  seen_hw = hw[l]
}

/* The seal is committed: one write opens the children. */
#ifdef WITHOUT_SEAL_COMMITTED                               /* rule 13 */
#define SEAL_DONE(l) SEALED(l)
#else
#define SEAL_DONE(l) (SEALED(l) && hw[l] == head[l])
#endif
#define CAN_OPEN(c, l) (!children && !STOPPED && MAY_WRITE(c) && LEADS(l) && SEAL_DONE(l))
inline open_children(c, l) {
  children = 1;
  cas_written(c);
  printf("coordinator %d: leader %d reports the seal; children open\n", c, l)
}

/* ------------------------------------------------------------------ follower */

/* The ack reaches a leader at once; that it might come late is in the leader's committing late. */
#ifdef WITHOUT_ADOPTION_COUNTED                             /* rule 8 */
#define COUNTS(j) true
#else
#define COUNTS(j) (adopted[j] == term[j] && !TAIL_LOST(j))
#endif
inline ack(j) {
  k = 0;
  do
  :: k < REPLICAS ->
       if
       :: k != j && FOLLOWS(j, k) && COUNTS(j) && ACKED(k, j) < 1 + HELD(j) ->
            acked[k] = (acked[k] & ~(7 << (3 * j))) | ((1 + HELD(j)) << (3 * j))
       :: else
       fi;
       k++
  :: else -> break
  od;
  k = 0
}

/* The follower joins a leader of its term or a higher one, and is cut to the last common point,
   found from the terms and their starts alone. */
#ifdef WITHOUT_REJOIN
#define MAY_REJOIN(j) (!restarted[j])
#else
#define MAY_REJOIN(j) true
#endif
#define CAN_ATTACH(l, j) (MAY_REJOIN(j) && LEADS(l) && term[j] <= term[l] && role[j] != GONE && !FOLLOWS(j, l) \
    && ((CFG(l) | CFG_NEXT(l) | LEARNERS) & BIT(j)))
inline attach(l, j) {
#ifndef LOSS_ONLY
  assert(!(LEADS(j) && term[j] == term[l]));                /* OneLeaderPerTerm */
#endif
  n = MIN(head[l], head[j]);
#ifdef WITHOUT_TRUNCATION                                   /* rule 2 */
  log[j] = log[j];
#else
  do
  :: n > 0 && ETERM(log[l], n - 1) != ETERM(log[j], n - 1) -> n--
  :: else -> break
  od;
  assert(hw[j] <= n);                                       /* NoLoss */
  log[j] = log[j] & MASK(n);
  head[j] = n;
  synced[j] = MIN(synced[j], n);
#endif
#ifdef WITHOUT_RECOVERY_FSYNC
  on_disk[j] = MIN(on_disk[j], head[j]);
#endif
#ifdef WITHOUT_ONE_CONNECTION
  cut_at[j] = head[j];
#endif
  term[j] = term[l];
  role[j] = FOLLOWER;
  acked[j] = 0;
  n = 0;
#ifdef MEMORY
  acked[l] = acked[l] & ~(7 << (3 * j));                    /* of an earlier connection */
  need[j] = (hw[l] > start_end[term[l]] -> hw[l] : start_end[term[l]]);
#endif
#ifndef WITHOUT_ACK_ON_ATTACH                               /* rule 4 */
  ack(j);
#endif
  printf("replica %d: attaches to %d in term %d, cut to %d\n", j, l, term[l], head[j])
}

/* Entries beyond the leader's own disk go out too, except where the leader alone is an ensemble: as
   the sole member it may come back in the same term with another entry there. */
#ifdef WITHOUT_SYNCED_TO_LEARNER                            /* rule 4 */
#define ALONE(l) false
#elif defined(WITHOUT_SYNCED_WHILE_JOINT)                   /* rule 4 */
#define ALONE(l) (CFG(l) == BIT(l) && CFG_NEXT(l) == 0)
#else
#define ALONE(l) (CFG(l) == BIT(l) || CFG_NEXT(l) == BIT(l))
#endif
#define SENDS(l) (ALONE(l) -> synced[l] : head[l])
#define CAN_REPLICATE(l, j) (FOLLOWS(j, l) && head[j] < SENDS(l))
inline replicate(l, j) {
  log[j] = log[j] | (ENTRY(log[l], head[j]) << (5 * head[j]));
  head[j]++;
#ifndef WITHOUT_TRUNCATION
  assert(SAME(log[j], log[l], head[j]));                     /* NoLogDivergence */
#endif
#ifdef MEMORY
  ack(j);
#endif
  printf("replica %d: appends entry %d from %d\n", j, head[j], l)
}

#ifdef WITHOUT_ONE_CONNECTION
#define CAN_CUT_AGAIN(l, j) (FOLLOWS(j, l) && head[j] > cut_at[j])
inline cut_again(l, j) {
  head[j] = cut_at[j];
  log[j] = log[j] & MASK(head[j]);
  synced[j] = MIN(synced[j], head[j]);
  printf("replica %d: an old truncation from %d arrives, cut to %d\n", j, l, head[j])
}
#endif

#define CAN_FSYNC(i) (synced[i] < head[i] && role[i] != GONE)
inline fsync_log(i) {
  synced[i] = head[i];
#ifdef WITHOUT_RECOVERY_FSYNC
  on_disk[i] = head[i];
#endif
  ack(i);
  printf("replica %d: fsyncs up to %d\n", i, head[i])
}

#ifdef WITHOUT_WHOLE_START_LOG                              /* rule 8 */
#define HOLDS_START(j) true
#elif defined(WITHOUT_FSYNC_BEFORE_ADOPTION)                /* rule 8 */
#define HOLDS_START(j) (head[j] >= start_end[term[j]])
#elif defined(MEMORY) && !defined(WITHOUT_CATCHING_UP)      /* rule 6 */
#define HOLDS_START(j) (head[j] >= (TAIL_LOST(j) -> need[j] : start_end[term[j]]))
#else
#define HOLDS_START(j) (HELD(j) >= start_end[term[j]])
#endif
#define CAN_ADOPT(j) (role[j] == FOLLOWER && (adopted[j] < term[j] || TAIL_LOST(j)) && HOLDS_START(j))
inline adopt(j) {
  adopted[j] = term[j];
#ifdef MEMORY                 /* the record lies behind the log: what is held is on disk when it is */
  synced[j] = head[j];
  tails = tails & ~BIT(j);
#endif
  ack(j);
  printf("replica %d: records adopted term %d\n", j, term[j])
}

#ifdef WITHOUT_MATCH_BEFORE_WATERMARK                       /* rule 11 */
#define HEARS(j, l) (LEADS(l) && term[j] <= term[l] && role[j] != GONE && !LEADS(j))
#else
#define HEARS(j, l) FOLLOWS(j, l)
#endif
#define CAN_SPREAD(l, j) (HEARS(j, l) && hw[j] < hw[l] && hw[j] < head[j])
inline spread(l, j) {
  hw[j] = MIN(hw[l], head[j]);
  printf("replica %d: exposes %d, as leader %d says\n", j, hw[j], l);
  check_exposed(j)
}
