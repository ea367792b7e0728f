#include "broker/groups/core/format.h"

#include "broker/base/bytes.h"

namespace broker::groups {
namespace {

constexpr uint8_t kVersion = 1;

// One description of each layout for both directions: `Out` appends, `In` reads the same fields.
class Out {
 public:
  explicit Out(std::string& bytes) : out_(bytes) { out_.u8(kVersion); }
  void operator()(const int32_t& v) { out_.i32(v); }
  void operator()(const int64_t& v) { out_.i64(v); }
  void operator()(const uint64_t& v) { out_.u64(v); }
  void operator()(const Uuid& v) { out_.uuid(v); }
  void operator()(const MemberState& v) { out_.u8(static_cast<uint8_t>(v)); }
  void operator()(const std::string& v) {
    out_.uvarint32(static_cast<uint32_t>(v.size()));
    out_.bytes(v);
  }
  template <class T>
  void operator()(const std::optional<T>& v) {
    out_.u8(v ? 1 : 0);
    if (v) (*this)(*v);
  }
  template <class T>
  void operator()(const std::vector<T>& v) {
    all(v);
  }
  template <class T>
  void operator()(const std::set<T>& v) {
    all(v);
  }
  template <class K, class V>
  void operator()(const std::map<K, V>& v) {
    all(v);
  }
  template <class K, class V>
  void operator()(const std::pair<const K, V>& v) {
    (*this)(v.first);
    (*this)(v.second);
  }
  template <class T>
    requires std::is_class_v<T>
  void operator()(const T& v) {
    fields(*this, v);
  }

 private:
  template <class C>
  void all(const C& values) {
    out_.uvarint32(static_cast<uint32_t>(values.size()));
    for (const auto& value : values) (*this)(value);
  }
  ByteWriter out_;
};

class In {
 public:
  explicit In(std::string_view bytes) : in_(bytes) {
    if (in_.u8() != kVersion) in_.fail();
  }
  bool done() const { return in_.ok() && in_.remaining() == 0; }
  void operator()(int32_t& v) { v = in_.i32(); }
  void operator()(int64_t& v) { v = in_.i64(); }
  void operator()(uint64_t& v) { v = in_.u64(); }
  void operator()(Uuid& v) { v = in_.uuid(); }
  void operator()(MemberState& v) {
    uint8_t raw = in_.u8();
    if (raw > static_cast<uint8_t>(MemberState::kUnreleased)) return in_.fail();
    v = static_cast<MemberState>(raw);
  }
  void operator()(std::string& v) { v.assign(in_.bytes(in_.uvarint32())); }
  template <class T>
  void operator()(std::optional<T>& v) {
    v.reset();
    if (in_.u8() != 0) (*this)(v.emplace());
  }
  template <class T>
  void operator()(std::vector<T>& v) {
    for (size_t left = count(); left > 0 && in_.ok(); --left) (*this)(v.emplace_back());
  }
  template <class T>
  void operator()(std::set<T>& v) {
    for (size_t left = count(); left > 0 && in_.ok(); --left) {
      T value{};
      (*this)(value);
      v.insert(std::move(value));
    }
  }
  template <class K, class V>
  void operator()(std::map<K, V>& v) {
    for (size_t left = count(); left > 0 && in_.ok(); --left) {
      K key{};
      (*this)(key);
      (*this)(v[key]);
    }
  }
  template <class T>
    requires std::is_class_v<T>
  void operator()(T& v) {
    fields(*this, v);
  }

