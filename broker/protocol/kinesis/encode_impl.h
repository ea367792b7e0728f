#pragma once
// Encoding of any message in either format. Included by the generated table only.
#include "broker/protocol/kinesis/decode_impl.h"

namespace broker::protocol::kinesis {

// Bytes that a message will take, roughly and rather too many, where a guess saves copies.
template <class T>
size_t size_guess(const T& message) {
  if constexpr (std::is_same_v<T, GetRecordsResponse>) {
    size_t bytes = 1024;
    for (const Record& record : message.records) {
      bytes += 256 + base64_size(record.data.size()) + record.partition_key.size();
    }
    return bytes;
  } else if constexpr (std::is_same_v<T, PutRecordsResponse>) {
    return 64 + 160 * message.records.size();
  } else {
    return 256;
  }
}

template <Message T, class Out>
void encode_struct(Out& out, const T& message) {
  size_t members = 0;
  Fields<T>::each(message, [&](const Member&, const auto& field) {
    if constexpr (IsOptional<std::decay_t<decltype(field)>>::value) {
      members += field.has_value();
    } else {
      ++members;
    }
  });
  out.begin_map(members);
  Fields<T>::each(message, [&](const Member& member, const auto& field) {
    if constexpr (IsOptional<std::decay_t<decltype(field)>>::value) {
      if (!field) return;
      out.key(member.name);
      encode_value(out, member.shape, *field);
    } else {
      out.key(member.name);
      encode_value(out, member.shape, field);
    }
  });
  out.end_map();
}

template <class Out, class T>
void encode_value(Out& out, const Shape& shape, const T& value) {
  if constexpr (Message<T>) {
    encode_struct(out, value);
  } else if constexpr (IsVector<T>::value) {
    out.begin_list(value.size());
    for (const auto& element : value) encode_value(out, *shape.element, element);
    out.end_list();
  } else if constexpr (IsMap<T>::value) {
    out.begin_map(value.size());
    for (const auto& [key, element] : value) {
      out.key(key);
      encode_value(out, *shape.element, element);
    }
    out.end_map();
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (shape.kind == Kind::kBlob) {
      out.blob(value);
    } else {
      out.string(value);
    }
  } else if constexpr (std::is_same_v<T, bool>) {
    out.boolean(value);
  } else if (shape.kind == Kind::kTimestamp) {
    out.time_ms(value);
  } else {
    out.integer(value);
  }
}

template <Message T, class Out>
std::string encode_with(const T& message) {
  Out out;
  out.reserve(size_guess(message));
  encode_struct(out, message);
  return out.take();
}

// A response without members has no body at all, as at AWS.
template <class T>
std::string encode(Format format, const T& message) {
  constexpr bool kResponse = requires { T::kOperation; } == false;
  if constexpr (kResponse && std::is_empty_v<T>) return {};
  return format == Format::kJson ? encode_with<T, JsonWriter>(message)
                                 : encode_with<T, CborWriter>(message);
}

}  // namespace broker::protocol::kinesis
