// Elections (rules 1 to 4, 6, 8): when one is needed, who is asked, who wins.
#include <algorithm>
#include <tuple>

#include "broker/base/log.h"
#include "broker/coordination/core.h"

namespace broker::coordination {
namespace {
constexpr int64_t kAskAgainMs = 1000;
constexpr int64_t kGatherMs = 10;  // questions wait that long for other maps' terms
}  // namespace

// Rule 3: right after the start nobody's absence means anything yet.
bool Core::may_elect() {
  if (grace_over_) return true;
  bool everybody = std::all_of(peers_.begin(), peers_.end(),
                               [](const auto& entry) { return entry.second.session != 0; });
  grace_over_ = everybody || now() - started_ms_ >= options_.grace_ms;
  return grace_over_;
}

// Without a majority of both ensembles a new term could not be decided: it would only do harm.
bool Core::voters_reachable(const Shard& shard) {
  return has_majority(shard, [&](const Replica& r) { return live_session(r) != nullptr; });
}

const Replica* Core::leader_replica(const Shard& shard) const {
  if (!shard.has_leader()) return nullptr;
  const Replica* next = find_replica(shard.next_replicas(), shard.leader());
  const Replica* now = find_replica(shard.replicas(), shard.leader());
  if (!now || !next || same_replica(*now, *next)) return now ? now : next;
  // Both incarnations of one broker's directory: the one that is registered.
  auto it = peers_.find(shard.leader());
  bool is_next = it != peers_.end() && it->second.info.directory() == next->directory();
  return is_next ? next : now;
}

// Rule 3: the pre-vote. A broker counts as hearing itself.
bool Core::heard(const Shard& shard, int32_t broker) {
  return has_majority(shard, [&](const Replica& r) {
    if (r.broker() == broker) return true;
    Session* session = live_session(r);
    return session && session->hears.count(broker) > 0;
  });
}

// A leader that is here, but that its followers have not heard for a while, commits nothing. An
// election helps when they hear one of themselves.
bool Core::isolated(const Shard& shard, Live& live) {
  if (heard(shard, shard.leader())) {
    live.unheard_since_ms = -1;
    return false;
  }
  if (live.unheard_since_ms < 0) live.unheard_since_ms = now();
  if (now() - live.unheard_since_ms < options_.isolated_ms) return false;
  const auto voters = voters_of(shard);
  return std::any_of(voters.begin(), voters.end(), [&](const Replica& r) {
    return live_session(r) && heard(shard, r.broker());
  });
}

// Why a led shard needs an unplanned election; empty: it does not.
std::string Core::reason_to_elect(Stream& stream, const Shard& shard, Live& live) {
  const Replica* leader = leader_replica(shard);
  if (!leader || !may_elect()) return "";
  const Session* session = session_of(shard.leader());
  // It resumes its term by itself; in memory it does not where its tail is lost.
  const bool sole = voters_of(shard).size() == 1 && !in_memory(stream);
  // That leader is gone for good: the map says so even where nobody else can be elected now.
  if (session && session->directory != leader->directory()) return "leader_directory_lost";
  if (!voters_reachable(shard)) return "";
  if (live.disowned_term == shard.term()) return sole ? "" : "leader_restarted";
  if (!session || session->silent) {
    if (heard(shard, shard.leader())) return "";
    return session ? "leader_silent" : "leader_gone";
  }
  if (isolated(shard, live)) return "leader_isolated";
  if (sole || live.report) return "";
  // It may have been restarted while nobody looked (this process began later, or it was fenced by
  // a process that is gone): then it waits for a new term and reports nothing.
  const int64_t since = std::max(session->registered_ms, live.leader_since_ms);
  const int64_t patience = options_.claim_ms << std::min(live.unclaimed, 5);
  if (now() - since < patience) return "";
  ++live.unclaimed;
  return "leader_unclaimed";
}

void Core::queue_terms(Stream& stream, std::vector<TermChange> changes) {
  const std::string id = stream.map.stream_id();
  for (const auto& change : changes) {
    Live& live = stream.live[change.index];
    live.busy = true;
    live.reason = change.reason;
    live.preferred = change.preferred;
    log_info("coordinator", "election",
             {{"stream", stream.map.stream()},
              {"shard", change.index},
              {"term", change.to},
              {"reason", change.reason}});
    if (!change.joint && change.preferred < 0) disturbed();
  }
  ++term_writes_;
  Edit edit;
  edit.what = "raise terms";
  edit.apply = [changes](ShardMap& map) {
    Status result(Code::kFenced, "nothing to raise");
    for (const auto& c : changes) {
      Status status = c.joint ? begin_joint(map, c.index, c.from, c.add, c.remove)
                              : raise_term(map, c.index, c.from, c.to);
      if (status.ok()) result = status;
    }
    return result;
  };
  edit.done = [this, id, changes](const Status&) {
    --term_writes_;
    Stream* stream = find_stream_by_id(id);
    if (!stream) return;
    for (const auto& change : changes) stream->live[change.index].busy = false;
    stream->dirty = true;
  };
  queue(stream, std::move(edit));
}

// A shard whose term has no leader: ask, count, decide.
void Core::step_election(Stream& stream, const Shard& shard, Live& live, Wanted& wanted) {
  if (shard.term() < 0) {
    if (voters_reachable(shard)) wanted.terms.push_back({shard.index(), shard.term(), 0, "first"});
    return;
  }
  if (!live.election || live.election->term != shard.term()) {
    live.election = Election{shard.term(), live.reason.empty() ? "no_leader" : live.reason, now()};
    live.transfer.reset();
    live.report.reset();
    observer_->election_started(live.election->reason);
  }
  Election& election = *live.election;
  int32_t higher = -1;
  for (const auto& [broker, vote] : election.votes) {
    if (!vote.result.accepted() && vote.result.error().empty()) {
      higher = std::max(higher, vote.result.current_term());
    }
  }
  if (higher >= shard.term() && voters_reachable(shard)) {
    wanted.terms.push_back(
        {shard.index(), shard.term(), higher + 1, election.reason, live.preferred});
    return;
  }
  ask_voters(stream, shard, election);
  const bool from_survivors = only_survivors(stream, shard, election);
  if (!from_survivors &&
      !has_majority(shard, [&](const Replica& r) { return has_vote(election, r); })) {
    election.majority_ms = -1;
    return;
  }
  if (election.majority_ms < 0) election.majority_ms = now();
  auto voters = voters_of(shard);
  bool complete = std::all_of(voters.begin(), voters.end(), [&](const Replica& r) {
    return !live_session(r) || election.votes.count(r.broker()) > 0;
  });
  if (!complete && now() - election.majority_ms < options_.straggler_ms) return;
  wanted.leaders.push_back({shard.index(), shard.term(),
                            choose_winner(shard, live, from_survivors), election.started_ms});
  ++undecided_leaders_[wanted.leaders.back().leader];
}

void Core::ask_voters(Stream& stream, const Shard& shard, Election& election) {
  for (const auto& replica : voters_of(shard)) {
    Session* session = live_session(replica);
    if (!session) continue;
    auto vote = election.votes.find(replica.broker());
    // One that could not answer is asked again: its disk may have been full.
    if (vote != election.votes.end() && vote->second.process == session->process &&
        vote->second.result.directory() == replica.directory() &&
        vote->second.result.error().empty()) {
      continue;
    }
    auto asked = election.asked.find(replica.broker());
    if (asked != election.asked.end() && asked->second.first == session->id &&
        now() - asked->second.second < kAskAgainMs) {
      continue;
    }
    election.asked[replica.broker()] = {session->id, now()};
    auto* question = new_terms_[session->id].add_terms();
    question->mutable_shard()->set_stream_id(stream.map.stream_id());
    question->mutable_shard()->set_index(shard.index());
    question->set_term(shard.term());
    if (new_terms_since_ms_ < 0) new_terms_since_ms_ = now();
  }
}

// A vote counts while the process that gave it is here: the winner must have been fenced by the
// very process that is to lead. Leaving a vote out is safe: any majority holds what is committed.
bool Core::has_vote(const Election& election, const Replica& replica) {
  return has_head(election, replica) &&
         !election.votes.at(replica.broker()).result.tail_lost();
}

// A memory stream after a majority has stopped uncleanly (rule 6): there is no majority that surely
// holds what was acknowledged, and nobody is left who could still make one. Then the best of what has
// survived goes on. It is a prefix of what was committed: a majority has answered, so it knows of
// every term that has committed anything.
bool Core::only_survivors(const Stream& stream, const Shard& shard, const Election& election) {
  if (!in_memory(stream)) return false;
  const auto voters = voters_of(shard);
  const bool all_have_spoken = std::all_of(voters.begin(), voters.end(), [&](const Replica& r) {
    const Session* session = session_of(r.broker());
    const bool other_directory = session && session->directory != r.directory();
    auto vote = election.votes.find(r.broker());
    const bool damaged = session && vote != election.votes.end() &&
                         vote->second.process == session->process &&
                         !vote->second.result.error().empty();
    return other_directory || damaged || has_head(election, r);
  });
  return all_have_spoken &&
         !has_majority(shard, [&](const Replica& r) { return has_vote(election, r); }) &&
         has_majority(shard, [&](const Replica& r) { return has_head(election, r); });
}

bool Core::has_head(const Election& election, const Replica& replica) {
  auto it = election.votes.find(replica.broker());
  if (it == election.votes.end()) return false;
  const auto& result = it->second.result;
  Session* session = live_session(replica);
  return result.accepted() && result.error().empty() && result.directory() == replica.directory() &&
         session && session->process == it->second.process;
}

// The best (adopted term, end offset); among equals the wanted one, then one that stays, then
// whoever leads least. Whom the others do not hear is left out where a majority remains: it could
// lead nobody, and mostly has the longest, uncommitted log.
int32_t Core::choose_winner(const Shard& shard, const Live& live, bool from_survivors) {
  const Election& election = *live.election;
  auto votes = [&](const Replica& r) {
    return from_survivors ? has_head(election, r) : has_vote(election, r);
  };
  auto votes_and_is_heard = [&](const Replica& r) {
    return votes(r) && heard(shard, r.broker());
  };
  // Of survivors the best is taken whoever hears it: a worse one would lose more.
  const bool leave_out = !from_survivors && has_majority(shard, votes_and_is_heard);
  if (from_survivors) {
    log_warn("coordinator", "a memory stream goes on with what has survived: a majority of the "
                            "shard's replicas was not stopped cleanly",
             {{"stream_id", election.votes.begin()->second.result.shard().stream_id()},
              {"shard", shard.index()},
              {"term", shard.term()}});
  }
  auto counts = leader_counts();
  using Rank = std::tuple<int32_t, int64_t, bool, bool, bool, int, int32_t>;
  std::optional<Rank> best;
  int32_t winner = -1;
  for (const auto& replica : voters_of(shard)) {
    if (leave_out ? !votes_and_is_heard(replica) : !votes(replica)) continue;
    const auto& result = election.votes.at(replica.broker()).result;
    const int32_t broker = replica.broker();
    Rank rank{result.adopted_term(),
              result.end_offset(),
              broker == live.preferred,
              !leaves_leadership(broker),
              shard.next_replicas().empty() || contains_replica(shard.next_replicas(), replica),
              -counts[broker],
              -broker};
    if (!best || rank > *best) best = rank, winner = broker;
  }
  CHECK(winner >= 0);
  return winner;
}

std::map<int32_t, int> Core::leader_counts() const {
  auto counts = count_leaders(maps());
  for (const auto& [broker, count] : undecided_leaders_) counts[broker] += count;
  return counts;
}

void Core::queue_leaders(Stream& stream, std::vector<Decision> decisions) {
  const std::string id = stream.map.stream_id();
  for (const auto& decision : decisions) stream.live[decision.index].busy = true;
  Edit edit;
  edit.what = "record leaders";
  edit.apply = [decisions](ShardMap& map) {
    Status result(Code::kFenced, "nothing to record");
    for (const auto& d : decisions) {
      Status status = set_leader(map, d.index, d.term, d.leader);
      if (status.ok()) result = status;
    }
    return result;
  };
  edit.done = [this, id, decisions](const Status& status) {
    for (const auto& d : decisions) --undecided_leaders_[d.leader];
    Stream* stream = find_stream_by_id(id);
    if (!stream) return;
    stream->dirty = true;
    for (const auto& d : decisions) {
      Live& live = stream->live[d.index];
      live.busy = false;
      if (!status.ok()) continue;
      live.election.reset();
      live.reason.clear();
      live.preferred = -1;
      live.leader_since_ms = now();
      live.transfer_failures = 0;
      observer_->election_done(static_cast<double>(now() - d.started_ms) / 1000);
      log_info("coordinator", "leader elected",
               {{"stream", stream->map.stream()},
                {"shard", d.index},
                {"term", d.term},
                {"leader", d.leader}});
    }
  };
  queue(stream, std::move(edit));
}

// An error that nobody asked for, from the leader of the term: it has found its log damaged.
bool Core::resigns(const Stream& stream, const Session& session,
                   const sluice::v1::NewTermResult& result) {
  const Shard* shard = find_shard_by_index(stream.map, result.shard().index());
  return shard && !result.error().empty() && shard->has_leader() &&
         shard->leader() == session.broker && shard->term() == result.term();
}

void Core::on_votes(Session& session, const sluice::v1::NewTermResults& message) {
  for (const auto& result : message.results()) {
    Stream* stream = find_stream_by_id(result.shard().stream_id());
    if (!stream) continue;
    auto it = stream->live.find(result.shard().index());
    if (it != stream->live.end() && resigns(*stream, session, result)) {
      it->second.disowned_term = result.term();
      it->second.report.reset();
      stream->dirty = true;
      log_warn("coordinator", "a leader resigns",
               {{"stream", stream->map.stream()},
                {"shard", result.shard().index()},
                {"broker", session.broker},
                {"reason", result.error()}});
      continue;
    }
    if (it == stream->live.end() || !it->second.election ||
        it->second.election->term != result.term()) {
      continue;  // of an older election
    }
    const auto last = it->second.election->votes.find(session.broker);
    const bool told = last != it->second.election->votes.end() &&
                      last->second.result.error() == result.error();
    if (!result.error().empty() && !told) {
      log_warn("coordinator", "a replica cannot vote",
               {{"stream", stream->map.stream()},
                {"shard", result.shard().index()},
                {"broker", session.broker},
                {"reason", result.error()}});
    }
    it->second.election->votes[session.broker] = {result, session.process};
    stream->dirty = true;
  }
}

// One message per broker, however many shards: questions wait until the terms of other maps that
// are being raised right now are written too.
void Core::send_new_terms() {
  if (new_terms_.empty()) return;
  if (term_writes_ > 0 && now() - new_terms_since_ms_ < kGatherMs) return;
  for (auto& [session, questions] : new_terms_) {
    sluice::v1::CoordinatorMessage message;
    *message.mutable_new_terms() = std::move(questions);
    outbox_.send(session, message);
  }
  new_terms_.clear();
  new_terms_since_ms_ = -1;
}

}  // namespace broker::coordination
