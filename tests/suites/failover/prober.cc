// Writes to every shard of many streams, one record at a time each, through librdkafka, and measures
// how long after a fault each shard takes to acknowledge a record that was sent after it.
//   prober -b BROKERS -t TOPIC,TOPIC… -p PARTITIONS -v BROKER_ID -e COMMAND [-i INTERVAL_MS]
//          [-s SECONDS_AFTER] [-X name=value]…
// COMMAND brings the fault about; the clock starts before it. The shards that BROKER_ID led then are
// told apart. Prints one line of JSON.
#include <librdkafka/rdkafka.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <queue>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

int64_t now_us() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::microseconds(1);
}

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "prober: %s\n", why.c_str());
  std::exit(2);
}

struct Shard {
  rd_kafka_topic_t* topic = nullptr;
  int32_t partition = 0;
  bool hit = false;           // led by the victim when the fault came
  int64_t sent_us = 0;        // of the record in flight
  int64_t recovered_us = -1;  // first acknowledgement of a record sent after the fault
  int64_t slowest_us = 0;     // of all its acknowledgements since the fault
};

struct Probe {
  rd_kafka_t* client = nullptr;
  std::vector<Shard> shards;
  int64_t interval_us = 100'000, fault_us = INT64_MAX;
  int64_t acknowledged = 0, failed = 0, recovered = 0;
  std::string first_error;
  // When each shard's next record is due.
  std::priority_queue<std::pair<int64_t, size_t>, std::vector<std::pair<int64_t, size_t>>,
                      std::greater<>> due;

  void send(size_t index) {
    Shard& shard = shards[index];
    static char payload[] = "probe";
    shard.sent_us = now_us();
    if (rd_kafka_produce(shard.topic, shard.partition, 0, payload, sizeof payload, nullptr, 0,
                         reinterpret_cast<void*>(index)) == -1) {
      die(rd_kafka_err2str(rd_kafka_last_error()));
    }
  }
  void answered(const rd_kafka_message_t& message) {
    auto index = reinterpret_cast<size_t>(message._private);
    Shard& shard = shards[index];
    int64_t now = now_us();
    if (message.err) {
      if (failed++ == 0) first_error = rd_kafka_err2str(message.err);
    } else {
      acknowledged++;
      if (now > fault_us) shard.slowest_us = std::max(shard.slowest_us, now - std::max(shard.sent_us, fault_us));
      if (shard.recovered_us < 0 && shard.sent_us >= fault_us) {
        shard.recovered_us = now - fault_us;
        recovered++;
      }
    }
    // The first record after the fault is sent at once: waiting for its turn is not the cluster's.
    bool at_once = fault_us != INT64_MAX && shard.recovered_us < 0;
    due.emplace(at_once ? now : std::max(now, shard.sent_us + interval_us), index);
  }
  void run_until(int64_t end_us, auto enough) {
    while (now_us() < end_us && !enough()) {
      while (!due.empty() && due.top().first <= now_us()) {
        size_t index = due.top().second;
        due.pop();
        send(index);
      }
      int64_t wait_us = due.empty() ? 10'000 : std::max<int64_t>(due.top().first - now_us(), 0);
      rd_kafka_poll(client, static_cast<int>(std::min<int64_t>(wait_us / 1000 + (wait_us > 0), 10)));
    }
  }
};

void mark_victims(Probe& probe, int32_t victim) {
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(probe.client, 0, nullptr, &metadata, 10'000) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    die("no metadata");
  }
  for (Shard& shard : probe.shards) {
    for (int t = 0; t < metadata->topic_cnt; t++) {
      const auto& topic = metadata->topics[t];
      if (std::string(topic.topic) != rd_kafka_topic_name(shard.topic)) continue;
      for (int p = 0; p < topic.partition_cnt; p++) {
        if (topic.partitions[p].id == shard.partition) shard.hit = topic.partitions[p].leader == victim;
      }
    }
  }
  rd_kafka_metadata_destroy(metadata);
}

