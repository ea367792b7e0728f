#pragma once
// The StreamCluster resource as C++ data; crds/streamclusters.yaml is the same in OpenAPI. Absent
// fields have the definition's defaults.
#include <optional>

#include "operator/api/metadata.h"

namespace sluice_operator::api {

enum class DeletionPolicy { kRetain, kDelete };
// kPropose: what evens the cluster out waits for kApproveRebalanceAnnotation.
enum class RebalancingMode { kAutomatic, kPropose };
enum class ScalingMode { kAuto, kDryRun, kFrozen };
enum class ListenerAuthentication { kNone, kScram, kTls };
enum class ListenerType { kInternal, kNodePort, kLoadBalancer, kIngress, kTlsRoute };

// Unit prices as decimal text; empty: not charged.
struct Prices {
  std::string currency, as_of;
  std::string shard_hour, million_put_units, extended_retention_shard_hour;
  std::string long_term_retention_gb_month, broker_hour, cross_zone_gb;
  bool operator==(const Prices&) const = default;
};

struct StreamClusterSpec {
  int32_t brokers = 3;
  std::string image;  // empty: the operator's --broker-image
  std::string image_pull_policy = "IfNotPresent";
  std::map<std::string, std::string> requests = {{"cpu", "100m"}, {"memory", "128Mi"}};
  std::map<std::string, std::string> limits_of_pod;
  // spec.pod as JSON in one line, as pods have it: nodeSelector, tolerations, affinity, priorityClassName,
  // imagePullSecrets, labels, annotations. Empty: nothing of it.
  std::string pod;
  struct Storage {
    std::string size = "10Gi";
    std::string storage_class;  // empty: the default class
    DeletionPolicy deletion_policy = DeletionPolicy::kRetain;
    int64_t deletion_delay_seconds = 86400;  // of volumes whose broker was removed
  } storage;
  std::string zone_key = "topology.kubernetes.io/zone";
  std::vector<int32_t> drain;  // ids of brokers that keep nothing
  struct Rebalancing {
    bool paused = false;
    RebalancingMode mode = RebalancingMode::kAutomatic;
  } rebalancing;
  struct Replication {
    std::optional<int32_t> factor;
    std::optional<int32_t> min_insync;
  } replication;
  struct Limits {
    int64_t shard_write_bytes_per_second = 1048576;
    int64_t shard_write_records_per_second = 1000;
    int64_t max_record_bytes = 1048576;
  } limits;
  struct Kinesis {
    std::string credentials_secret;  // empty: nobody may sign
    bool tls = false;                // HTTPS, and only that
  } kinesis;
  std::optional<Prices> prices;
  struct Metering {
    int64_t interval_seconds = 60;
  } metering;
  // Of topics that Kafka's clients make.
  struct Kafka {
    bool auto_create_topics = true;
    int32_t num_partitions = 1;
    bool operator==(const Kafka&) const = default;
  } kafka;
  // Kafka's, beside the plain one on 9092.
  struct Listener {
    std::string name;
    int32_t port = 0;
    bool tls = false;
    // kScram: by password, PLAIN too under TLS. kTls: by a certificate of the clients' CA.
    ListenerAuthentication authentication = ListenerAuthentication::kNone;
    ListenerType type = ListenerType::kInternal;
    // From outside; empty: the address that Kubernetes gives. "{id}" stands for the broker's id.
    std::string host_template, bootstrap_host;
    int32_t advertised_port = 0;  // 0: the one that Kubernetes gives, 443 for kIngress and kTlsRoute
    std::string ingress_class;
    struct Gateway {
      std::string ns, name, section;
      bool operator==(const Gateway&) const = default;
    } gateway;
    std::map<std::string, std::string> annotations;  // of its Services, or of its Ingresses
    bool operator==(const Listener&) const = default;
  };
  std::vector<Listener> listeners;
  // For the listeners with TLS; Secrets of cert-manager's shape. Empty: the operator issues.
  struct Tls {
    std::string certificate_secret;  // shown to clients
    std::string ca_secret;           // issues what is shown, and the StreamUsers' certificates
  } tls;
  struct Authorization {
    bool enabled = false;  // without: whoever connects may do everything
    std::vector<std::string> super_users;
  } authorization;
  struct BrokerScaling {
    int32_t min = 3;
    int32_t max = 3;
    int32_t target_utilization_percent = 60;
    int32_t space_target_percent = 75;
    int32_t scale_up_stabilization_seconds = 60;
    int32_t scale_down_stabilization_seconds = 900;
    int32_t cooldown_seconds = 300;
    int64_t network_bytes_per_second = 0;  // 0: not looked at
    int64_t disk_bytes_per_second = 0;
    int32_t price_per_hour = 0;
    int64_t budget_per_hour = 0;  // 0: none
    int32_t produce_p99_milliseconds = 0;  // 0: not looked at
    ScalingMode mode = ScalingMode::kAuto;
  };
  struct Autoscaling {
    std::string prometheus_url;  // empty: scrape the brokers
    int32_t interval_seconds = 1;
    std::string prometheus_ca, token_secret, token_key = "token";
    std::map<std::string, std::string>
        queries;  // bytes, records, throttled, heat, ends, brokers, …
    std::optional<BrokerScaling> brokers;        // absent: their number is left alone
  } autoscaling;
};

struct BrokerState {
  int32_t id = 0;
  std::string pod, node, zone;
  bool ready = false;
  int32_t shards = 0;
  int32_t leaders = 0;
  std::string state;  // Running | Draining | Drained | Down
  std::string directory;   // UUID of its data directory
  int64_t bytes = 0;       // of its shards, as last told
  bool updated = false;    // runs with the settings of spec
  bool operator==(const BrokerState&) const = default;
};

struct ListenerStatus {
  std::string name;
  std::string bootstrap_servers;  // host:port,...; empty while there is no address
  bool operator==(const ListenerStatus&) const = default;
};

struct RebalanceStatus {
  std::string state;  // Idle | Running | Blocked
  std::string reason, message;
  int32_t moves_total = 0;
  int32_t moves_done = 0;
  int64_t bytes_total = 0;
  int64_t bytes_done = 0;
  int64_t seconds_left = -1;  // -1: not known
  std::string started_at, finished_at;
  bool operator==(const RebalanceStatus&) const = default;
};

// What was used since `since`, as of `as_of`.
struct MeteringStatus {
  std::string since, as_of;
  int64_t put_units = 0, records = 0, bytes = 0;
  std::string shard_hours, extended_shard_hours, long_term_gb_months, broker_hours;
  int64_t replicated_bytes = 0, forwarded_bytes = 0, fetched_bytes = 0;
  std::string currency, prices_as_of;         // empty: no prices
  std::map<std::string, std::string> costs;  // by item, and "total"
  bool operator==(const MeteringStatus&) const = default;
};

// The moves that would even the cluster out, and what each broker has before and after them.
struct RebalanceProposal {
  std::string id;  // what an approval names
  std::string created_at;
  std::string state;  // Proposed | Approved | Done
  struct Move {
    std::string stream;
    int32_t shard = 0;
    int32_t from = 0;
    int32_t to = 0;
    int64_t bytes = 0;
    std::string reason;
    bool operator==(const Move&) const = default;
  };
  std::vector<Move> moves;
  struct Load {
    int32_t broker = 0;
    int32_t replicas_before = 0;
    int32_t replicas_after = 0;
    int64_t bytes_before = 0;
    int64_t bytes_after = 0;
    bool operator==(const Load&) const = default;
  };
  std::vector<Load> brokers;
  bool operator==(const RebalanceProposal&) const = default;
};

struct Decision {
  std::string time;
  std::string action;  // Split | Merge | None, and for clusters also AddBroker, MoveLeader, ...
  std::vector<int32_t> shards;
  std::string reason, message;
  std::map<std::string, std::string> inputs;
  bool operator==(const Decision&) const = default;
};

struct StreamClusterStatus {
  static constexpr size_t kDecisionsMax = 32;
  int64_t observed_generation = 0;
  std::vector<Condition> conditions;  // Ready, Progressing, Degraded
  int32_t brokers = 0;
  int32_t ready_brokers = 0;
  int32_t updated_brokers = 0;
  std::string selector;
  std::string version;
  std::string image;  // of the brokers' pod template
  std::vector<BrokerState> broker_states;
  std::vector<ListenerStatus> listeners;
  RebalanceStatus rebalance;
  std::optional<RebalanceProposal> rebalance_proposal;
  std::optional<Decision> last_decision;
  std::vector<Decision> decisions;  // about the number of brokers, newest first
  std::optional<MeteringStatus> metering;
  bool operator==(const StreamClusterStatus&) const = default;
};

struct StreamCluster {
  Metadata metadata;
  StreamClusterSpec spec;
  StreamClusterStatus status;
};

// The copies of a shard when a stream says nothing: 3, or the number of brokers where that is less.
int32_t default_replication(const StreamClusterSpec& spec);

bool has_tls_listener(const StreamClusterSpec& spec);

// What CEL cannot see, or a server without these rules let through.
std::vector<FieldError> validate(const StreamCluster& cluster);

}  // namespace sluice_operator::api
