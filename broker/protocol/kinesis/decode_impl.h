#pragma once
// Decoding and checking in one pass, for any message and either format. A body that is not even of
// the right types is a SerializationException at once; broken rules are collected, ten at most, and
// told together, as AWS tells them. Included by the generated table only.
#include <algorithm>
#include <bit>
#include <cmath>
#include <type_traits>

#include "broker/protocol/kinesis/cbor.h"
#include "broker/protocol/kinesis/codec.h"
#include "broker/protocol/kinesis/fields.h"
#include "broker/protocol/kinesis/json_value.h"

namespace broker::protocol::kinesis {

// Where a value stands, for "records.1.member.partitionKey". Lives on the decoder's stack: text is
// made of it only for an error.
struct Path {
  const Path* parent = nullptr;
  std::string_view name;
  size_t element = 0;  // of a list, from 1; 0: a struct's member
  bool is_root() const { return !parent && name.empty(); }
  std::string to_string() const;
};

class Decoding {
 public:
  // The body's types are wrong: ends the decoding.
  bool mismatch(Kind kind, Token token);
  bool not_a_blob(std::string_view text, std::string_view why);
  bool not_a_boolean(std::string_view text);
  void malformed() { malformed_ = true; }
  bool failed() const { return malformed_ || !serialization_.empty(); }

  // What is broken from here on belongs to the request's member of this number: AWS tells it in the
  // order of its own table, not of the body.
  void begin_member(size_t number);

  // Rules. `value` makes the text that the message shows.
  void broken(const Path& path, std::string_view value, std::string_view constraint,
              size_t position = SIZE_MAX);
  void missing(const Path& path, std::string_view member);
  size_t position() const { return broken_.size(); }
  void check_string(const Shape& shape, const std::string& value, const Path& path);
  void check_blob(const Shape& shape, const std::string& value, const Path& path);
  void check_number(const Shape& shape, int64_t value, const Path& path);
  // A list's or map's own length, and the rules of its scalar elements, which AWS tells of the
  // whole.
  void check_size(const Shape& shape, size_t size, const std::string& value, const Path& path,
                  size_t position);
  void check_elements(const Shape& element, bool ok, std::string_view prefix,
                      const std::string& value, const Path& path);
  static bool keeps(const Shape& shape, const std::string& value);
  static std::string quoted(std::string_view value);

  std::optional<Error> result() const;

