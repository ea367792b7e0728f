#pragma once
// What api.schema says of one shape, as data for the codecs. Constants made by generate.py.
#include <cstdint>
#include <string_view>
#include <vector>

namespace broker::protocol::kinesis {

enum class Kind : uint8_t {
  kString, kBlob, kInteger, kLong, kBoolean, kTimestamp, kList, kMap, kStruct
};

struct Shape {
  Kind kind;
  std::string_view name;
  int64_t min = INT64_MIN;  // of a length or a value
  int64_t max = INT64_MAX;
  std::string_view pattern = {};  // as AWS prints it
  bool (*matches)(std::string_view) = nullptr;
  std::vector<std::string_view> words = {};  // of an enum
  const Shape* element = nullptr;            // of a list, or a map's values
  const Shape* key = nullptr;
};

// One member of a struct.
struct Member {
  std::string_view name;
  const Shape& shape;
  bool required;
};

}  // namespace broker::protocol::kinesis
