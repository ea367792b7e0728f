// Load through librdkafka, for Sluice and Apache Kafka alike. Prints one line of JSON.
//   generator produce -b BROKERS -t TOPIC -p PARTITIONS -n RECORDS -s SIZE [-X name=value]...
//       sends as fast as it is let; a record's rate counts from the first send to the last answer
//   generator latency -b BROKERS -t TOPIC -p PARTITIONS -r RATE -d SECONDS -w WARM_UP_SECONDS -s SIZE
//       [-X name=value]...
//       open loop: a record's latency counts from the moment it was due, so that a stall is charged
//       to every record that it delayed
//       [-c READERS] that many consumers are at the end of all partitions; end to end is theirs all
//   generator consume -b BROKERS -t TOPIC -p PARTITIONS -n RECORDS [-r RATE]
//       from the beginning; its rate counts from the first record to the last. With a rate it reads no
//       faster
//   generator touch -b BROKERS -t TOPIC -p PARTITIONS
//       one record to each partition; tells when the last was acknowledged
#include <librdkafka/rdkafka.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Properties = std::vector<std::pair<std::string, std::string>>;

struct Options {
  std::string mode, brokers, topic;
  int partitions = 1;
  int64_t records = 100'000;
  size_t size = 1024;
  int readers = 1;
  double rate = 0, seconds = 10, warm_up_seconds = 2;
  Properties properties;
};

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "generator: %s\n", why.c_str());
  std::exit(2);
}

int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// What librdkafka's callbacks count. `answered` and `failed` are read while it runs.
struct Outcome {
  std::atomic<int64_t> answered{0}, failed{0};
  std::string first_error;
  int64_t count_from_ns = INT64_MAX;   // latencies of records that were due before are not kept
  std::vector<int64_t> acknowledged_us;

  void add(const rd_kafka_message_t& message) {
    if (message.err && failed++ == 0) first_error = rd_kafka_err2str(message.err);
    if (!message.err && message.len >= sizeof(int64_t)) {
      int64_t due;
      std::memcpy(&due, message.payload, sizeof due);
      if (due >= count_from_ns) acknowledged_us.push_back((now_ns() - due) / 1000);
    }
    answered++;
  }
};

rd_kafka_t* make_client(rd_kafka_type_t type, const Options& options, const Properties& defaults,
                        Outcome* outcome) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char error[512];
  auto set = [&](const std::string& name, const std::string& value) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error) !=
        RD_KAFKA_CONF_OK) {
      die(error);
    }
  };
  set("bootstrap.servers", options.brokers);
  for (const auto& [name, value] : defaults) set(name, value);
  if (type == RD_KAFKA_PRODUCER) {
    for (const auto& [name, value] : options.properties) set(name, value);
    rd_kafka_conf_set_opaque(conf, outcome);
    rd_kafka_conf_set_dr_msg_cb(conf, [](rd_kafka_t*, const rd_kafka_message_t* m, void* opaque) {
      static_cast<Outcome*>(opaque)->add(*m);
    });
  }
  rd_kafka_t* client = rd_kafka_new(type, conf, error, sizeof error);
  if (!client) die(error);
  return client;
}

rd_kafka_topic_t* open_topic(rd_kafka_t* client, const std::string& name) {
  rd_kafka_topic_t* topic = rd_kafka_topic_new(client, name.c_str(), nullptr);
  if (!topic) die(rd_kafka_err2str(rd_kafka_last_error()));
  return topic;
}

// Puts a record into the client's queue, waiting while that is full. The client keeps a reference
// to the payload unless `copy` is set.
void enqueue(rd_kafka_t* client, rd_kafka_topic_t* topic, int32_t partition, void* payload,
             size_t size, bool copy) {
  while (rd_kafka_produce(topic, partition, copy ? RD_KAFKA_MSG_F_COPY : 0, payload, size, nullptr,
                          0, nullptr) == -1) {
    if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      die(rd_kafka_err2str(rd_kafka_last_error()));
    }
    rd_kafka_poll(client, 1);
  }
}

// Bytes that compress badly, as a benchmark's should not depend on a codec.
std::string payload_of(size_t size) {
  std::string bytes(std::max(size, sizeof(int64_t)), '\0');
  uint32_t state = 1;
  for (char& c : bytes) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return bytes;
}