 private:
  // Every element takes a byte at least.
  size_t count() {
    size_t n = in_.uvarint32();
    if (n > in_.remaining()) in_.fail();
    return in_.ok() ? n : 0;
  }
  ByteReader in_;
};

// `Self` is a type that may be const.
template <class Self, class T>
concept Of = std::is_same_v<std::remove_const_t<Self>, T>;

template <class IO, Of<Protocol> T>
void fields(IO& io, T& v) {
  io(v.name), io(v.metadata);
}
template <class IO, Of<CommittedOffset> T>
void fields(IO& io, T& v) {
  io(v.offset), io(v.leader_epoch), io(v.metadata), io(v.commit_ms), io(v.expire_ms);
  io(v.topic_id);
}
template <class IO, Of<StoredClassicMember> T>
void fields(IO& io, T& v) {
  io(v.id), io(v.instance), io(v.client_id), io(v.client_host), io(v.rebalance_timeout_ms);
  io(v.session_timeout_ms), io(v.protocols), io(v.assignment);
}
template <class IO, Of<StoredClassicGroup> T>
void fields(IO& io, T& v) {
  io(v.protocol_type), io(v.protocol_name), io(v.leader), io(v.generation), io(v.state_ms);
  io(v.members);
}
template <class IO, Of<StoredConsumerGroup> T>
void fields(IO& io, T& v) {
  io(v.epoch), io(v.assignment_epoch), io(v.metadata_hash);
}
template <class IO, Of<ClassicPart> T>
void fields(IO& io, T& v) {
  io(v.session_timeout_ms), io(v.protocols);
}
template <class IO, Of<StoredConsumerMember> T>
void fields(IO& io, T& v) {
  io(v.instance), io(v.rack), io(v.assignor), io(v.client_id), io(v.client_host), io(v.regex);
  io(v.names), io(v.rebalance_timeout_ms), io(v.classic);
}
template <class IO, Of<StoredCurrentAssignment> T>
void fields(IO& io, T& v) {
  io(v.epoch), io(v.previous_epoch), io(v.state), io(v.assigned), io(v.revoking);
}

template <class T>
std::string encode(const T& value) {
  std::string bytes;
  Out out(bytes);
  out(value);
  return bytes;
}

template <class T>
Status decode(std::string_view bytes, T& out) {
  out = T{};
  In in(bytes);
  in(out);
  if (in.done()) return {};
  return Status(Code::kCorruption, "a group record that is damaged or of a later version");
}

bool has_name(RecordKind kind) {
  return kind != RecordKind::kClassicGroup && kind != RecordKind::kConsumerGroup;
}

}  // namespace

std::string encode_key(const RecordKey& key) {
  std::string bytes;
  ByteWriter out(bytes);
  auto text = [&](const std::string& v) {
    out.uvarint32(static_cast<uint32_t>(v.size()));
    out.bytes(v);
  };
  out.u8(static_cast<uint8_t>(key.kind));
  text(key.group);
  if (has_name(key.kind)) text(key.name);
  if (key.kind == RecordKind::kOffset) out.i32(key.partition);
  return bytes;
}

Result<RecordKey> decode_key(std::string_view bytes) {
  ByteReader in(bytes);
  RecordKey key;
  uint8_t kind = in.u8();
  if (!in.ok() || kind > static_cast<uint8_t>(RecordKind::kCurrentAssignment)) {
    return Status(Code::kCorruption, "a group record of an unknown kind");
  }
  key.kind = static_cast<RecordKind>(kind);
  key.group.assign(in.bytes(in.uvarint32()));
  if (has_name(key.kind)) key.name.assign(in.bytes(in.uvarint32()));
  if (key.kind == RecordKind::kOffset) key.partition = in.i32();
  if (!in.ok() || in.remaining() != 0) return Status(Code::kCorruption, "a damaged group record");
  return key;
}

std::string encode_value(const CommittedOffset& value) { return encode(value); }
std::string encode_value(const StoredClassicGroup& value) { return encode(value); }
std::string encode_value(const StoredConsumerGroup& value) { return encode(value); }
std::string encode_value(const StoredConsumerMember& value) { return encode(value); }
std::string encode_value(const StoredCurrentAssignment& value) { return encode(value); }
std::string encode_value(const Assignment& value) { return encode(value); }
Status decode_value(std::string_view b, CommittedOffset& out) { return decode(b, out); }
Status decode_value(std::string_view b, StoredClassicGroup& out) { return decode(b, out); }
Status decode_value(std::string_view b, StoredConsumerGroup& out) { return decode(b, out); }
Status decode_value(std::string_view b, StoredConsumerMember& out) { return decode(b, out); }
Status decode_value(std::string_view b, StoredCurrentAssignment& out) { return decode(b, out); }
Status decode_value(std::string_view b, Assignment& out) { return decode(b, out); }

}  // namespace broker::groups
