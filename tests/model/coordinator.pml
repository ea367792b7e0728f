/* What coordinators do, and the answers to NewTerm. Included by sluice.pml. */

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
#if defined(MEMORY) && !defined(WITHOUT_VOTES_BY_THE_WHOLE)  /* rule 6 */
  if
  :: TAIL_LOST(i) -> skip                                   /* its answer is no vote */
  :: else -> c_answers[c] = c_answers[c] | ((1 + 4 * adopted[i] + head[i]) << (6 * i))
  fi;
#elif defined(WITHOUT_ADOPTED_IN_ELECTION)                  /* rule 8 */
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
