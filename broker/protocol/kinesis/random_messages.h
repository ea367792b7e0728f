#pragma once
// Messages that keep every rule of api.schema, at random, for the tests of the codec.
#include <algorithm>
#include <random>
#include <type_traits>

#include "broker/protocol/kinesis/fields.h"

namespace broker::protocol::kinesis::testing {

class RandomMessages {
 public:
  explicit RandomMessages(uint64_t seed) : engine_(seed) {}

  template <class T>
  T make() {
    T message{};
    Fields<T>::each(message, [&](const Member& member, auto& field) {
      // A request that must be named always is.
      bool wanted = member.name == "StreamName" || below(2);
      fill(member.shape, field, wanted);
    });
    return message;
  }
  uint64_t below(uint64_t bound) { return engine_() % bound; }

 private:
  template <class T>
  void fill(const Shape& shape, std::optional<T>& out, bool wanted) {
    if (wanted) fill(shape, out.emplace(), true);
  }
  template <class T>
  void fill(const Shape& shape, std::vector<T>& out, bool) {
    size_t count = std::max<int64_t>(shape.min, 0) + below(3);
    while (out.size() < count) fill(*shape.element, out.emplace_back(), true);
  }
  void fill(const Shape& shape, std::map<std::string, std::string>& out, bool) {
    for (size_t i = 0; i <= below(3); ++i) {
      std::string key;
      fill(*shape.key, key, true);
      fill(*shape.element, out[key], true);
    }
  }
  void fill(const Shape& shape, std::string& out, bool) {
    if (!shape.words.empty()) {
      out = shape.words[below(shape.words.size())];
    } else if (shape.matches) {
      out = matching(shape);
    } else if (shape.kind == Kind::kBlob) {
      out.resize(below(40));
      for (char& c : out) c = static_cast<char>(below(256));
    } else {
      constexpr std::string_view kPieces[] = {"a", "\"", "\\", "\n", "é", "€", "🚀", " ", "=", "/"};
      do {
        out += kPieces[below(std::size(kPieces))];
      } while (below(6));
    }
  }
  template <class T>
  void fill(const Shape& shape, T& out, bool)
    requires std::is_arithmetic_v<T>
  {
    if constexpr (std::is_same_v<T, bool>) {
      out = below(2);
    } else if (shape.kind == Kind::kTimestamp) {
      out = static_cast<T>(below(4'000'000'000'000));
    } else {
      int64_t low = std::max<int64_t>(shape.min, -1000);
      int64_t high = std::min<int64_t>(shape.max, low + 100'000);
      out = static_cast<T>(low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low + 1))));
    }
  }
  template <class T>
  void fill(const Shape&, T& out, bool)
    requires requires { Fields<T>::kName; }
  {
    out = make<T>();
  }
  std::string matching(const Shape& shape) {
    for (std::string_view text :
         {"stream-1_x.y", "340282366920938463463374607431768211455", "abcdefghijklmnopqrst-123",
          "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
          "arn:aws:kinesis:eu-west-1:123456789012:stream/s/consumer/c:1700000000"}) {
      if (shape.matches(text)) return std::string(text);
    }
    return {};
  }

  std::mt19937_64 engine_;
};

}  // namespace broker::protocol::kinesis::testing
