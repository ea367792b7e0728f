#include "broker/server/kafka/frame_reader.h"

#include <algorithm>
#include <cstring>

namespace broker::server::kafka {

FrameReader::Space FrameReader::space() const {
  if (length_bytes_ < sizeof length_) return {};
  return {data_.get() + used_, capacity_ - used_};
}

Status FrameReader::begin() {
  int32_t size = load_be<int32_t>(length_);
  if (size < 0 || static_cast<size_t>(size) > frame_bytes_max_) {
    return Status(Code::kTooLarge, "a frame of " + std::to_string(size) + " bytes; the limit is " +
                                       std::to_string(frame_bytes_max_));
  }
  size_ = static_cast<size_t>(size);
  used_ = 0;
  capacity_ = std::min(size_, kFirstCapacity);
  data_ = std::make_shared_for_overwrite<char[]>(capacity_);
  return {};
}

void FrameReader::grow(size_t capacity) {
  auto data = std::make_shared_for_overwrite<char[]>(capacity);
  std::memcpy(data.get(), data_.get(), used_);
  data_ = std::move(data);
  capacity_ = capacity;
}

Status FrameReader::feed(std::string_view& bytes) {
  if (length_bytes_ < sizeof length_) {
    size_t more = std::min(sizeof length_ - length_bytes_, bytes.size());
    std::memcpy(length_ + length_bytes_, bytes.data(), more);
    length_bytes_ += more;
    bytes.remove_prefix(more);
    if (length_bytes_ < sizeof length_) return {};
    RETURN_IF_ERROR(begin());
  }
  while (!bytes.empty() && used_ < size_) {
    if (used_ == capacity_) grow(std::min(size_, capacity_ * 2));
    size_t more = std::min(capacity_ - used_, bytes.size());
    std::memcpy(data_.get() + used_, bytes.data(), more);
    used_ += more;
    bytes.remove_prefix(more);
  }
  return {};
}

std::optional<Buffer> FrameReader::take() {
  if (length_bytes_ < sizeof length_) return std::nullopt;
  if (used_ < size_) {
    if (used_ == capacity_) grow(std::min(size_, capacity_ * 2));  // room for the next read
    return std::nullopt;
  }
  length_bytes_ = 0;
  std::string_view view(data_.get(), size_);
  return Buffer(std::shared_ptr<const void>(std::exchange(data_, nullptr)), view);
}

}  // namespace broker::server::kafka
