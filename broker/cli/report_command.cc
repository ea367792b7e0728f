// `sluice report`: what somebody needs who was not there. Resources, events, logs, metrics pages of one
// namespace's clusters and of the operator, as one archive. Secrets are listed by name, never read.
#include <ctime>
#include <set>

#include "broker/cli/archive.h"
#include "broker/cli/client.h"
#include "broker/cli/commands.h"
#include "broker/cli/health.h"
#include "broker/cli/kubectl.h"
#include "broker/cli/output.h"
#include "broker/cli/redact.h"

namespace broker::cli {

using Json = nlohmann::json;

namespace {

constexpr const char* kSelector = "app.kubernetes.io/name=sluice";
constexpr int kBrokerMetricsPort = 9644, kOperatorHttpPort = 8080;

std::string stamp(int64_t seconds) {
  std::time_t time = seconds;
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
  return text;
}

class Report {
 public:
  Report(Kubectl kubectl, Archive archive) : kubectl_(std::move(kubectl)), archive_(std::move(archive)) {}

  Status collect(const std::string& operator_namespace, bool without_logs) {
    without_logs_ = without_logs;
    ASSIGN_OR_RETURN(auto objects, kubectl_.list(
        "streamclusters.sluice.dev,streams.sluice.dev,shardmaps.sluice.dev"));
    RETURN_IF_ERROR(archive_.add("health.txt", tree_text(health_of(objects))));
    std::set<std::string> namespaces;
    for (const auto& object : objects) {
      namespaces.insert(object["metadata"].value("namespace", std::string()));
    }
    RETURN_IF_ERROR(note("version.json", {"version"}));
    RETURN_IF_ERROR(note("nodes.json", {"get", "nodes"}));
    for (const auto& ns : namespaces) RETURN_IF_ERROR(clusters(ns));
    RETURN_IF_ERROR(the_operator(operator_namespace));
    RETURN_IF_ERROR(archive_.add("commands.txt", log_));
    return archive_.finish();
  }

  int missing() const { return missing_; }

 private:
  // What kubectl prints as JSON, without what must not leave. A refusal is written down, not fatal: a
  // report by somebody who may see half of it is half a report.
  Status note(const std::string& name, std::vector<std::string> words) {
    Json ignored;
    return note(name, std::move(words), ignored);
  }
  Status note(const std::string& name, std::vector<std::string> words, Json& object) {
    words.insert(words.end(), {"-o", "json"});
    std::string text;
    if (!run(words, text)) return {};
    object = Json::parse(text, nullptr, false);
    if (!object.is_structured()) return failed(words, "it did not print JSON");
    redact(object);
    return archive_.add(name, object.dump(1) + "\n");
  }
  Status note_text(const std::string& name, std::vector<std::string> words) {
    std::string text;
    if (!run(words, text)) return {};
    return archive_.add(name, redact_text(std::move(text)));
  }

  bool run(const std::vector<std::string>& words, std::string& text) {
    auto output = kubectl_.run(words);
    if (output.ok() && output->exit_status == 0) {
      text = std::move(output->text);
      log_ += "ok: " + line_of(words) + "\n";
      return true;
    }
    failed(words, output.ok() ? output->complaints : output.status().message()).ignore_error("noted");
    return false;
  }
  Status failed(const std::vector<std::string>& words, const std::string& why) {
    log_ += "FAILED: " + line_of(words) + ": " + redact_text(why) + "\n";
    ++missing_;
    return {};
  }
  static std::string line_of(const std::vector<std::string>& words) {
    std::string line = "kubectl";
    for (const auto& word : words) line += " " + word;
    return line;
  }

  Status clusters(const std::string& ns) {
    const std::string folder = ns + "/";
    for (const char* kind : {"streamclusters.sluice.dev", "streams.sluice.dev",
                             "shardmaps.sluice.dev", "streamusers.sluice.dev", "events"}) {
      RETURN_IF_ERROR(note(folder + std::string(kind) + ".json", {"get", kind, "-n", ns}));
    }
    // Others' objects of the namespace are nobody's business.
    for (const auto& [kind, selector] :
         {std::pair{"statefulsets", "app.kubernetes.io/managed-by=sluice-operator"},
          {"services", "app.kubernetes.io/managed-by=sluice-operator"},
          {"configmaps", "app.kubernetes.io/managed-by=sluice-operator"},
          {"poddisruptionbudgets", "app.kubernetes.io/managed-by=sluice-operator"},
          {"networkpolicies", "app.kubernetes.io/managed-by=sluice-operator"},
          {"persistentvolumeclaims", kSelector}}) {
      RETURN_IF_ERROR(note(folder + kind + ".json", {"get", kind, "-n", ns, "-l", selector}));
    }
    RETURN_IF_ERROR(secret_names(ns));
    return pods(ns, std::string(kSelector) + ",app.kubernetes.io/component=broker",
                kBrokerMetricsPort);
  }

