#include "operator/kube/cache/packing.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <random>
#include <thread>
#include <vector>

namespace sluice_operator::kube {
namespace {

std::string like_others(int number) {
  std::string text = "name: object-" + std::to_string(number);
  for (const char* field : {"apiVersion", "creationTimestamp", "generation", "labels", "finalizers",
                            "observedGeneration", "lastTransitionTime", "deletionPolicy"}) {
    text += std::string("; ") + field + ": " + std::to_string(number % 7);
  }
  return text;
}

TEST(Packing, GivesBackEveryText) {
  Packing packing;
  std::mt19937 random(20261129);
  std::vector<std::pair<std::string, Packing::Text>> kept;
  for (size_t size : {0u, 1u, 700u, 40'000u, 3u, 2'000'000u}) {
    std::string noise(size, ' ');
    for (char& c : noise) c = static_cast<char>(random());
    for (const std::string& text : {like_others(static_cast<int>(size)), noise, std::string(size, 'a')}) {
      kept.emplace_back(text, packing.pack(text));
    }
  }
  for (const auto& [text, packed] : kept) EXPECT_EQ(unpack(packed), text);
}

TEST(Packing, GivesBackTextsWhenTheFirstWasEmpty) {
  Packing packing;
  EXPECT_EQ(unpack(packing.pack("")), "");
  EXPECT_EQ(unpack(packing.pack(like_others(1))), like_others(1));
}

TEST(Packing, TextsThatAreAlikeTakeAFractionOfTheirSize) {
  Packing packing;
  packing.pack(like_others(1));
  EXPECT_LT(packing.pack(like_others(2345)).bytes.size() * 3, like_others(2345).size());
}

TEST(Packing, ATextOutlivesThePacking) {
  std::optional<Packing> packing(std::in_place);
  packing->pack(like_others(1));
  const auto packed = packing->pack(like_others(2));
  packing.reset();
  EXPECT_EQ(unpack(packed), like_others(2));
}

TEST(Packing, ManyThreadsPackAndUnpackAtOnce) {
  Packing packing;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; thread++) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 500; i++) {
        const auto text = like_others(1000 * thread + i);
        if (unpack(packing.pack(text)) != text) wrong++;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace sluice_operator::kube
