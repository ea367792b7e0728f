#include "broker/cli/cluster_diff.h"

#include <algorithm>
#include <map>

#include "operator/admission/decide.h"
#include "operator/api/json.h"
#include "operator/api/quantity.h"
#include "operator/plan/stream_cluster.h"

namespace broker::cli {

namespace api = sluice_operator::api;
namespace plan = sluice_operator::plan;
using Json = nlohmann::json;

namespace {

std::string short_text(const Json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  return text.size() <= 160 ? text : text.substr(0, 157) + "...";
}

// "/spec/template/spec" -> "spec.template.spec"
std::string dotted(std::string pointer) {
  if (!pointer.empty()) pointer.erase(0, 1);
  std::replace(pointer.begin(), pointer.end(), '/', '.');
  for (size_t at; (at = pointer.find("~1")) != std::string::npos;) pointer.replace(at, 2, "/");
  for (size_t at; (at = pointer.find("~0")) != std::string::npos;) pointer.replace(at, 2, "~");
  return pointer;
}

std::vector<Change> changes(const Json& before, const Json& after) {
  std::vector<Change> out;
  Json now = before;
  for (const auto& step : Json::diff(before, after)) {
    const Json::json_pointer at(step["path"].get<std::string>());
    // An element that is put into a list has no value before it.
    const bool replaces = step["op"] != "add";
    out.push_back({dotted(at.to_string()), replaces ? short_text(now.at(at)) : "",
                   step["op"] == "remove" ? "" : short_text(step["value"])});
    now = now.patch(Json::array({step}));
  }
  return out;
}

std::string annotation(const Json& object, const char* name) {
  return object.value("/metadata/annotations"_json_pointer, Json::object())
      .value(name, std::string());
}

// What the operator remembers on the StatefulSet, else what it wrote into status.
struct Settings {
  std::string default_image, coordinator_address, claim_size;
  std::optional<plan::PodSettings> good;
};

Settings settings_of(const DiffInput& input) {
  Settings out;
  out.default_image = input.live.status.image;
  if (!input.stateful_set.is_object()) return out;
  const std::string noted = annotation(input.stateful_set, plan::kDefaultImageAnnotation);
  if (!noted.empty()) out.default_image = noted;
  out.good = plan::read_pod_settings(annotation(input.stateful_set, plan::kGoodSettingsAnnotation));
  auto now = plan::read_pod_settings(annotation(input.stateful_set, plan::kSettingsAnnotation));
  if (now) out.coordinator_address = now->coordinator_address;
  for (const auto& claim :
       input.stateful_set.value("/spec/volumeClaimTemplates"_json_pointer, Json::array())) {
    out.claim_size = claim.value("/spec/resources/requests/storage"_json_pointer, std::string());
  }
  return out;
}

std::vector<Json> objects_of(const api::StreamCluster& cluster, const Settings& settings,
                             const std::string& claim_size, int32_t replicas) {
  plan::PlanInput input{cluster,
                        plan::pod_settings(cluster.spec, settings.default_image,
                                           settings.coordinator_address),
                        settings.default_image, replicas};
  input.good = settings.good;
  input.claim_size = claim_size;
  return plan::desired_objects(input);
}

// The hash follows from the rest.
Json without_hash(Json object) {
  if (object["metadata"].contains("annotations")) {
    object["metadata"]["annotations"].erase(plan::kHashAnnotation);
  }
  return object;
}

void diff_objects(const DiffInput& input, ClusterDiff& diff) {
  const Settings settings = settings_of(input);
  const bool grows = api::compare_quantities(input.edited.spec.storage.size,
                                             input.live.spec.storage.size) > 0;
  // Brokers that go are drained first: until then the StatefulSet keeps them.
  const int32_t replicas = std::max(input.live.spec.brokers, input.edited.spec.brokers);
  auto before = objects_of(input.live, settings, settings.claim_size, input.live.spec.brokers);
  auto after = objects_of(input.edited, settings,
                          grows ? input.edited.spec.storage.size : settings.claim_size, replicas);
  // By kind and name: a listener from outside brings objects, and takes its own away.
  std::map<std::pair<std::string, std::string>, const Json*> gone;
  auto name_of = [](const Json& object) {
    return std::pair(object.value("kind", std::string()), object["metadata"].value("name", std::string()));
  };
  for (const auto& object : before) gone[name_of(object)] = &object;
  for (const auto& now : after) {
    const auto name = name_of(now);
    auto was = gone.find(name);
    ClusterDiff::Object object{name.first, name.second, false, was == gone.end(), false, {}};
    if (!object.added) {
      object.changes = changes(without_hash(*was->second), without_hash(now));
      object.made_again = grows && object.kind == "StatefulSet";
      gone.erase(was);
    }
    if (object.added || !object.changes.empty()) diff.objects.push_back(std::move(object));
  }
  for (const auto& [name, object] : gone) {
    diff.objects.push_back({name.first, name.second, false, false, true, {}});
  }
  if (grows) {
    diff.volumes = input.live.spec.storage.size + " -> " + input.edited.spec.storage.size;
  } else if (api::compare_quantities(input.edited.spec.storage.size,
                                     input.live.spec.storage.size) < 0) {
    diff.warnings.push_back("spec.storage.size: volumes are never made smaller; those of brokers "
                            "to come keep the larger size");
  }
}

Json settings_json(const api::StreamClusterSpec& spec, const Settings& settings) {
  return Json::parse(
      plan::pod_settings(spec, settings.default_image, settings.coordinator_address).to_text());
}

void diff_pods(const DiffInput& input, ClusterDiff& diff) {
  const Settings settings = settings_of(input);
  diff.roll_reasons = changes(settings_json(input.live.spec, settings),
                              settings_json(input.edited.spec, settings));
  const std::string wanted = plan::pod_settings(input.edited.spec, settings.default_image,
                                                settings.coordinator_address)
                                 .hash();
  for (const auto& pod : input.pods) {
    const std::string name = pod["metadata"].value("name", std::string());
    for (int32_t id = 0; id < input.edited.spec.brokers; ++id) {
      if (name != plan::broker_pod_name(input.live.metadata.name, id)) continue;
      if (annotation(pod, plan::kSpecHashAnnotation) != wanted) diff.rolled.push_back(id);
    }
  }
  std::sort(diff.rolled.begin(), diff.rolled.end());
  if (diff.rolled.empty()) diff.roll_reasons.clear();
}

std::vector<int32_t> only_in(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  std::vector<int32_t> out;
  for (int32_t id : a) {
    if (std::find(b.begin(), b.end(), id) == b.end()) out.push_back(id);
  }
  return out;
}

std::string list_text(const std::vector<int32_t>& ids) {
  std::string text;
  for (int32_t id : ids) text += (text.empty() ? "" : ", ") + std::to_string(id);
  return text;
}

std::string change_text(const Change& change) {
  if (change.before.empty()) return "+ " + change.path + ": " + change.after;
  if (change.after.empty()) return "- " + change.path + ": " + change.before;
  return "~ " + change.path + ": " + change.before + " -> " + change.after;
}

}  // namespace

bool ClusterDiff::empty() const {
  return spec.empty() && objects.empty() && rolled.empty() && refusals.empty();
}

ClusterDiff diff_clusters(const DiffInput& input) {
  ClusterDiff diff;
  diff.spec = changes(api::spec_to_json(input.live.spec), api::spec_to_json(input.edited.spec));
  diff_objects(input, diff);
  diff_pods(input, diff);
  for (int32_t id = input.live.spec.brokers; id < input.edited.spec.brokers; ++id) {
    diff.added.push_back(id);
  }
  for (int32_t id = input.edited.spec.brokers; id < input.live.spec.brokers; ++id) {
    diff.removed.push_back(id);
  }
  diff.drained = only_in(input.edited.spec.drain, input.live.spec.drain);
  diff.undrained = only_in(input.live.spec.drain, input.edited.spec.drain);
  auto verdict =
      sluice_operator::admission::decide(input.edited, &input.live, input.streams);
  for (const auto& error : verdict.refusals) {
    diff.refusals.push_back(error.field + ": " + error.message);
  }
  diff.warnings.insert(diff.warnings.end(), verdict.warnings.begin(), verdict.warnings.end());
  return diff;
}

std::string diff_text(const ClusterDiff& diff) {
  std::string text;
  for (const auto& refusal : diff.refusals) text += "✘ refused: " + refusal + "\n";
  for (const auto& warning : diff.warnings) text += "▲ " + warning + "\n";
  if (diff.empty()) return text + "nothing changes\n";
  text += "spec\n";
  for (const auto& change : diff.spec) text += "  " + change_text(change) + "\n";
  text += "brokers\n";
  if (diff.rolled.empty()) {
    text += "  none restarts\n";
  } else {
    text += "  restart, one first and then zone by zone, each when its shards can spare it: " +
            list_text(diff.rolled) + "\n";
    for (const auto& change : diff.roll_reasons) text += "    because of " + change_text(change) + "\n";
  }
  if (!diff.added.empty()) text += "  new: " + list_text(diff.added) + "\n";
  if (!diff.removed.empty()) text += "  drained, then removed: " + list_text(diff.removed) + "\n";
  if (!diff.drained.empty()) text += "  drained: " + list_text(diff.drained) + "\n";
  if (!diff.undrained.empty()) text += "  take replicas again: " + list_text(diff.undrained) + "\n";
  if (!diff.volumes.empty()) text += "  volumes grow: " + diff.volumes + "\n";
  text += diff.objects.empty() ? "objects\n  none changes\n" : "objects\n";
  for (const auto& object : diff.objects) {
    text += "  " + object.kind + " " + object.name +
            (object.made_again ? " (made again around its pods)"
             : object.added    ? " (new)"
             : object.removed  ? " (removed)"
                               : "") +
            "\n";
    for (const auto& change : object.changes) text += "    " + change_text(change) + "\n";
  }
  return text;
}

nlohmann::ordered_json to_json(const ClusterDiff& diff) {
  using Ordered = nlohmann::ordered_json;
  auto list = [](const std::vector<Change>& changes) {
    Ordered out = Ordered::array();
    for (const auto& change : changes) {
      out.push_back({{"path", change.path}, {"before", change.before}, {"after", change.after}});
    }
    return out;
  };
  Ordered objects = Ordered::array();
  for (const auto& object : diff.objects) {
    objects.push_back({{"kind", object.kind},
                       {"name", object.name},
                       {"madeAgain", object.made_again},
                       {"new", object.added},
                       {"removed", object.removed},
                       {"changes", list(object.changes)}});
  }
  return {{"refusals", diff.refusals},   {"warnings", diff.warnings},
          {"spec", list(diff.spec)},     {"restarts", diff.rolled},
          {"restartReasons", list(diff.roll_reasons)},
          {"added", diff.added},         {"removed", diff.removed},
          {"drained", diff.drained},     {"undrained", diff.undrained},
          {"volumes", diff.volumes},     {"objects", std::move(objects)}};
}

}  // namespace broker::cli
