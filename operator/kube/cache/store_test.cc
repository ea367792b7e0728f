// What a cache tells its handlers: each real change once, whether it came by event or by list.
#include "operator/kube/cache/store.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice_operator::kube {
namespace {

Json object(const std::string& name, int version, const std::string& ns = "ns") {
  return {{"metadata",
           {{"namespace", ns}, {"name", name}, {"resourceVersion", std::to_string(version)}}}};
}

std::vector<Change> list(Store& store, const std::vector<Json>& objects, const std::string& ns = "") {
  std::vector<Store::Item> items;
  for (const auto& one : objects) items.push_back(store.pack(one));
  return store.replace_all(std::move(items), ns);
}

TEST(Store, ListsAndEventsGiveChangesOnce) {
  Store store;
  EXPECT_EQ(list(store, {object("a", 1), object("b", 2)}).size(), 2u);
  EXPECT_TRUE(list(store, {object("a", 1), object("b", 2)}).empty());
  EXPECT_TRUE(store.upsert(object("a", 1)).empty());
  auto changed = store.upsert(object("a", 3));
  ASSERT_EQ(changed.size(), 1u);
  EXPECT_EQ(changed[0].before->version, "1");
  auto listed = list(store, {object("a", 3), object("c", 4)});
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_FALSE(listed[0].before);  // c is new
  EXPECT_FALSE(listed[1].after);   // b is gone, though no event said so
  EXPECT_EQ(store.remove({"ns", "c"}).size(), 1u);
  EXPECT_TRUE(store.remove({"ns", "c"}).empty());
  EXPECT_EQ(store.keys(), (std::vector<ObjectKey>{{"ns", "a"}}));
}

TEST(Store, AListOfOneNamespaceLeavesTheOthersAlone) {
  Store store;
  list(store, {object("a", 1, "other")}, "other");
  EXPECT_EQ(list(store, {object("a", 1)}, "ns").size(), 1u);
  EXPECT_EQ(store.size(), 2u);
  EXPECT_EQ(list(store, {}, "ns").size(), 1u);
  EXPECT_NE(store.get({"other", "a"}), nullptr);
}

TEST(Store, GivesObjectsBackAsTheyWere) {
  Store store;
  Json whole = object("a", 1);
  whole["spec"] = {{"brokers", 3}, {"ratio", 0.5}, {"names", {"a", "ü"}}, {"none", nullptr}};
  store.upsert(whole);
  EXPECT_EQ(*unpack(store.get({"ns", "a"})), whole);
  EXPECT_EQ(unpack(nullptr), nullptr);
}

// As trees of JSON, 1,000 clusters' children took more than the operator's whole limit.
TEST(Store, KeepsAnObjectInAFractionOfItsText) {
  Store store;
  size_t kept = 0, texts = 0;
  for (int number = 0; number < 20; ++number) {
    Json whole = object("object-" + std::to_string(number), 1);
    for (int i = 0; i < 100; ++i) whole["spec"]["field-" + std::to_string(i)] = "value";
    store.upsert(whole);
    kept += store.get({"ns", "object-" + std::to_string(number)})->object.bytes.capacity();
    texts += whole.dump().size();
  }
  EXPECT_LT(kept * 10, texts);
}

TEST(Store, FindsByGroupWhatIsThereNow) {
  Store store([](const Json& one) { return one["metadata"].value("group", std::string()); });
  auto grouped = [](Json one, const char* group) {
    one["metadata"]["group"] = group;
    return one;
  };
  list(store, {grouped(object("a", 1), "x"), grouped(object("b", 1), "x"),
               grouped(object("c", 1), "y"), object("d", 1),
               grouped(object("a", 1, "other"), "x")});
  EXPECT_EQ(store.grouped("ns", "x").size(), 2u);
  EXPECT_EQ(store.grouped("other", "x").size(), 1u);
  EXPECT_TRUE(store.grouped("ns", "z").empty());
  store.upsert(grouped(object("a", 2), "y"));
  EXPECT_EQ(store.grouped("ns", "x").size(), 1u);
  EXPECT_EQ(store.grouped("ns", "y").size(), 2u);
  store.remove({"ns", "b"});
  EXPECT_TRUE(store.grouped("ns", "x").empty());
}

TEST(Store, GivesAllKeysInOrder) {
  Store store;
  list(store, {object("b", 1), object("a", 1), object("z", 1, "before"), object("a", 1, "ns2")});
  EXPECT_EQ(store.keys(),
            (std::vector<ObjectKey>{{"before", "z"}, {"ns", "a"}, {"ns", "b"}, {"ns2", "a"}}));
}

}  // namespace
}  // namespace sluice_operator::kube