  // Names, types and ages; the columns are kubectl's, so that nothing else is even printed.
  Status secret_names(const std::string& ns) {
    return note_text(ns + "/secrets.txt",
                     {"get", "secrets", "-n", ns, "-o",
                      "custom-columns=NAME:.metadata.name,TYPE:.type,CREATED:.metadata.creationTimestamp,"
                      "OWNER:.metadata.ownerReferences[*].name"});
  }

  Status the_operator(const std::string& ns) {
    const std::string selector = std::string(kSelector) + ",app.kubernetes.io/component=operator";
    for (const char* kind : {"deployments", "services"}) {
      RETURN_IF_ERROR(note("operator/" + std::string(kind) + ".json",
                           {"get", kind, "-n", ns, "-l", selector}));
    }
    RETURN_IF_ERROR(note("operator/lease.json", {"get", "lease", "sluice-operator", "-n", ns}));
    RETURN_IF_ERROR(note("operator/events.json", {"get", "events", "-n", ns}));
    return pods(ns, selector, kOperatorHttpPort);
  }

  Status pods(const std::string& ns, const std::string& selector, int metrics_port) {
    const std::string folder = metrics_port == kOperatorHttpPort ? "operator/" : ns + "/";
    Json list;
    RETURN_IF_ERROR(note(folder + "pods.json", {"get", "pods", "-n", ns, "-l", selector}, list));
    if (!list.is_object()) return {};
    for (const auto& pod : list["items"]) {
      const std::string name = pod["metadata"].value("name", std::string());
      RETURN_IF_ERROR(note_text(folder + "metrics/" + name + ".txt",
                                {"get", "--raw", "/api/v1/namespaces/" + ns + "/pods/" + name + ":" +
                                                     std::to_string(metrics_port) + "/proxy/metrics"}));
      if (without_logs_) continue;
      RETURN_IF_ERROR(note_text(folder + "logs/" + name + ".log",
                                {"logs", name, "-n", ns, "--all-containers", "--tail=20000"}));
      int restarts = 0;
      for (const auto& container :
           pod.value("/status/containerStatuses"_json_pointer, Json::array())) {
        restarts += container.value("restartCount", 0);
      }
      if (restarts == 0) continue;
      RETURN_IF_ERROR(note_text(folder + "logs/" + name + ".previous.log",
                                {"logs", name, "-n", ns, "--all-containers", "--previous",
                                 "--tail=20000"}));
    }
    return {};
  }

  Kubectl kubectl_;
  Archive archive_;
  std::string log_;
  int missing_ = 0;
  bool without_logs_ = false;
};

Result<int> report(const Arguments& arguments) {
  const int64_t now_s = wall_ms() / 1000;
  const std::string folder = "sluice-report-" + stamp(now_s);
  const std::string path = arguments.get("out", folder + ".tar.gz");
  ASSIGN_OR_RETURN(auto archive, Archive::create(path, folder, now_s));
  Report report(Kubectl(arguments), std::move(archive));
  RETURN_IF_ERROR(report.collect(arguments.get("operator-namespace", "sluice-system"),
                                 arguments.has("without-logs")));
  if (arguments.json()) {
    print_json({{"file", path}, {"missing", report.missing()}});
  } else {
    print(path + (report.missing() == 0
                      ? "\n"
                      : "\n" + std::to_string(report.missing()) +
                            " parts could not be fetched: its commands.txt says which and why\n"));
  }
  return 0;
}

}  // namespace

std::vector<Command> report_commands() {
  auto options = Kubectl::options();
  for (auto option : {Option{"all-namespaces", "", "-A for short: clusters of all namespaces"},
                      Option{"operator-namespace", "NS", "where the operator runs (default sluice-system)"},
                      Option{"without-logs", "", "resources, events and metrics only"},
                      Option{"out", "FILE", "the archive (default sluice-report-TIME.tar.gz)"}}) {
    options.push_back(std::move(option));
  }
  return {{"report",
           {},
           "Collect resources, events, logs and metrics for support, without any Secret's data",
           options,
           {"kubectl sluice report", "kubectl sluice report -A --out report.tar.gz"},
           report}};
}

}  // namespace broker::cli
