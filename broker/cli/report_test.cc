// What a report must not hold, and that what it holds is an archive that others can read.
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "broker/cli/archive.h"
#include "broker/cli/redact.h"

namespace broker::cli {
namespace {

using Json = nlohmann::json;

TEST(Redact, WhatPeoplePutWhereItDoesNotBelong) {
  Json pod = {
      {"kind", "Pod"},
      {"metadata",
       {{"annotations",
         {{"kubectl.kubernetes.io/last-applied-configuration", "{\"password\":\"hunter2\"}"},
          {"vault.example/token", "hunter2"},
          {"team", "streams"}}},
        {"managedFields", Json::array()}}},
      {"spec",
       {{"containers",
         {{{"env",
            {{{"name", "DB_PASSWORD"}, {"value", "hunter2"}},
             {{"name", "LEVEL"}, {"value", "info"}},
             {{"name", "API_TOKEN"}, {"valueFrom", {{"secretKeyRef", {{"name", "s"}}}}}}}},
           {"args", {"--url=https://ann:hunter2@example.org/x"}}}}}}}};
  redact(pod);
  const std::string text = pod.dump();
  EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
  EXPECT_NE(text.find("streams"), std::string::npos);
  EXPECT_NE(text.find("info"), std::string::npos);
  EXPECT_NE(text.find("secretKeyRef"), std::string::npos);
  EXPECT_EQ(text.find("managedFields"), std::string::npos);
}

TEST(Redact, TheDataOfSecretsAlsoInLists) {
  Json list = {{"kind", "List"},
               {"items",
                {{{"kind", "Secret"}, {"data", {{"a", "aHVudGVyMg=="}}}, {"stringData", {{"a", "x9y9"}}}},
                 {{"kind", "ConfigMap"}, {"data", {{"a", "kept"}}}}}}};
  redact(list);
  EXPECT_EQ(list.dump().find("aHVudGVyMg"), std::string::npos);
  EXPECT_EQ(list.dump().find("x9y9"), std::string::npos);
  EXPECT_NE(list.dump().find("kept"), std::string::npos);
}

TEST(Redact, UsersInUrlsOfLogs) {
  EXPECT_EQ(redact_text("dial http://u:p@w@h:9/x and https://h/y@z"),
            "dial http://(removed)@h:9/x and https://h/y@z");
  EXPECT_EQ(redact_text("://"), "://");
}

TEST(Archive, HeadersHaveTheirSumAndLongNamesAreCutAtASlash) {
  auto header = tar_header("a.txt", 5, 1'700'000'000);
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->size(), 512u);
  EXPECT_EQ(header->substr(257, 5), "ustar");
  EXPECT_EQ(header->substr(124, 11), "00000000005");
  const std::string folder(120, 'f'), file(90, 'n');
  header = tar_header(folder + "/" + file, 0, 0);
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->substr(0, 90), file);
  EXPECT_EQ(header->substr(345, 120), folder);
  EXPECT_FALSE(tar_header(std::string(101, 'x'), 0, 0).ok());
}

TEST(Archive, TarReadsItBack) {
  const std::string path = testing::TempDir() + "archive_test.tar.gz";
  auto archive = Archive::create(path, "folder", 1'700'000'000);
  ASSERT_TRUE(archive.ok());
  ASSERT_TRUE(archive->add("one", "first\n").ok());
  ASSERT_TRUE(archive->add("deep/two", std::string(5000, 'x')).ok());
  ASSERT_TRUE(archive->finish().ok());
  const std::string test = "test \"$(tar -xzOf '" + path + "' folder/one)\" = first && "
                           "test $(tar -xzOf '" + path + "' folder/deep/two | wc -c) = 5000";
  EXPECT_EQ(std::system(test.c_str()), 0);
  EXPECT_FALSE(Archive::create("/nonexistent/x", "f", 0).ok());
}

}  // namespace
}  // namespace broker::cli