 private:
  static constexpr size_t kBrokenMax = 10;
  bool malformed_ = false;
  std::string serialization_;
  std::vector<std::pair<size_t, std::string>> broken_;  // by member
  size_t member_ = 0, member_began_ = 0;                // the latter in broken_
};

template <class T>
concept Message = requires { Fields<T>::kName; };
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class K, class T>
struct IsMap<std::map<K, T>> : std::true_type {};

template <Message T, class V>
bool decode_struct(V& value, T& out, const Path& path, Decoding& decoding);
template <class T, class V>
bool decode_list(V& value, const Shape& shape, std::vector<T>& out, const Path& path,
                 Decoding& decoding);
template <class V>
bool decode_map(V& value, const Shape& shape, std::map<std::string, std::string>& out,
                const Path& path, Decoding& decoding);

inline bool fits(Kind kind, Token token) {
  switch (kind) {
    case Kind::kString:
      return token == Token::kString;
    case Kind::kBlob:
      return token == Token::kString || token == Token::kBytes;
    case Kind::kInteger:
    case Kind::kLong:
    case Kind::kTimestamp:
      return token == Token::kNumber;
    case Kind::kBoolean:
      return token == Token::kBoolean;
    case Kind::kList:
      return token == Token::kList;
    case Kind::kMap:
    case Kind::kStruct:
      return token == Token::kMap;
  }
  return false;
}

template <class V>
bool decode_scalar(V& value, const Shape& shape, std::string& out, Decoding& decoding) {
  if (shape.kind == Kind::kString) {
    if (value.string(out)) return true;
    decoding.malformed();
    return false;
  }
  std::string why;
  if (value.blob(out, why)) return true;
  if (why.empty()) decoding.malformed();
  return why.empty() ? false : decoding.not_a_blob(out, why);
}

template <class V, class T>
bool decode_value(V& value, const Shape& shape, T& out, const Path& path, Decoding& decoding) {
  if constexpr (IsOptional<T>::value) {
    return decode_value(value, shape, out.emplace(), path, decoding);
  } else {
    if constexpr (std::is_same_v<T, bool>) {
      if (value.token() == Token::kString) {  // "true" is as good as true
        std::string text;
        if (!value.string(text)) return decoding.malformed(), false;
        if (text == "true" || text == "false") return out = text == "true", true;
        return decoding.not_a_boolean(text);
      }
    }
    if (!fits(shape.kind, value.token())) return decoding.mismatch(shape.kind, value.token());
    if constexpr (Message<T>) {
      return decode_struct(value, out, path, decoding);
    } else if constexpr (IsVector<T>::value) {
      return decode_list(value, shape, out, path, decoding);
    } else if constexpr (IsMap<T>::value) {
      return decode_map(value, shape, out, path, decoding);
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (!decode_scalar(value, shape, out, decoding)) return false;
      if (shape.kind == Kind::kBlob) {
        decoding.check_blob(shape, out, path);
      } else {
        decoding.check_string(shape, out, path);
      }
    } else if constexpr (std::is_same_v<T, bool>) {
      out = value.boolean();
    } else if (shape.kind == Kind::kTimestamp) {
      out = static_cast<T>(value.time_ms());
    } else {
      // Fractions are cut and large numbers are as large as the type holds, as at AWS.
      int64_t number = value.number().integer;
      if constexpr (sizeof(T) == 4) {
        number = std::clamp<int64_t>(number, INT32_MIN, INT32_MAX);
      }
      out = static_cast<T>(number);
      decoding.check_number(shape, out, path);
    }
    if (value.malformed()) decoding.malformed();
    return !decoding.failed();
  }
}

template <Message T, class V>
bool decode_member(std::string_view key, V& value, T& out, const Path& path, Decoding& decoding,
                   uint32_t& present) {
  bool known = false, ok = true;
  uint32_t bit = 1;
  Fields<T>::each(out, [&](const Member& member, auto& field) {
    if (!known && member.name == key) {
      known = true;
      present |= bit;
      if (path.is_root()) decoding.begin_member(static_cast<size_t>(std::countr_zero(bit)));
      ok = decode_value(value, member.shape, field, Path{&path, member.name}, decoding);
    }
    bit <<= 1;
  });
  if (!known) value.skip();
  return ok;
}

// Reports what is required and has not come.
template <Message T>
void check_presence(T& out, uint32_t present, const Path& path, Decoding& decoding) {
  uint32_t bit = 1;
  bool named = false;
  Fields<T>::each(out, [&](const Member& member, auto&) {
    if (path.is_root()) decoding.begin_member(static_cast<size_t>(std::countr_zero(bit)));
    if (member.required && !(present & bit)) decoding.missing(path, member.name);
    named |= (present & bit) && (member.name == "StreamName" || member.name == "StreamARN");
    bit <<= 1;
  });
  if (Fields<T>::kNamed && !named) decoding.missing(path, "StreamName");
}

template <Message T, class V>
bool decode_struct(V& value, T& out, const Path& path, Decoding& decoding) {
  uint32_t present = 0;
  bool ok = value.each_member([&](std::string_view key, V& member) {
    if (member.token() == Token::kNull) return true;
    return decode_member(key, member, out, path, decoding, present);
  });
  if (!ok) {
    if (!decoding.failed()) decoding.malformed();
    return false;
  }
  check_presence(out, present, path, decoding);
  return true;
}

// Of a list or a map that is too long, as an error repeats it.
constexpr size_t kTextMax = 64 << 10;

// "[a, b]" as Java prints a list.
template <class T>
std::string list_text(const std::vector<T>& elements, size_t count) {
  std::string text;
  for (size_t i = 0; i < count && text.size() < kTextMax; ++i) {
    if (i > 0) text += ", ";
    if constexpr (Message<T>) {
      text += "com.amazonaws.kinesis.v20131202." + std::string(Fields<T>::kName) + "@c965e310";
    } else if (i < elements.size()) {
      text += elements[i];
    }
  }
  return "[" + text + "]";
}

// Keeps no more elements than the list may have, and of scalars what an error repeats: the rest are
// counted only.
template <class T, class V>
bool decode_list(V& value, const Shape& shape, std::vector<T>& out, const Path& path,
                 Decoding& decoding) {
  constexpr bool kScalar = std::is_same_v<T, std::string>;
  const size_t position = decoding.position();
  size_t count = 0, told = 0;
  bool elements_ok = true;
  out.clear();
  bool ok = value.each_element([&](V& element) {
    ++count;
    const bool too_many = static_cast<int64_t>(count) > shape.max;
    if (too_many && (!kScalar || told > kTextMax)) return element.skip(), true;
    Path here{&path, {}, count};
    if (element.token() == Token::kNull) {
      decoding.missing(here, {});
      return true;
    }
    if constexpr (kScalar) {
      if (!fits(shape.element->kind, element.token())) {
        return decoding.mismatch(shape.element->kind, element.token());
      }
      if (!decode_scalar(element, *shape.element, out.emplace_back(), decoding)) return false;
      told += out.back().size() + 2;
      elements_ok &= Decoding::keeps(*shape.element, out.back());
      return true;
    } else {
      return decode_value(element, *shape.element, out.emplace_back(), here, decoding);
    }
  });
  if (!ok) {
    if (!decoding.failed()) decoding.malformed();
    return false;
  }
  bool sized = static_cast<int64_t>(count) >= shape.min && static_cast<int64_t>(count) <= shape.max;
  if (sized && elements_ok) return true;
  std::string text = list_text(out, count);
  decoding.check_size(shape, count, text, path, position);
  if (kScalar) {
    decoding.check_elements(*shape.element, elements_ok, "Member must satisfy constraint: ", text,
                            path);
  }
  return true;
}

template <class V>
bool decode_map(V& value, const Shape& shape, std::map<std::string, std::string>& out,
                const Path& path, Decoding& decoding) {
  bool keys_ok = true, values_ok = true;
  const size_t position = decoding.position();
  size_t count = 0, told = 0;
  out.clear();
  bool ok = value.each_member([&](std::string_view key, V& element) {
    ++count;
    if (static_cast<int64_t>(count) > shape.max && told > kTextMax) return element.skip(), true;
    std::string& text = out[std::string(key)];
    keys_ok &= Decoding::keeps(*shape.key, std::string(key));
    if (element.token() == Token::kNull) return true;
    if (!fits(shape.element->kind, element.token())) {
      return decoding.mismatch(shape.element->kind, element.token());
    }
    if (!decode_scalar(element, *shape.element, text, decoding)) return false;
    values_ok &= Decoding::keeps(*shape.element, text);
    told += key.size() + text.size() + 3;
    return true;
  });
  if (!ok) {
    if (!decoding.failed()) decoding.malformed();
    return false;
  }
  std::string text;
  for (const auto& [key, element] : out) text += (text.empty() ? "" : ", ") + key + "=" + element;
  text = "{" + text + "}";
  decoding.check_size(shape, count, text, path, position);
  decoding.check_elements(*shape.key, keys_ok, "Map keys must satisfy constraint: ", text, path);
  decoding.check_elements(*shape.element, values_ok, "Map value must satisfy constraint: ", text,
                          path);
  return true;
}

// A body of JSON, walked in place. One parser a thread: it keeps its memory for the next body.
template <Message T>
void decode_json(std::string& body, T& out, Decoding& decoding) {
  static thread_local simdjson::ondemand::parser parser;
  body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  simdjson::ondemand::document document;
  simdjson::ondemand::object object;
  if (parser.iterate(simdjson::padded_string_view(body.data(), body.size(), body.capacity()))
          .get(document) ||
      document.get_object().get(object)) {
    return decoding.malformed();
  }
  uint32_t present = 0;
  Path root;
  bool malformed = false;
  bool ok = JsonValue::walk_object(object, malformed, [&](std::string_view key, JsonValue& value) {
    if (value.token() == Token::kNull) return true;
    return decode_member(key, value, out, root, decoding, present);
  });
  // Nothing stands behind the object.
  bool whole = document.current_location().error() == simdjson::OUT_OF_BOUNDS;
  if (malformed || (ok && !whole)) return decoding.malformed();
  if (ok) check_presence(out, present, root, decoding);
}

template <Message T>
void decode_cbor(const std::string& body, T& out, Decoding& decoding) {
  CborReader reader(body);
  CborValue value(reader, 0);
  Path root;
  if (!reader.ok() || value.token() != Token::kMap) return decoding.malformed();
  if (decode_struct(value, out, root, decoding) && !reader.at_end()) decoding.malformed();
}

template <Message T>
std::optional<Error> decode_body(Format format, std::string& body, T& out) {
  Decoding decoding;
  if (format == Format::kJson) {
    decode_json(body, out, decoding);
  } else {
    decode_cbor(body, out, decoding);
  }
  return decoding.result();
}

template <class T>
std::optional<Error> decode_message(Format format, std::string& body, T& out) {
  out = {};
  if (body.empty()) return std::nullopt;  // of an operation without members
  return decode_body(format, body, out);
}

}  // namespace broker::protocol::kinesis
