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

/* ------------------------------------------------------------------ state */

#define FENCED   0            /* answers NewTerm and waits for a leader of its term */
#define FOLLOWER 1            /* attached to the leader of its term */
#define LEADER   2
#define GONE     3            /* its directory is lost: this incarnation never acts again */

/* Per replica, durable (the log up to synced). An entry is 5 bits: term, seal, tag. */
byte  term[REPLICAS], adopted[REPLICAS];
short log[REPLICAS];
byte  head[REPLICAS], synced[REPLICAS];

/* Per replica, volatile. acked[l] is what leader l knows of the others, 3 bits each:
   0 = has not adopted l's term, else 1 + its synced end. */
byte  role[REPLICAS], hw[REPLICAS];
short acked[REPLICAS];

/* The ShardMap: written by compare-and-swap only. Its leader is none while told[reg_term] = 0. */
byte reg_term, reg_ensemble, reg_next;
bit  children;

/* In flight, by term: NewTerm(t) to ensemble[t] and joint[t], BecomeLeader(t) to told[t],
   "the new ensemble alone counts" to the leader of t if final has bit t. */
byte ensemble[TERMS + 1], joint[TERMS + 1], told[TERMS + 1];
byte start_end[TERMS + 1];    /* sent with Attach */
byte final, final_heard;

/* Coordinators: the term of the election it runs (0: none), the answers, 6 bits a slot:
   0 = none, else 1 + (adopted_term, head); whether its copy of the ShardMap is the newest. */
byte c_term[COORDINATORS];
int  c_answers[COORDINATORS];
bit  c_fresh[COORDINATORS];
byte c_seen[COORDINATORS];    /* the term in its copy */

#ifdef WITHOUT_RECOVERY_FSYNC                               /* rule 7 */
byte on_disk[REPLICAS];       /* the truth; synced is what the replica takes for synced */
#define ON_DISK(i) on_disk[i]
#else
#define ON_DISK(i) synced[i]
#endif
#ifdef WITHOUT_ONE_CONNECTION                               /* rule 2 */
byte cut_at[REPLICAS];        /* a truncation still on its way from an earlier connection */
#endif
#ifdef WITHOUT_REJOIN                                       /* rule 4 */
bit  restarted[REPLICAS];     /* waits for a NewTerm */
#endif
#ifdef PROGRESS
bit  stopped;                 /* the coordinator is gone for good */
bit  leader_died;             /* the newest leader crashed or lost its directory */
#endif

/* What the outside has been promised. */
short confirmed;              /* the log of confirmed writes */
byte  confirmed_len;
byte  led;                    /* terms that have had a leader */
byte  seen_term, seen_hw;     /* the newest answer to "latest" a reader holds */

byte crashes_left = CRASHES, wipes_left = WIPES, changes_left = CHANGES;

byte n, k;                    /* scratch, 0 between actions */

/* ------------------------------------------------------------------ reading the state */

#define BIT(i)          (1 << (i))
#define MASK(n)         ((1 << (5 * (n))) - 1)
#define ENTRY(l, k)     ((l >> (5 * (k))) & 31)
#define ETERM(l, k)     ((l >> (5 * (k))) & 7)
#define SEAL_BIT        8
#define MIN(a, b)       ((a) < (b) -> (a) : (b))
#define COUNT(s)        (((s) & 1) + (((s) >> 1) & 1) + (((s) >> 2) & 1) + (((s) >> 3) & 1))
#define MAJORITY(s, e)  (2 * COUNT((s) & (e)) > COUNT(e))
#define QUORUM(s, e, x) (MAJORITY(s, e) && ((x) == 0 || MAJORITY(s, x)))
#define SAME(a, b, n)   ((((a) ^ (b)) & MASK(n)) == 0)

/* The configuration that leader l counts by: ensemble, and the next one while a change runs. */
#define HEARD(l)        ((final_heard >> term[l]) & 1)
#define CFG(l)          (HEARD(l) -> joint[term[l]] : ensemble[term[l]])
#define CFG_NEXT(l)     (HEARD(l) -> 0 : joint[term[l]])

#define ACKED(l, j)     ((acked[l] >> (3 * (j))) & 7)
#define COPIES(l, j)    ((j) == (l) -> 1 + synced[l] : ACKED(l, j))
#define HAS(l, j, n)    ((COPIES(l, j) > (n)) << (j))
#define ANSWER(c, j)    ((c_answers[c] >> (6 * (j))) & 63)
#define BEATEN(c, j, w) ((ANSWER(c, j) > 0 && ANSWER(c, j) <= ANSWER(c, w)) << (j))
#define ANSWERED(c, j)  ((ANSWER(c, j) > 0) << (j))

