/* What there is, how it is read, and the promises. Included by sluice.pml. */

/* ------------------------------------------------------------------ state */

#define FENCED   0            /* answers NewTerm and waits for a leader of its term */
#define FOLLOWER 1            /* attached to the leader of its term */
#define LEADER   2
#define GONE     3            /* its directory is lost: this incarnation never acts again */

/* Per replica, durable (the log up to synced). An entry is 5 bits: term, seal, tag. */
byte  term[REPLICAS], adopted[REPLICAS];
short log[REPLICAS];
byte  head[REPLICAS], synced[REPLICAS];

#ifdef MEMORY                 /* durability: memory */
byte tails;                   /* who crashed and has not caught up since; durable */
byte need[REPLICAS];          /* how long such a log must be before it counts again */
#define HELD(i) head[i]
#define TAIL_LOST(i) ((tails >> (i)) & 1)
#else
#define HELD(i) synced[i]
#define TAIL_LOST(i) false
#endif

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
#define COPIES(l, j)    ((j) == (l) -> 1 + HELD(l) : ACKED(l, j))
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
