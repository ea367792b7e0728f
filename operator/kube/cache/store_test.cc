// What a cache tells its handlers: each real change once, whether it came by event or by list.
#include "operator/kube/cache/store.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice_operator::kube {
namespace {

Json object(const std::string& name, int version) {
  return {{"metadata",
           {{"namespace", "ns"}, {"name", name}, {"resourceVersion", std::to_string(version)}}}};
}

TEST(Store, ListsAndEventsGiveChangesOnce) {
  Store store;
  EXPECT_EQ(store.replace_all({object("a", 1), object("b", 2)}).size(), 2u);
  EXPECT_TRUE(store.replace_all({object("a", 1), object("b", 2)}).empty());
  EXPECT_TRUE(store.upsert(object("a", 1)).empty());
  auto changed = store.upsert(object("a", 3));
  ASSERT_EQ(changed.size(), 1u);
  EXPECT_EQ(metadata_text(*changed[0].before, "resourceVersion"), "1");
  auto listed = store.replace_all({object("a", 3), object("c", 4)});
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_FALSE(listed[0].before);  // c is new
  EXPECT_FALSE(listed[1].after);   // b is gone, though no event said so
  EXPECT_EQ(store.remove({"ns", "c"}).size(), 1u);
  EXPECT_TRUE(store.remove({"ns", "c"}).empty());
  EXPECT_EQ(store.all("").size(), 1u);
  EXPECT_TRUE(store.all("other").empty());
}

TEST(Store, AListOfOneNamespaceLeavesTheOthersAlone) {
  Store store;
  Json elsewhere = object("a", 1);
  elsewhere["metadata"]["namespace"] = "other";
  store.replace_all({elsewhere}, "other");
  EXPECT_EQ(store.replace_all({object("a", 1)}, "ns").size(), 1u);
  EXPECT_EQ(store.size(), 2u);
  EXPECT_EQ(store.replace_all({}, "ns").size(), 1u);
  EXPECT_NE(store.get({"other", "a"}), nullptr);
}

}  // namespace
}  // namespace sluice_operator::kube