#if REPLICAS == 2
#define HOLDERS(l, n)   (HAS(l, 0, n) | HAS(l, 1, n))
#define LOSERS(c, w)    (BEATEN(c, 0, w) | BEATEN(c, 1, w))
#define VOTERS(c)       (ANSWERED(c, 0) | ANSWERED(c, 1))
#define ANY(P)          (P(0) || P(1))
#define OTHERS(i)       (LEFT(0, i) | LEFT(1, i))
#define EACH(A)         A(0) A(1)
#define PAIRS(A)        A(0, 1) A(1, 0)
#elif REPLICAS == 3
#define HOLDERS(l, n)   (HAS(l, 0, n) | HAS(l, 1, n) | HAS(l, 2, n))
#define LOSERS(c, w)    (BEATEN(c, 0, w) | BEATEN(c, 1, w) | BEATEN(c, 2, w))
#define VOTERS(c)       (ANSWERED(c, 0) | ANSWERED(c, 1) | ANSWERED(c, 2))
#define ANY(P)          (P(0) || P(1) || P(2))
#define OTHERS(i)       (LEFT(0, i) | LEFT(1, i) | LEFT(2, i))
#define EACH(A)         A(0) A(1) A(2)
#define PAIRS(A)        A(0, 1) A(0, 2) A(1, 0) A(1, 2) A(2, 0) A(2, 1)
#else
#define HOLDERS(l, n)   (HAS(l, 0, n) | HAS(l, 1, n) | HAS(l, 2, n) | HAS(l, 3, n))
#define LOSERS(c, w)    (BEATEN(c, 0, w) | BEATEN(c, 1, w) | BEATEN(c, 2, w) | BEATEN(c, 3, w))
#define VOTERS(c)       (ANSWERED(c, 0) | ANSWERED(c, 1) | ANSWERED(c, 2) | ANSWERED(c, 3))
#define ANY(P)          (P(0) || P(1) || P(2) || P(3))
#define OTHERS(i)       (LEFT(0, i) | LEFT(1, i) | LEFT(2, i) | LEFT(3, i))
#define EACH(A)         A(0) A(1) A(2) A(3)
#define PAIRS(A)        A(0, 1) A(0, 2) A(0, 3) A(1, 0) A(1, 2) A(1, 3) \
                        A(2, 0) A(2, 1) A(2, 3) A(3, 0) A(3, 1) A(3, 2)
#endif

#define LEADS(l)        (role[l] == LEADER)
#define FOLLOWS(j, l)   (role[j] == FOLLOWER && LEADS(l) && term[j] == term[l])
#define SEALED(l)       (head[l] > 0 && (ENTRY(log[l], head[l] - 1) & SEAL_BIT))
#define IN_ENSEMBLE(i, t) ((ensemble[t] | joint[t]) & BIT(i))
/* Does a member of each needed majority hold all of l's start log, with l's term adopted? */
#define STARTED(l)      QUORUM(HOLDERS(l, start_end[term[l]]), CFG(l), CFG_NEXT(l))

/* ------------------------------------------------------------------ promises */

/* A write becomes confirmed: by l, up to n. Committed prefixes agree, and every leader of a
   higher term has the write already (in its start log). */
inline confirm(l, upto) {
  k = MIN(confirmed_len, upto);
  assert(SAME(confirmed, log[l], k));                       /* NoLogDivergence */
  if
  :: upto > confirmed_len ->
       assert(!(children && !SEALED(l)));                   /* NoWriteAfterSplit */
       confirmed = log[l] & MASK(upto);
       confirmed_len = upto;
       k = 0;
       do
       :: k < REPLICAS ->
            assert(!(LEADS(k) && term[k] > term[l])
                   || (head[k] >= upto && SAME(log[k], confirmed, upto)));  /* NoLoss */
            k++
       :: else -> break
       od
  :: else
  fi;
  k = 0
}

/* What replica i lets readers see is committed, and is what was confirmed. */
inline check_exposed(i) {
  assert(hw[i] <= confirmed_len && hw[i] <= head[i]
         && SAME(log[i], confirmed, hw[i]))                 /* NoUncommittedRead */
}

/* ------------------------------------------------------------------ coordinator */

inline cas_written(c) {
#if COORDINATORS == 2
  c_fresh[1 - c] = 0;
#endif
  c_fresh[c] = 1;
  c_seen[c] = reg_term
}

#ifdef WITHOUT_CAS                                          /* rule 1 */
#define MAY_WRITE(c) true
#else
#define MAY_WRITE(c) c_fresh[c]
#endif

/* For safety an election may start at any time. Where progress is checked it may not, while a
   leader of the newest term is there: then a majority hears it (no link is down in this model). */
