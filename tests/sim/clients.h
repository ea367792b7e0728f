#pragma once
// Who uses the cluster: idempotent and plain producers that speak to leaders as Kafka's clients do,
// publishers through the native API of any broker, readers of whole streams on leaders and on any
// replica. They tell the oracle what they were promised and what they were shown.
#include <deque>

#include "tests/sim/cluster.h"

namespace broker::sim {

struct ClientSettings {
  int64_t pause_min_ms = 5, pause_max_ms = 120;  // between two things that a client does
  size_t padding_max = 400;                      // bytes of a record
  partition::Acks acks = partition::Acks::kAll;  // of producers; others promise less
};

// Names records and counts what became of them.
class Clients {
 public:
  Clients(Cluster& cluster, ClientSettings settings) : cluster_(cluster), settings_(settings) {}
  ~Clients();

  void add_producer(const std::string& stream, bool idempotent);  // of a partitioned stream
  void add_publisher(const std::string& stream);
  void add_reader(const std::string& stream);
  // No new records from here on; what is unanswered is still tried.
  void stop_producing() { producing_ = false; }
  // Nothing is unanswered, and every reader has read its stream to the end.
  bool idle(std::string* why = nullptr);

  Cluster& cluster() { return cluster_; }
  const ClientSettings& settings() const { return settings_; }
  bool producing() const { return producing_; }
  uint64_t next_id() { return next_id_++; }
  int64_t next_producer_id() { return next_producer_id_++; }
  int64_t pause_us();
  // A request over a connection of its own to a broker: `work` runs there and gets a function to
  // answer with; `done` runs here, once: with the answer, or with what a client knows when none
  // comes. Requests of one `lane` arrive in order.
  using Answer = std::function<void(Result<partition::Appended>)>;
  void call(int broker, int64_t& lane_us, std::function<void(BrokerProcess&, Answer)> work,
            Answer done);
  uint64_t acknowledged = 0, unknown = 0, batches_read = 0;

  class Client {
   public:
    virtual ~Client() = default;
    virtual void step() = 0;
    // Empty when there is nothing left to do.
    virtual std::string busy() = 0;
  };

 private:
  void run(size_t client);
  Cluster& cluster_;
  const ClientSettings settings_;
  bool producing_ = true;
  uint64_t next_id_ = 1;
  int64_t next_producer_id_ = int64_t{1} << 40;
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace broker::sim
