// Command lines: options before, between and after words; help at every level; errors that say
// what to do.
#include "broker/cli/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace broker::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<Command> commands() {
  auto run = [](const Arguments&) -> Result<int> { return 0; };
  return {
      {"produce", {"STREAM"}, "Publish lines", {{"key", "K", "a key"}, {"quiet", "", "less"}},
       {"sluice produce flights"}, run},
      {"stream create", {"NAME"}, "Make a stream", {{"partitions", "N", "how many"}}, {}, run},
      {"stream list", {}, "List streams", {}, {"sluice stream list"}, run},
      {"rebalance", {}, "Show it", {{"namespace", "NS", "where"}}, {}, run},
      {"rebalance approve", {"ID"}, "Let it go", {}, {}, run},
  };
}

Result<Invocation> parse(std::vector<std::string> args) {
  static const auto all = commands();
  return parse_command_line(all, args);
}

TEST(Arguments, OptionsStandAnywhere) {
  auto got = parse({"--broker", "b:1", "stream", "-o=json", "create", "x", "--partitions=4"});
  ASSERT_FALSE(got.ok());  // -o takes its value as the next word
  got = parse({"--broker", "b:1", "stream", "-o", "json", "create", "x", "--partitions=4"});
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ(got->command->path, "stream create");
  EXPECT_EQ(got->arguments.word(0), "x");
  EXPECT_EQ(got->arguments.get("broker"), "b:1");
  EXPECT_TRUE(got->arguments.json());
  EXPECT_EQ(*got->arguments.number("partitions", 1, 1, 10), 4);
}

TEST(Arguments, ServerIsBrokerAndTheLastValueWins) {
  auto got = parse({"produce", "s", "--server", "a:1", "--key", "1", "--key", "2", "--quiet"});
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ(got->arguments.get("broker"), "a:1");
  EXPECT_EQ(got->arguments.get("key"), "2");
  EXPECT_THAT(got->arguments.all("key"), ElementsAre("1", "2"));
  EXPECT_TRUE(got->arguments.has("quiet"));
}

TEST(Arguments, ACommandMayBeTheBeginningOfAnother) {
  auto got = parse({"rebalance", "-n", "apps"});
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ(got->command->path, "rebalance");
  EXPECT_EQ(got->arguments.get("namespace"), "apps");
  got = parse({"rebalance", "approve", "1f2e"});
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ(got->command->path, "rebalance approve");
  EXPECT_EQ(got->arguments.word(0), "1f2e");
  EXPECT_THAT(parse({"rebalance", "later"}).status().message(), HasSubstr("too many words"));
  EXPECT_THAT(parse({"stream", "list", "-n", "x"}).status().message(),
              HasSubstr("unknown option --namespace"));
}

TEST(Arguments, WordsAfterTwoDashesAreNotOptions) {
  auto got = parse({"produce", "--", "--odd"});
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->arguments.word(0), "--odd");
}

TEST(Arguments, ErrorsSayWhereHelpIs) {
  EXPECT_THAT(parse({"produce"}).status().message(),
              HasSubstr("STREAM is missing: see `sluice produce --help`"));
  EXPECT_THAT(parse({"stream"}).status().message(), HasSubstr("`sluice stream --help`"));
  EXPECT_THAT(parse({"fly"}).status().message(), HasSubstr("unknown command 'fly'"));
  EXPECT_THAT(parse({"stream", "fly"}).status().message(), HasSubstr("'stream fly'"));
  EXPECT_THAT(parse({"produce", "s", "--kei", "x"}).status().message(), HasSubstr("--kei"));
  EXPECT_THAT(parse({"produce", "s", "--key"}).status().message(), HasSubstr("needs a value (K)"));
  EXPECT_THAT(parse({"produce", "s", "--quiet=1"}).status().message(), HasSubstr("no value"));
  EXPECT_THAT(parse({"produce", "s", "t"}).status().message(), HasSubstr("too many words"));
  EXPECT_THAT(parse({"stream", "list", "-o", "xml"}).status().message(), HasSubstr("json"));
  auto got = parse({"stream", "create", "x", "--partitions", "0"});
  ASSERT_TRUE(got.ok());
  EXPECT_THAT(got->arguments.number("partitions", 1, 1, 10).status().message(),
              HasSubstr("--partitions: '0' is not a whole number in 1..10"));
}

TEST(Arguments, HelpAtEveryLevel) {
  EXPECT_TRUE(parse({})->help);
  auto got = parse({"stream", "--help"});
  ASSERT_TRUE(got.ok());
  EXPECT_TRUE(got->help);
  EXPECT_EQ(got->topic, "stream");
  EXPECT_THAT(help_text(commands(), "stream"), HasSubstr("sluice stream create NAME"));
  EXPECT_THAT(help_text(commands(), "stream"), testing::Not(HasSubstr("produce")));
  EXPECT_THAT(help_text(commands(), ""), HasSubstr("sluice produce STREAM"));
  EXPECT_THAT(help_text(commands(), "produce"), HasSubstr("Examples:\n  sluice produce flights"));
  ASSERT_TRUE(parse({"produce", "--help"}).ok());  // no STREAM is needed to ask
}

}  // namespace
}  // namespace broker::cli