#ifdef PROGRESS
#define STOPPED stopped
#define SERVES(i) (LEADS(i) && term[i] == reg_term)
#ifdef WITHOUT_PRE_VOTE                                     /* rule 3 */
#define NEEDED true
#else
#define NEEDED (told[reg_term] != 0 && !ANY(SERVES) && !ANY(MAY_YET_LEAD))
#endif
#define MAY_YET_LEAD(i) (role[i] != GONE && (told[reg_term] & BIT(i)) && adopted[i] < reg_term)
#else
#define STOPPED false
#define NEEDED true
#endif

/* Reserve the next term; leader = none. Any time: a coordinator need not know why. */
#define CAN_WRITE_TERM(c) (MAY_WRITE(c) && c_seen[c] < TERMS && !STOPPED)
#define CAN_START(c) (CAN_WRITE_TERM(c) && NEEDED)
inline start_election(c) {
  reg_term = c_seen[c] + 1;
  ensemble[reg_term] = reg_ensemble;
  joint[reg_term] = reg_next;
  c_term[c] = reg_term;
  c_answers[c] = 0;
  cas_written(c);
  printf("coordinator %d: writes term %d, leader none, ensemble %d, next %d\n",
         c, reg_term, reg_ensemble, reg_next)
}

/* Begin a membership change: of the two sets one goes, one comes; each has one slot at most. */
#define CAN_CHANGE(c, leave, come) (changes_left > 0 && CAN_WRITE_TERM(c) && reg_next == 0 \
    && (reg_ensemble & (leave)) == (leave) && (reg_ensemble & (come)) == 0)
inline start_change(c, leave, come) {
  changes_left--;
#ifdef WITHOUT_JOINT                                        /* rule 9 */
  reg_ensemble = (reg_ensemble & ~(leave)) | (come);
#else
  reg_next = (reg_ensemble & ~(leave)) | (come);
#endif
  start_election(c)
}

/* NewTerm and its answer. The head in the answer is on disk: one fsync covers term and log. */
inline fence(i, t) {
  term[i] = t;
  role[i] = FENCED;
  acked[i] = 0;
#ifdef WITHOUT_RECOVERY_FSYNC
  on_disk[i] = (synced[i] < head[i] -> head[i] : on_disk[i]);
#endif
#ifdef WITHOUT_REJOIN
  restarted[i] = 0;
#endif
#ifndef WITHOUT_FSYNC_AT_NEW_TERM                           /* rule 7 */
  synced[i] = head[i]
#endif
}

#ifdef WITHOUT_BOTH_MAJORITIES                              /* rule 9 */
#define VOTES_NEEDED(t) (joint[t] -> joint[t] : ensemble[t]), 0
#else
#define VOTES_NEEDED(t) ensemble[t], joint[t]
#endif

#define CAN_NEW_TERM(c, i) (c_term[c] != 0 && !STOPPED && IN_ENSEMBLE(i, c_term[c]) && role[i] != GONE \
    && ANSWER(c, i) == 0 && (term[i] < c_term[c] \
        || (term[i] == c_term[c] && role[i] == FENCED && adopted[i] < term[i])))
inline new_term(c, i) {
#ifndef WITHOUT_FENCING                                     /* rule 2 */
  fence(i, c_term[c]);
#endif
#ifdef WITHOUT_ADOPTED_IN_ELECTION                          /* rule 8 */
  c_answers[c] = c_answers[c] | ((1 + head[i]) << (6 * i));
#else
  c_answers[c] = c_answers[c] | ((1 + 4 * adopted[i] + head[i]) << (6 * i));
#endif
  printf("replica %d: NewTerm %d, answers adopted %d head %d to coordinator %d\n",
         i, c_term[c], adopted[i], head[i], c)
}

/* A NewTerm of some earlier moment arrives, and nobody waits for the answer. */
#define CAN_LATE_NEW_TERM(i, t) (t <= reg_term && term[i] < t && IN_ENSEMBLE(i, t) \
    && role[i] != GONE)
inline late_new_term(i, t) {
  fence(i, t);
  printf("replica %d: a late NewTerm %d\n", i, t)
}

/* With a majority of answers (of both ensembles), the best head wins. To have got fewer answers
   is to have got a subset, so: w beats or equals some majority. */
#ifdef WITHOUT_ELECTION_MAJORITY                            /* rule 2 */
#define WINS(c, w) true
#elif defined(WITHOUT_BEST_HEAD)                            /* rule 2 */
#define WINS(c, w) QUORUM(VOTERS(c), ensemble[c_term[c]], joint[c_term[c]])
#elif defined(WITHOUT_BOTH_MAJORITIES)                      /* rule 9 */
#define WINS(c, w) MAJORITY(LOSERS(c, w), \
    (joint[c_term[c]] -> joint[c_term[c]] : ensemble[c_term[c]]))