void print(const Probe& probe) {
  std::vector<int64_t> hit;
  int64_t others_us = 0, slowest_us = 0, silent = 0, slow = 0;
  for (const Shard& shard : probe.shards) {
    if (shard.hit && shard.recovered_us >= 0) hit.push_back(shard.recovered_us);
    if (!shard.hit) others_us = std::max(others_us, shard.slowest_us);
    slowest_us = std::max(slowest_us, shard.slowest_us);
    slow += shard.slowest_us > 100'000;
    silent += shard.recovered_us < 0;
  }
  std::sort(hit.begin(), hit.end());
  auto at = [&](double share) {
    return hit.empty() ? -1.0 : double(hit[size_t(share * double(hit.size() - 1))]) / 1000;
  };
  std::printf("{\"shards\": %zu, \"hit\": %zu, \"min_ms\": %.0f, \"median_ms\": %.0f, \"p99_ms\": %.0f, "
              "\"max_ms\": %.0f, \"others_slowest_ms\": %.0f, \"slowest_ms\": %.0f, \"above_100_ms\": %lld, "
              "\"not_recovered\": %lld, \"failed\": %lld, \"error\": \"%s\", \"acknowledged\": %lld}\n",
              probe.shards.size(), hit.size(), at(0), at(0.5), at(0.99), at(1), double(others_us) / 1000,
              double(slowest_us) / 1000, static_cast<long long>(slow), static_cast<long long>(silent),
              static_cast<long long>(probe.failed), probe.first_error.c_str(),
              static_cast<long long>(probe.acknowledged));
}

}  // namespace

int main(int argc, char** argv) {
  Probe probe;
  std::string brokers, topics, command;
  int partitions = 1, victim = -1;
  double seconds_after = 15;
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char error[512];
  auto set = [&](const std::string& name, const std::string& value) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error)) die(error);
  };
  set("acks", "all");
  set("linger.ms", "0");
  for (int o; (o = getopt(argc, argv, "b:t:p:v:e:i:s:X:")) != -1;) {
    switch (o) {
      case 'b': brokers = optarg; break;
      case 't': topics = optarg; break;
      case 'p': partitions = std::atoi(optarg); break;
      case 'v': victim = std::atoi(optarg); break;
      case 'e': command = optarg; break;
      case 'i': probe.interval_us = std::atoll(optarg) * 1000; break;
      case 's': seconds_after = std::atof(optarg); break;
      case 'X': {
        std::string pair = optarg;
        set(pair.substr(0, pair.find('=')), pair.substr(pair.find('=') + 1));
        break;
      }
      default: return 2;
    }
  }
  if (brokers.empty() || topics.empty() || command.empty()) die("-b, -t and -e are needed");
  set("bootstrap.servers", brokers);
  rd_kafka_conf_set_opaque(conf, &probe);
  rd_kafka_conf_set_dr_msg_cb(conf, [](rd_kafka_t*, const rd_kafka_message_t* m, void* opaque) {
    static_cast<Probe*>(opaque)->answered(*m);
  });
  probe.client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
  if (!probe.client) die(error);
  std::stringstream list(topics);
  for (std::string name; std::getline(list, name, ',');) {
    rd_kafka_topic_t* topic = rd_kafka_topic_new(probe.client, name.c_str(), nullptr);
    for (int p = 0; p < partitions; p++) {
      Shard shard;
      shard.topic = topic;
      shard.partition = p;
      probe.shards.push_back(shard);
    }
  }
  int64_t began = now_us();
  for (size_t i = 0; i < probe.shards.size(); i++) {
    // Spread over the interval, so that the load is even.
    probe.due.emplace(began + probe.interval_us * int64_t(i) / int64_t(probe.shards.size()), i);
  }
  auto all = static_cast<int64_t>(probe.shards.size());
  probe.run_until(began + 60'000'000, [&] { return probe.acknowledged >= 3 * all; });
  if (probe.acknowledged < 3 * all) die("not every shard takes records: " + probe.first_error);
  mark_victims(probe, victim);
  probe.fault_us = now_us();
  std::thread fault([&] {
    if (std::system(command.c_str()) != 0) die("failed: " + command);
  });
  int64_t end = probe.fault_us + static_cast<int64_t>(seconds_after * 1e6);
  probe.run_until(end, [] { return false; });
  probe.run_until(end + 30'000'000, [&] { return probe.recovered == all; });
  fault.join();
  print(probe);
  std::fflush(stdout);
  _exit(probe.recovered < all || probe.failed > 0);
}
