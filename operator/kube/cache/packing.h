#pragma once
// Texts that are much alike, kept small: each compressed (Zstandard) by what the first of them holds, as
// objects of one kind share most of what they hold. Any thread.
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace sluice_operator::kube {

class Packing {
 public:
  // What the texts of one Packing are compressed by; lives as long as one of them does.
  struct Dictionary;
  struct Text {
    std::shared_ptr<const Dictionary> dictionary;
    std::string bytes;
  };
  Text pack(std::string_view text);

 private:
  std::mutex mutex_;
  std::shared_ptr<const Dictionary> dictionary_;  // null before the first text
};

std::string unpack(const Packing::Text& text);

}  // namespace sluice_operator::kube