#else
#define WINS(c, w) QUORUM(LOSERS(c, w), ensemble[c_term[c]], joint[c_term[c]])
#endif

#ifdef WITHOUT_REREAD                                       /* rule 1: conflict taken for success */
#define MAY_RECORD(c) true
#else
#define MAY_RECORD(c) (MAY_WRITE(c))
#endif

#define CAN_CHOOSE(c, w) (c_term[c] != 0 && !STOPPED && MAY_RECORD(c) && ANSWER(c, w) > 0 && WINS(c, w))
inline choose(c, w) {
  told[c_term[c]] = told[c_term[c]] | BIT(w);
  printf("coordinator %d: writes leader %d of term %d\n", c, w, c_term[c]);
  if
  :: MAY_WRITE(c) -> cas_written(c)
  :: else
  fi;
  c_term[c] = 0;
  c_answers[c] = 0
}

/* The leader of the joint term reports that both majorities hold its start log and have adopted its
   term: from now on the new ensemble alone. A high watermark that it brought along says nothing. */
#ifdef WITHOUT_COMMIT_BEFORE_FINAL                          /* rule 9 */
#define REPORTS(l) (LEADS(l) && term[l] == reg_term)
#elif defined(WITHOUT_COMMIT_IN_NEW_TERM)                   /* rule 9 */
#define REPORTS(l) (LEADS(l) && term[l] == reg_term && hw[l] >= start_end[term[l]])
#else
#define REPORTS(l) (LEADS(l) && term[l] == reg_term && STARTED(l))
#endif
#define CAN_FINISH(c, l) (MAY_WRITE(c) && !STOPPED && reg_next != 0 && REPORTS(l))
inline finish_change(c, l) {
  reg_ensemble = reg_next;
  reg_next = 0;
  final = final | BIT(reg_term);
  cas_written(c);
  printf("coordinator %d: leader %d reports a commit; the ensemble is now %d\n",
         c, l, reg_ensemble)
}

#define CAN_HEAR_FINAL(l) (LEADS(l) && ((final >> term[l]) & 1) && !HEARD(l))
inline hear_final(l) {
  final_heard = final_heard | BIT(term[l]);
  printf("replica %d: leads term %d with the new ensemble alone\n", l, term[l])
}

/* A conflict, an unclear answer or a restart: read again. Who then finds the term it wanted, with
   no leader, goes on with the election of that term. */
#define CAN_REREAD(c) (!c_fresh[c])
inline reread(c) {
  c_fresh[c] = 1;
  c_seen[c] = reg_term;
  c_term[c] = 0;
  c_answers[c] = 0;
  printf("coordinator %d: reads the ShardMap again\n", c)
}
#define CAN_JOIN_ELECTION(c) (told[reg_term] == 0 && reg_term > 1 && c_term[c] != reg_term)
inline join_election(c) {
  reread(c);
  c_term[c] = reg_term;
  printf("coordinator %d: finds term %d with no leader and goes on with it\n", c, reg_term)
}

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
#define COUNTS(j) (adopted[j] == term[j])
#endif
inline ack(j) {
  k = 0;
  do
  :: k < REPLICAS ->
       if
       :: k != j && FOLLOWS(j, k) && COUNTS(j) && ACKED(k, j) < 1 + synced[j] ->
            acked[k] = (acked[k] & ~(7 << (3 * j))) | ((1 + synced[j]) << (3 * j))
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
#else
#define HOLDS_START(j) (synced[j] >= start_end[term[j]])
#endif
#define CAN_ADOPT(j) (role[j] == FOLLOWER && adopted[j] < term[j] && HOLDS_START(j))
inline adopt(j) {
  adopted[j] = term[j];
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

/* ------------------------------------------------------------------ faults */

#ifdef PROGRESS
#define NEWEST(i) (LEADS(i) || (told[reg_term] & BIT(i)))
#define NOTE_DEATH(i) leader_died = leader_died || NEWEST(i)
#else
#define NOTE_DEATH(i) skip
#endif

/* Process or machine dies and comes back with n entries: unsynced ones are lost or kept. What was
   kept is fsynced before it answers anything. */
#define CAN_CRASH(i, n) (crashes_left > 0 && role[i] != GONE && ON_DISK(i) <= n && n <= head[i] \
    && (n < head[i] || role[i] != FENCED))
inline crash(i, upto) {
  NOTE_DEATH(i);
  crashes_left--;
  log[i] = log[i] & MASK(upto);
  head[i] = upto;
  synced[i] = upto;
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
#define CAN_RESUME(i) (role[i] == FENCED && adopted[i] == term[i] && (led & BIT(term[i])) \
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
