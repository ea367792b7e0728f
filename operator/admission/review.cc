#include "operator/admission/review.h"

#include "operator/api/json.h"

namespace sluice_operator::admission {

using broker::Code;
using broker::Result;
using broker::Status;
using Json = nlohmann::json;

namespace {

constexpr const char* kApiVersion = "admission.k8s.io/v1";
constexpr size_t kWarningBytesMax = 240;  // the API server cuts longer ones

// An object of another kind of data than its definition promises is the API server's to refuse.
template <class T>
Result<std::optional<T>> read(const Json& request, const char* field,
                              Result<T> (*reader)(const Json&)) {
  auto it = request.find(field);
  if (it == request.end() || it->is_null()) return std::optional<T>();
  auto object = reader(*it);
  if (!object.ok()) return object.status();
  return std::optional<T>(std::move(*object));
}

template <class T>
const T* pointer(const std::optional<T>& value) {
  return value ? &*value : nullptr;
}

Result<Verdict> judge_stream(const Json& request, World& world) {
  ASSIGN_OR_RETURN(auto stream, read<api::Stream>(request, "object", api::read_stream));
  ASSIGN_OR_RETURN(auto before, read<api::Stream>(request, "oldObject", api::read_stream));
  if (!stream) return Verdict();
  const std::string& ns = stream->metadata.ns;
  ASSIGN_OR_RETURN(auto cluster, world.cluster(ns, stream->spec.cluster));
  ASSIGN_OR_RETURN(auto others, world.streams(ns, stream->spec.cluster));
  return decide(*stream, pointer(before), pointer(cluster), others);
}

Result<Verdict> judge_cluster(const Json& request, World& world) {
  ASSIGN_OR_RETURN(auto cluster,
                   read<api::StreamCluster>(request, "object", api::read_stream_cluster));
  ASSIGN_OR_RETURN(auto before,
                   read<api::StreamCluster>(request, "oldObject", api::read_stream_cluster));
  if (!cluster) return Verdict();
  ASSIGN_OR_RETURN(auto streams, world.streams(cluster->metadata.ns, cluster->metadata.name));
  return decide(*cluster, pointer(before), streams);
}

Result<Verdict> judge_user(const Json& request, World& world) {
  ASSIGN_OR_RETURN(auto user, read<api::StreamUser>(request, "object", api::read_stream_user));
  ASSIGN_OR_RETURN(auto before, read<api::StreamUser>(request, "oldObject", api::read_stream_user));
  if (!user) return Verdict();
  const std::string& ns = user->metadata.ns;
  ASSIGN_OR_RETURN(auto cluster, world.cluster(ns, user->spec.cluster));
  ASSIGN_OR_RETURN(auto others, world.users(ns));
  ASSIGN_OR_RETURN(auto secret, world.secret(ns, user->spec.secret_name));
  return decide(*user, pointer(before), pointer(cluster), others, secret);
}

// `kubectl scale` and autoscalers: only the number of brokers is in the question.
Result<Verdict> judge_scale(const Json& request, World& world) {
  const std::string ns = request.value("namespace", std::string());
  ASSIGN_OR_RETURN(auto before, world.cluster(ns, request.value("name", std::string())));
  if (!before) return Verdict();
  api::StreamCluster after = *before;
  after.spec.brokers = request.value("/object/spec/replicas"_json_pointer, before->spec.brokers);
  ASSIGN_OR_RETURN(auto streams, world.streams(ns, after.metadata.name));
  return decide(after, &*before, streams);
}

Result<Verdict> judge(const Json& request, World& world) {
  const std::string kind = request.value("/kind/kind"_json_pointer, std::string());
  const std::string operation = request.value("operation", std::string());
  if (operation != "CREATE" && operation != "UPDATE") return Verdict();
  if (kind == "Stream") return judge_stream(request, world);
  if (kind == "StreamCluster") return judge_cluster(request, world);
  if (kind == "StreamUser") return judge_user(request, world);
  if (kind == "Scale") return judge_scale(request, world);
  return Status(Code::kInvalidArgument, "no resource of ours: '" + kind + "'");
}

Json answer(const std::string& uid, const Verdict& verdict) {
  Json response{{"uid", uid}, {"allowed", verdict.allowed()}};
  if (!verdict.allowed()) {
    response["status"] = {{"code", 422}, {"reason", "Invalid"},
                          {"message", api::to_string(verdict.refusals)}};
  }
  for (const auto& warning : verdict.warnings) {
    response["warnings"].push_back(warning.substr(0, kWarningBytesMax));
  }
  return {{"apiVersion", kApiVersion}, {"kind", "AdmissionReview"}, {"response", response}};
}

bool is_review(const Json& review) {
  auto text = [&](const char* field) {
    auto it = review.find(field);
    return it != review.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  if (text("apiVersion") != kApiVersion || text("kind") != "AdmissionReview") return false;
  auto request = review.find("request");
  if (request == review.end() || !request->is_object()) return false;
  auto uid = request->find("uid");
  auto kind = request->find("kind");
  auto operation = request->find("operation");
  return uid != request->end() && uid->is_string() && operation != request->end() &&
         operation->is_string() && kind != request->end() && kind->is_object() &&
         kind->contains("kind") && kind->at("kind").is_string();
}

}  // namespace

Result<Json> review(const Json& review, World& world) {
  if (!review.is_object() || !is_review(review)) {
    return Status(Code::kInvalidArgument, "an AdmissionReview of admission.k8s.io/v1 is expected");
  }
  const Json& request = review.at("request");
  ASSIGN_OR_RETURN(Verdict verdict, judge(request, world));
  return answer(request.at("uid").get<std::string>(), verdict);
}

}  // namespace sluice_operator::admission
