// Every method of the native API as mallory and as root: the methods are the service's own, from its
// descriptor.
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "broker/server/grpc/caller.h"
#include "tests/access/people.h"

namespace sluice_tests {
namespace {

namespace v1 = ::sluice::v1;
using broker::Code;
using broker::Status;
using broker::server::grpc::Claim;
using broker::server::grpc::Gate;

template <class Request, class Name>
std::function<Status(Gate&, const Claim&)> ask(Name set_name) {
  return [set_name](Gate& gate, const Claim& claim) {
    Request request;
    set_name(request);
    return gate.check(claim, request);
  };
}

struct Row {
  std::function<Status(Gate&, const Claim&)> ask;
  bool open = false;  // nobody is refused: the answer leaves out what may not be described
};

const std::map<std::string, Row>& rows() {
  auto name = [](auto& request) { request.set_name("secret"); };
  auto stream = [](auto& request) { request.set_stream("secret"); };
  auto nothing = [](auto&) {};
  static const std::map<std::string, Row> all{
      {"CreateStream", {ask<v1::CreateStreamRequest>(name)}},
      {"DeleteStream", {ask<v1::DeleteStreamRequest>(name)}},
      {"UpdateStream", {ask<v1::UpdateStreamRequest>(name)}},
      {"DescribeStream", {ask<v1::DescribeStreamRequest>(name)}},
      {"SplitShard", {ask<v1::SplitShardRequest>(stream)}},
      {"MergeShards", {ask<v1::MergeShardsRequest>(stream)}},
      {"PlaceShard", {ask<v1::PlaceShardRequest>(stream)}},
      {"DescribeBill", {ask<v1::DescribeBillRequest>(stream)}},
      {"Publish", {ask<v1::PublishRequest>(stream)}},
      {"Subscribe", {ask<v1::SubscribeRequest>(stream)}},
      {"ListStreams", {ask<v1::ListStreamsRequest>(nothing), true}},
      {"DescribeCluster", {ask<v1::DescribeClusterRequest>(nothing), true}},
  };
  return all;
}

TEST(GrpcParity, EveryMethodIsDeniedToMalloryAndServedToRoot) {
  broker::security::Authorizer authorizer;
  authorizer.update(denied_and_super());
  Gate gate(&authorizer);
  Claim mallory, root;
  mallory.certificate_name = "mallory";
  root.certificate_name = "root";
  const auto* service = v1::PublishRequest::descriptor()->file()->FindServiceByName("Sluice");
  ASSERT_NE(service, nullptr);
  ASSERT_GT(service->method_count(), 0);
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string name = service->method(i)->name();
    auto row = rows().find(name);
    ASSERT_NE(row, rows().end()) << name << " has no row: say what right it asks for";
    EXPECT_EQ(row->second.ask(gate, mallory).code(),
              row->second.open ? Code::kOk : Code::kPermissionDenied)
        << name;
    EXPECT_TRUE(row->second.ask(gate, root).ok()) << name;
  }
}

TEST(GrpcParity, ListsLeaveOutWhatMayNotBeDescribed) {
  broker::security::Authorizer authorizer;
  authorizer.update(denied_and_super());
  Gate gate(&authorizer);
  v1::ListStreamsResponse response;
  response.add_streams()->set_name("secret");
  v1::ListStreamsResponse all = response;
  Claim mallory, root;
  mallory.certificate_name = "mallory";
  root.certificate_name = "root";
  gate.filter(mallory, response);
  gate.filter(root, all);
  EXPECT_EQ(response.streams_size(), 0);
  EXPECT_EQ(all.streams_size(), 1);
}

}  // namespace
}  // namespace sluice_tests
