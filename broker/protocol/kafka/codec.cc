#include "broker/protocol/kafka/codec.h"

#include <algorithm>

namespace broker::protocol::kafka {

size_t Records::size() const {
  size_t size = 0;
  for (const Buffer& piece : pieces) size += piece.size();
  return size;
}

std::string Records::flatten() const {
  std::string all;
  all.reserve(size());
  for (const Buffer& piece : pieces) all.append(piece.view());
  return all;
}

Reader::Reader(const Buffer& frame, std::string_view bytes)
    : in_(bytes),
      frame_(&frame),
      own_budget_(bytes.size() * kBudgetFactor + kBudgetFloor),
      budget_(&own_budget_) {}

bool Reader::charge(size_t bytes) {
  if (bytes > *budget_) {
    fail();
    return false;
  }
  *budget_ -= bytes;
  return true;
}

// -1 is null. Compact lengths are one more than they say.
int64_t Reader::length(bool flexible, bool is_short) {
  if (flexible) return static_cast<int64_t>(in_.uvarint32()) - 1;
  return is_short ? in_.i16() : in_.i32();
}

void Reader::string(bool flexible, std::string& out) {
  int64_t size = length(flexible, true);
  // A failed read gives length 0 or -1, so ask ok() first to keep `out` empty.
  if (!ok() || size < 0 || size > INT16_MAX) return fail();
  out.assign(in_.bytes(static_cast<size_t>(size)));
}

void Reader::string(bool flexible, bool nullable, std::optional<std::string>& out) {
  int64_t size = length(flexible, true);
  if (!ok() || size < -1 || size > INT16_MAX || (size == -1 && !nullable)) return fail();
  if (size == -1) {
    out.reset();
  } else {
    out.emplace(in_.bytes(static_cast<size_t>(size)));
  }
}

void Reader::bytes(bool flexible, std::string& out) {
  int64_t size = length(flexible, false);
  if (!ok() || size < 0) return fail();
  out.assign(in_.bytes(static_cast<size_t>(size)));
}

void Reader::bytes(bool flexible, bool nullable, std::optional<std::string>& out) {
  int64_t size = length(flexible, false);
  if (!ok() || size < -1 || (size == -1 && !nullable)) return fail();
  if (size == -1) return out.reset();
  out.emplace(in_.bytes(static_cast<size_t>(size)));
}

void Reader::records(bool flexible, bool nullable, std::optional<Records>& out) {
  int64_t size = length(flexible, false);
  if (!ok() || size < -1 || (size == -1 && !nullable)) return fail();
  if (size == -1) return out.reset();
  std::string_view bytes = in_.bytes(static_cast<size_t>(size));
  if (!ok()) return;
  out.emplace();
  if (!bytes.empty()) {
    out->pieces.push_back(
        frame_->slice(static_cast<size_t>(bytes.data() - frame_->data()), bytes.size()));
  }
}

int64_t Reader::array(bool flexible, bool nullable, size_t wire_size_min, size_t memory_size) {
  int64_t count = length(flexible, false);
  if (!ok()) return 0;
  if (count == -1 && nullable) return -1;
  if (count < 0 || static_cast<uint64_t>(count) > remaining() / wire_size_min ||
      !charge(static_cast<size_t>(count) * memory_size)) {
    fail();
    return 0;
  }
  return count;
}

bool Reader::present() {
  int8_t marker = i8();
  if (marker != 1 && marker != -1) fail();
  return ok() && marker == 1;
}

uint32_t Reader::tag_count() {
  uint32_t count = in_.uvarint32();
  if (!ok() || count > remaining() / 2) {
    fail();
    return 0;
  }
  return count;
}

uint32_t Reader::tag_id(int64_t previous) {
  uint32_t tag = in_.uvarint32();
  if (static_cast<int64_t>(tag) <= previous) fail();
  return tag;
}

std::string_view Reader::tag_data() {
  uint32_t size = in_.uvarint32();
  return in_.bytes(size);
}

void Reader::keep_unknown(UnknownTags& tags, uint32_t tag, std::string_view data) {
  if (ok() && charge(2 * sizeof(UnknownTag))) tags.push_back({tag, std::string(data)});
}

void Reader::unknown_tags(UnknownTags& tags) {
  int64_t previous = -1;
  for (uint32_t left = tag_count(); left > 0 && ok(); --left) {
    uint32_t tag = tag_id(previous);
    previous = tag;
    keep_unknown(tags, tag, tag_data());
  }
}

void Writer::string(bool flexible, std::string_view v) {
  v = v.substr(0, INT16_MAX);  // the longest that any client reads
  if (flexible) {
    out_.uvarint32(static_cast<uint32_t>(v.size()) + 1);
  } else {
    out_.i16(static_cast<int16_t>(v.size()));
  }
  out_.bytes(v);
}

void Writer::string(bool flexible, bool nullable, const std::optional<std::string>& v) {
  if (v || !nullable) return string(flexible, v ? std::string_view(*v) : std::string_view());
  if (flexible) {
    out_.uvarint32(0);
  } else {
    out_.i16(-1);
  }
}

void Writer::bytes(bool flexible, std::string_view v) {
  array(flexible, v.size());
  out_.bytes(v);
}

void Writer::bytes(bool flexible, bool nullable, const std::optional<std::string>& v) {
  if (!v) return null_array(flexible, nullable);
  bytes(flexible, std::string_view(*v));
}

void Writer::records(bool flexible, bool nullable, const std::optional<Records>& v) {
  if (!v && nullable) return null_array(flexible, true);
  array(flexible, v ? v->size() : 0);
  if (!v) return;
  for (const Buffer& piece : v->pieces) {
    if (piece.empty()) continue;
    splices_.push_back({bytes_.size(), piece});
    spliced_bytes_ += piece.size();
  }
}

void Writer::array(bool flexible, size_t count) {
  if (flexible) {
    out_.uvarint32(static_cast<uint32_t>(count) + 1);
  } else {
    out_.i32(static_cast<int32_t>(count));
  }
}

void Writer::null_array(bool flexible, bool nullable) {
  if (!nullable) return array(flexible, 0);
  if (flexible) {
    out_.uvarint32(0);
  } else {
    out_.i32(-1);
  }
}

std::vector<Buffer> Writer::take() {
  std::vector<Buffer> pieces;
  pieces.reserve(2 * splices_.size() + 1);
  Buffer all = Buffer::from_string(std::move(bytes_));
  size_t at = 0;
  for (Splice& splice : splices_) {
    if (splice.at > at) pieces.push_back(all.slice(at, splice.at - at));
    at = splice.at;
    pieces.push_back(std::move(splice.data));
  }
  if (all.size() > at) pieces.push_back(all.slice(at, all.size() - at));
  bytes_.clear();
  splices_.clear();
  spliced_bytes_ = 0;
  return pieces;
}

std::string Writer::take_flat() {
  if (splices_.empty()) return std::exchange(bytes_, {});
  return Records{take()}.flatten();
}

void TagWriter::finish(const UnknownTags& unknown) {
  fields_.insert(fields_.end(), unknown.begin(), unknown.end());
  std::sort(fields_.begin(), fields_.end(),
            [](const UnknownTag& a, const UnknownTag& b) { return a.tag < b.tag; });
  out_.uvarint(static_cast<uint32_t>(fields_.size()));
  for (const UnknownTag& field : fields_) {
    out_.uvarint(field.tag);
    out_.uvarint(static_cast<uint32_t>(field.data.size()));
    out_.raw(field.data);
  }
}

}  // namespace broker::protocol::kafka
