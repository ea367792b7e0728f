#pragma once
// Cuts a connection's bytes into frames: a four-byte length and as many bytes. Memory grows with
// what has arrived, not with what a length claims; a finished frame owns exactly its bytes, so that
// a batch kept by the log keeps nothing else alive. No sockets here; one per connection.
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "broker/base/bytes.h"
#include "broker/base/status.h"

namespace broker::server::kafka {

class FrameReader {
 public:
  explicit FrameReader(size_t frame_bytes_max) : frame_bytes_max_(frame_bytes_max) {}

  // Where the rest of a frame that has begun may be read to directly; empty between frames.
  struct Space {
    char* data = nullptr;
    size_t size = 0;
  };
  Space space() const;
  // `bytes` of space() have been filled.
  void filled(size_t bytes) { used_ += bytes; }
  // Takes bytes from elsewhere, as far as one frame goes; removes them from `bytes`.
  Status feed(std::string_view& bytes);
  // The frame, when it is complete.
  std::optional<Buffer> take();
  bool in_frame() const { return length_bytes_ > 0; }

 private:
  Status begin();
  void grow(size_t capacity);

  static constexpr size_t kFirstCapacity = 1 << 20;

  size_t frame_bytes_max_;
  char length_[4];
  size_t length_bytes_ = 0;  // of length_ that are there
  size_t size_ = 0;          // of the frame
  size_t capacity_ = 0;
  size_t used_ = 0;
  std::shared_ptr<char[]> data_;
};

}  // namespace broker::server::kafka
