#pragma once
// Random message contents for tests: the generated randomize_fields() fill exactly the fields that
// a version carries, so that decode(encode(m)) == m can be asked for every API and version.
#include <random>

#include "broker/protocol/kafka/codec.h"

namespace broker::protocol::kafka {

class Randomizer {
 public:
  explicit Randomizer(uint64_t seed) : engine_(seed) {}

  bool chance(uint32_t one_in) { return engine_() % one_in == 0; }
  void value(bool& v) { v = chance(2); }
  void value(int8_t& v) { v = static_cast<int8_t>(engine_()); }
  void value(int16_t& v) { v = static_cast<int16_t>(engine_()); }
  void value(int32_t& v) { v = static_cast<int32_t>(engine_()); }
  void value(int64_t& v) { v = static_cast<int64_t>(engine_()); }
  void value(uint16_t& v) { v = static_cast<uint16_t>(engine_()); }
  void value(double& v) { v = static_cast<double>(static_cast<int64_t>(engine_())) / 8; }
  void value(Uuid& v) { v = Uuid::from_random(engine_(), engine_()); }
  void value(std::string& v) { v = bytes(chance(16) ? 300 : 12); }
  void value(Records& v) {
    v.pieces.clear();
    for (int i = static_cast<int>(engine_() % 3); i >= 0; --i) {
      v.pieces.push_back(Buffer::from_string(bytes(200) + "x"));
    }
  }
  template <class T>
  std::vector<T>& sized(std::vector<T>& v) {
    v.resize(engine_() % 4);
    return v;
  }
  // A tag that no schema names.
  void unknown_tag(UnknownTags& tags) {
    tags.push_back({static_cast<uint32_t>(1000 + engine_() % 5000), bytes(20)});
  }
  std::string bytes(size_t size_max) {
    std::string v(engine_() % size_max, '\0');
    for (char& c : v) c = static_cast<char>(engine_());
    return v;
  }
  uint64_t next() { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace broker::protocol::kafka
