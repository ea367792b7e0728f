#pragma once
// What happened in a run, as a hash and, if asked for, as lines. Two runs of one seed have the same
// hash: that is the proof that a seed replays. Everything that the simulation decides goes in.
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>

namespace broker::sim {

class Trace {
 public:
  explicit Trace(bool verbose = false) : verbose_(verbose) {}
  void mix(uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001b3ULL + (hash_ >> 31); }
  void note(int64_t now_us, std::string_view text) {
    mix(static_cast<uint64_t>(now_us));
    for (char c : text) mix(static_cast<unsigned char>(c));
    if (verbose_) {
      std::printf("%10.3f %.*s\n", static_cast<double>(now_us) / 1e6, static_cast<int>(text.size()),
                  text.data());
    }
  }
  // One more fault of this kind.
  void count(const std::string& fault) { faults_[fault]++; }
  const std::map<std::string, uint64_t>& faults() const { return faults_; }
  uint64_t hash() const { return hash_; }
  bool verbose() const { return verbose_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325ULL;
  bool verbose_;
  std::map<std::string, uint64_t> faults_;
};

}  // namespace broker::sim