int produce(const Options& options) {
  Outcome outcome;
  rd_kafka_t* client = make_client(RD_KAFKA_PRODUCER, options,
                                   {{"acks", "all"},
                                    {"linger.ms", "5"},
                                    {"queue.buffering.max.messages", "500000"}},
                                   &outcome);
  rd_kafka_topic_t* topic = open_topic(client, options.topic);
  std::string payload = payload_of(options.size);
  // Leaders are known, and connections open, before the clock starts.
  for (int p = 0; p < options.partitions; p++) {
    enqueue(client, topic, p, payload.data(), options.size, false);
  }
  rd_kafka_flush(client, 30'000);
  if (outcome.answered < options.partitions || outcome.failed > 0) die("no warm-up: " + outcome.first_error);
  double cpu_before = cpu_seconds();
  int64_t began = now_ns();
  for (int64_t i = 0; i < options.records; i++) {
    enqueue(client, topic, static_cast<int32_t>(i % options.partitions), payload.data(),
            options.size, false);
    if (i % 1000 == 0) rd_kafka_poll(client, 0);
  }
  while (outcome.answered < options.records + options.partitions) rd_kafka_poll(client, 100);
  double seconds = double(now_ns() - began) / 1e9;
  std::printf("{\"records\": %lld, \"seconds\": %.3f, \"per_s\": %.0f, \"failed\": %lld, "
              "\"error\": \"%s\", \"client_cpu_s\": %.2f}\n",
              static_cast<long long>(options.records), seconds, double(options.records) / seconds,
              static_cast<long long>(outcome.failed), outcome.first_error.c_str(),
              cpu_seconds() - cpu_before);
  return outcome.failed > 0;
}

int consume(const Options& options) {
  rd_kafka_t* client = make_client(RD_KAFKA_CONSUMER, options,
                                   {{"group.id", "generator"},
                                    {"enable.auto.commit", "false"},
                                    // By default it stops for a second where 100,000 records or
                                    // 64 MiB wait for the application: with the quicker broker.
                                    {"queued.min.messages", "10000000"},
                                    {"queued.max.messages.kbytes", "2097151"}},
                                   nullptr);
  rd_kafka_poll_set_consumer(client);
  auto* all = rd_kafka_topic_partition_list_new(options.partitions);
  for (int p = 0; p < options.partitions; p++) {
    rd_kafka_topic_partition_list_add(all, options.topic.c_str(), p)->offset =
        RD_KAFKA_OFFSET_BEGINNING;
  }
  rd_kafka_assign(client, all);
  rd_kafka_topic_partition_list_destroy(all);
  rd_kafka_queue_t* queue = rd_kafka_queue_get_consumer(client);
  std::vector<rd_kafka_message_t*> batch(10'000);
  int64_t received = 0, failed = 0, began = 0, bytes = 0, last = now_ns();
  std::string error;
  double cpu_before = 0;
  while (received < options.records) {
    ssize_t n = rd_kafka_consume_batch_queue(queue, 100, batch.data(), batch.size());
    if (n > 0 && !began) began = now_ns(), cpu_before = cpu_seconds();
    for (ssize_t i = 0; i < n; i++) {
      const rd_kafka_message_t& message = *batch[static_cast<size_t>(i)];
      if (message.err && failed++ == 0) error = rd_kafka_message_errstr(&message);
      if (!message.err) received++, bytes += static_cast<int64_t>(message.len);
      rd_kafka_message_destroy(batch[static_cast<size_t>(i)]);
    }
    if (n > 0) last = now_ns();
    if (now_ns() - last > 30'000'000'000) die("nothing came for 30 s: " + error);
    while (options.rate > 0 && began &&
           double(received) > double(now_ns() - began) / 1e9 * options.rate) {
      usleep(1000);
    }
  }
  double seconds = double(last - began) / 1e9;
  std::printf("{\"records\": %lld, \"bytes\": %lld, \"seconds\": %.3f, \"per_s\": %.0f, "
              "\"failed\": %lld, \"error\": \"%s\", \"client_cpu_s\": %.2f}\n",
              static_cast<long long>(received), static_cast<long long>(bytes), seconds,
              double(received) / seconds, static_cast<long long>(failed), error.c_str(),
              cpu_seconds() - cpu_before);
  return failed > 0;
}

int touch(const Options& options) {
  Outcome outcome;
  rd_kafka_t* client = make_client(RD_KAFKA_PRODUCER, options,
                                   {{"acks", "all"}, {"linger.ms", "5"},
                                    {"message.timeout.ms", "120000"}},
                                   &outcome);
  rd_kafka_topic_t* topic = open_topic(client, options.topic);
  std::string payload = payload_of(16);
  int64_t began = now_ns();
  for (int p = 0; p < options.partitions; p++) {
    enqueue(client, topic, p, payload.data(), payload.size(), false);
  }
  while (outcome.answered < options.partitions) rd_kafka_poll(client, 100);
  std::printf("{\"seconds\": %.3f, \"failed\": %lld, \"error\": \"%s\"}\n",
              double(now_ns() - began) / 1e9, static_cast<long long>(outcome.failed),
              outcome.first_error.c_str());
  return outcome.failed > 0;
}

void print_quantiles(const char* name, std::vector<int64_t>& us) {
  std::sort(us.begin(), us.end());
  std::printf(", \"%s\": {\"count\": %zu", name, us.size());
  for (auto [label, share] : {std::pair("p50", 0.5), {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}}) {
    if (!us.empty()) {
      std::printf(", \"%s\": %lld", label,
                  static_cast<long long>(us[size_t(share * double(us.size() - 1))]));
    }
  }
  if (!us.empty()) std::printf(", \"max\": %lld", static_cast<long long>(us.back()));
  std::printf("}");
}

// Reads all partitions from their ends on, in a thread of its own.
class Reader {
 public:
  Reader(const Options& options, const Outcome& outcome)
      : outcome_(outcome),
        client_(make_client(RD_KAFKA_CONSUMER, options,
                            {{"group.id", "generator"},
                             {"enable.auto.commit", "false"},
                             {"auto.offset.reset", "latest"},
                             {"enable.partition.eof", "true"}},
                            nullptr)) {
    rd_kafka_poll_set_consumer(client_);
    auto* all = rd_kafka_topic_partition_list_new(options.partitions);
    for (int p = 0; p < options.partitions; p++) {
      rd_kafka_topic_partition_list_add(all, options.topic.c_str(), p)->offset =
          RD_KAFKA_OFFSET_END;
    }
    rd_kafka_assign(client_, all);
    rd_kafka_topic_partition_list_destroy(all);
    thread_ = std::thread([this] { run(); });
  }
  // Positioned: what comes now is seen.
  void wait_at_end(int partitions) {
    while (at_end_ < partitions) usleep(1000);
  }
  std::vector<int64_t>& finish() {
    stop_ = true;
    thread_.join();
    return latencies_us_;
  }
  int64_t received() const { return received_; }

 private:
  void run() {
    while (!stop_) {
      rd_kafka_message_t* message = rd_kafka_consumer_poll(client_, 50);
      if (!message) continue;
      if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        at_end_++;
      } else if (!message->err && message->len >= sizeof(int64_t)) {
        int64_t due;
        std::memcpy(&due, message->payload, sizeof due);
        if (due >= outcome_.count_from_ns) {
          latencies_us_.push_back((now_ns() - due) / 1000);
          received_++;
        }
      }
      rd_kafka_message_destroy(message);
    }
  }
  const Outcome& outcome_;
  rd_kafka_t* client_;
  std::vector<int64_t> latencies_us_;
  std::atomic<int64_t> received_{0}, at_end_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

int latency(const Options& options) {
  prctl(PR_SET_TIMERSLACK, 1);
  Outcome outcome;
  rd_kafka_t* client = make_client(RD_KAFKA_PRODUCER, options,
                                   {{"acks", "all"},
                                    {"linger.ms", "0"},
                                    {"max.in.flight.requests.per.connection", "5"}},
                                   &outcome);
  rd_kafka_topic_t* topic = open_topic(client, options.topic);
  std::string payload = payload_of(options.size);
  int64_t zero = 0;
  std::memcpy(payload.data(), &zero, sizeof zero);
  enqueue(client, topic, 0, payload.data(), payload.size(), true);
  rd_kafka_flush(client, 30'000);
  auto total = static_cast<int64_t>(options.rate * (options.seconds + options.warm_up_seconds));
  int64_t began = now_ns() + 1'500'000'000;
  outcome.count_from_ns = began + static_cast<int64_t>(options.warm_up_seconds * 1e9);
  outcome.acknowledged_us.reserve(static_cast<size_t>(total));
  std::vector<std::unique_ptr<Reader>> readers;
  for (int i = 0; i < options.readers; i++) {
    readers.push_back(std::make_unique<Reader>(options, outcome));
  }
  for (auto& reader : readers) reader->wait_at_end(options.partitions);
  auto received = [&] {
    int64_t all = 0;
    for (auto& reader : readers) all += reader->received();
    return all;
  };
  std::atomic<bool> stop{false};
  std::thread answers([&] {
    while (!stop) rd_kafka_poll(client, 50);
  });
  began = std::max(began, now_ns());
  outcome.count_from_ns = began + static_cast<int64_t>(options.warm_up_seconds * 1e9);
  int64_t counted = 0;
  for (int64_t i = 0; i < total; i++) {
    int64_t due = began + static_cast<int64_t>(double(i) * 1e9 / options.rate);
    if (now_ns() < due) {
      timespec at{due / 1'000'000'000, due % 1'000'000'000};
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
    }
    std::memcpy(payload.data(), &due, sizeof due);
    counted += due >= outcome.count_from_ns ? options.readers : 0;
    enqueue(client, topic, static_cast<int32_t>(i % options.partitions), payload.data(),
            payload.size(), true);
  }
  double sent_rate = double(total) / (double(now_ns() - began) / 1e9);
  int64_t give_up = now_ns() + 20'000'000'000;
  while ((outcome.answered < total + 1 || received() < counted) && now_ns() < give_up) {
    usleep(1000);
  }
  stop = true;
  answers.join();
  std::vector<int64_t> latencies_us;
  for (auto& reader : readers) {
    auto& its = reader->finish();
    latencies_us.insert(latencies_us.end(), its.begin(), its.end());
  }
  std::printf("{\"rate\": %g, \"sent_rate\": %.0f, \"failed\": %lld, \"missing\": %lld, "
              "\"client_cpu_s\": %.2f",
              options.rate, sent_rate, static_cast<long long>(outcome.failed),
              static_cast<long long>(counted - received()), cpu_seconds());
  print_quantiles("ack_us", outcome.acknowledged_us);
  print_quantiles("end_to_end_us", latencies_us);
  std::printf("}\n");
  return outcome.failed > 0 || received() < counted;
}

Options parse(int argc, char** argv) {
  Options options;
  if (argc < 2) die("which mode? produce, latency, consume or touch");
  options.mode = argv[1];
  for (int o; (o = getopt(argc - 1, argv + 1, "b:t:p:n:s:r:d:w:c:X:")) != -1;) {
    switch (o) {
      case 'b': options.brokers = optarg; break;
      case 't': options.topic = optarg; break;
      case 'p': options.partitions = std::atoi(optarg); break;
      case 'n': options.records = std::atoll(optarg); break;
      case 's': options.size = static_cast<size_t>(std::atoll(optarg)); break;
      case 'r': options.rate = std::atof(optarg); break;
      case 'd': options.seconds = std::atof(optarg); break;
      case 'c': options.readers = std::atoi(optarg); break;
      case 'w': options.warm_up_seconds = std::atof(optarg); break;
      case 'X': {
        std::string pair = optarg;
        size_t equals = pair.find('=');
        if (equals == std::string::npos) die("-X name=value");
        options.properties.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
        break;
      }
      default: std::exit(2);
    }
  }
  if (options.brokers.empty() || options.topic.empty()) die("-b BROKERS and -t TOPIC are needed");
  if (options.mode == "latency" && options.rate <= 0) die("latency needs -r RATE");
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  Options options = parse(argc, argv);
  int status = 2;
  if (options.mode == "produce") status = produce(options);
  else if (options.mode == "latency") status = latency(options);
  else if (options.mode == "consume") status = consume(options);
  else if (options.mode == "touch") status = touch(options);
  else die("no such mode: " + options.mode);
  std::fflush(stdout);
  _exit(status);  // without the clients' orderly goodbyes
}
