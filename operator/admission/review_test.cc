// The API server's question and our answer, byte for byte what it expects.
#include "operator/admission/review.h"

#include <gtest/gtest.h>

namespace sluice_operator::admission {
namespace {

using broker::Code;
using broker::Result;
using broker::Status;
using Json = nlohmann::json;

struct FixedWorld : World {
  std::optional<api::StreamCluster> only;
  std::vector<api::Stream> all_streams;
  std::vector<api::StreamUser> all_users;
  SecretOwner owner;
  Status failure;

  FixedWorld() {
    only.emplace();
    only->metadata.name = "c";
  }
  Result<std::optional<api::StreamCluster>> cluster(const std::string&,
                                                    const std::string& name) override {
    if (!failure.ok()) return failure;
    return only && only->metadata.name == name ? only : std::nullopt;
  }
  Result<std::vector<api::Stream>> streams(const std::string&, const std::string&) override { return all_streams; }
  Result<std::vector<api::StreamUser>> users(const std::string&) override { return all_users; }
  Result<SecretOwner> secret(const std::string&, const std::string&) override { return owner; }
};

Json question(const char* kind, const Json& object, const Json& before = nullptr) {
  return {{"apiVersion", "admission.k8s.io/v1"},
          {"kind", "AdmissionReview"},
          {"request",
           {{"uid", "705ab4f5"},
            {"kind", {{"group", "sluice.dev"}, {"version", "v1alpha1"}, {"kind", kind}}},
            {"operation", before.is_null() ? "CREATE" : "UPDATE"},
            {"object", object},
            {"oldObject", before}}}};
}

Json stream(int replication) {
  return {{"metadata", {{"namespace", "ns"}, {"name", "s"}}},
          {"spec",
           {{"cluster", "c"}, {"mode", "Partitioned"}, {"partitions", 1},
            {"replication", replication}}}};
}

TEST(Review, AllowsWithTheUidOfTheQuestion) {
  FixedWorld world;
  auto answer = review(question("Stream", stream(3)), world);
  ASSERT_TRUE(answer.ok()) << answer.status().to_string();
  EXPECT_EQ(*answer, (Json{{"apiVersion", "admission.k8s.io/v1"},
                           {"kind", "AdmissionReview"},
                           {"response", {{"uid", "705ab4f5"}, {"allowed", true}}}}));
}

TEST(Review, RefusesWithFieldAndReason) {
  FixedWorld world;
  auto answer = review(question("Stream", stream(4)), world);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ((*answer)["response"]["allowed"], false);
  EXPECT_EQ((*answer)["response"]["status"]["message"],
            "spec.replication: 4 copies need 4 brokers, the cluster has 3");
  EXPECT_EQ((*answer)["response"]["status"]["code"], 422);
}

TEST(Review, WarnsOfAClusterThatIsNotThere) {
  FixedWorld world;
  world.only.reset();
  auto answer = review(question("Stream", stream(3)), world);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ((*answer)["response"]["allowed"], true);
  EXPECT_EQ((*answer)["response"]["warnings"].size(), 1u);
}

TEST(Review, AnUpdateIsComparedWithWhatWasThere) {
  FixedWorld world;
  EXPECT_EQ((*review(question("Stream", stream(4), stream(4)), world))["response"]["allowed"], true);
  EXPECT_EQ((*review(question("Stream", stream(5), stream(4)), world))["response"]["allowed"], false);
}

TEST(Review, ClustersAndUsersAreJudged) {
  FixedWorld world;
  auto object = [](std::vector<int> drain) {
    return Json{{"metadata", {{"namespace", "ns"}, {"name", "c"}}},
                {"spec", {{"brokers", 3}, {"drain", drain}}}};
  };
  api::Stream s;
  s.metadata.name = s.spec.name = "s";
  s.spec.cluster = "c";
  world.all_streams = {s};
  auto answer = review(question("StreamCluster", object({1}), object({})), world);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ((*answer)["response"]["allowed"], false);
  world.owner = {true, "other", "Deployment 'web'"};
  answer = review(question("StreamUser", {{"metadata", {{"namespace", "ns"}, {"name", "ann"}}},
                                          {"spec", {{"cluster", "c"}}}}),
                  world);
  ASSERT_TRUE(answer.ok());
  EXPECT_NE((*answer)["response"]["status"]["message"].get<std::string>().find("Deployment 'web'"),
            std::string::npos);
}

TEST(Review, ScalingIsJudgedAsTheClusterThatItMakes) {
  FixedWorld world;
  api::Stream s;
  s.metadata.name = s.spec.name = "s";
  s.spec.cluster = "c";
  s.spec.replication = 3;
  world.all_streams = {s};
  auto scale = [](int replicas) {
    auto out = question("Scale", {{"spec", {{"replicas", replicas}}}}, {{"spec", {{"replicas", 3}}}});
    out["request"]["namespace"] = "ns";
    out["request"]["name"] = "c";
    return out;
  };
  auto answer = review(scale(2), world);
  ASSERT_TRUE(answer.ok());
  EXPECT_NE((*answer)["response"]["status"]["message"].get<std::string>().find("spec.brokers"),
            std::string::npos);
  EXPECT_EQ((*review(scale(4), world))["response"]["allowed"], true);
}

TEST(Review, AWorldThatCannotBeAskedDecidesNothing) {
  FixedWorld world;
  world.failure = Status(Code::kUnavailable, "no answer");
  EXPECT_EQ(review(question("Stream", stream(3)), world).code(), Code::kUnavailable);
}

TEST(Review, WhatIsNoReviewIsRefused) {
  FixedWorld world;
  for (const Json& bad :
       {Json(), Json::array(), Json::object(), Json{{"apiVersion", 1}, {"kind", "AdmissionReview"}},
        Json{{"apiVersion", "admission.k8s.io/v1"}, {"kind", "AdmissionReview"}, {"request", 3}},
        question("Pod", Json::object())}) {
    EXPECT_EQ(review(bad, world).code(), Code::kInvalidArgument) << bad.dump();
  }
  auto deletion = question("Stream", nullptr);
  deletion["request"]["operation"] = "DELETE";
  EXPECT_TRUE(review(deletion, world).ok());
  auto broken = question("Stream", {{"spec", {{"partitions", "many"}}}});
  EXPECT_EQ(review(broken, world).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace sluice_operator::admission
