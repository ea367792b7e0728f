#pragma once
// One request in flight, between cpprestsdk's threads, which deliver, and the caller's thread,
// which waits. Private to http.cc.
#include <cpprest/astreambuf.h>
#include <pplx/pplxtasks.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <string>

#include "broker/base/status.h"

namespace sluice_operator::kube {

class Exchange {
 public:
  enum class Wake { kBytes, kDone, kTimeout, kInterrupted };
  // More unread bytes than this make the connection wait for the reader.
  static constexpr size_t kUnreadBytesMax = 1 << 20;

  // Delivering side, on any thread.
  void set_head(int code, int64_t retry_after_ms);
  pplx::task<size_t> deliver(const uint8_t* bytes, size_t size);
  void finish(broker::Status status);
  void interrupt();

  // Waiting side. kBytes: `bytes` holds what has come since the last call.
  Wake wait(int64_t timeout_ms, std::string& bytes);
  // Ends the exchange early and waits (bounded) until the library has let go of it.
  void abandon();

  bool has_head() const;
  int code() const;
  int64_t retry_after_ms() const;
  broker::Status result() const;  // after kDone
  pplx::cancellation_token token() { return cancel_.get_token(); }

 private:
  void release_writer(std::unique_lock<std::mutex>& lock);
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  pplx::cancellation_token_source cancel_;
  std::string unread_;
  std::optional<pplx::task_completion_event<size_t>> blocked_writer_;
  size_t blocked_size_ = 0;
  int code_ = 0;
  int64_t retry_after_ms_ = -1;
  bool interrupted_ = false;
  bool abandoned_ = false;
  std::optional<broker::Status> result_;
};

// What the two stream buffers below have in common: they do nothing but move bytes one way.
class OneWayBuffer : public Concurrency::streams::details::streambuf_state_manager<uint8_t> {
  using Base = Concurrency::streams::details::streambuf_state_manager<uint8_t>;

 public:
  using Mode = std::ios_base::openmode;
  explicit OneWayBuffer(Mode mode) : Base(mode) {}
  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  size_t buffer_size(Mode) const override { return 0; }
  void set_buffer_size(size_t, Mode) override {}
  size_t in_avail() const override { return 0; }
  pos_type getpos(Mode) const override { return pos_type(moved_); }
  pos_type seekpos(pos_type, Mode) override { return pos_type(traits::eof()); }
  pos_type seekoff(off_type, std::ios_base::seekdir, Mode) override {
    return pos_type(traits::eof());
  }
  bool acquire(uint8_t*&, size_t&) override { return false; }
  void release(uint8_t*, size_t) override {}

 protected:
  pplx::task<int_type> _putc(uint8_t) override { return end(); }
  pplx::task<size_t> _putn(const uint8_t*, size_t) override { return pplx::task_from_result<size_t>(0); }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  uint8_t* _alloc(size_t) override { return nullptr; }
  void _commit(size_t) override {}
  pplx::task<int_type> _bumpc() override { return end(); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return end(); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return end(); }
  pplx::task<int_type> _ungetc() override { return end(); }
  pplx::task<size_t> _getn(uint8_t*, size_t) override { return pplx::task_from_result<size_t>(0); }
  size_t _scopy(uint8_t*, size_t) override { return 0; }
  static pplx::task<int_type> end() { return pplx::task_from_result<int_type>(traits::eof()); }

  off_type moved_ = 0;
};

// Where the library puts the response's body: the exchange.
class ResponseBuffer : public OneWayBuffer {
 public:
  explicit ResponseBuffer(std::shared_ptr<Exchange> exchange)
      : OneWayBuffer(std::ios_base::out), exchange_(std::move(exchange)) {}

 protected:
  pplx::task<int_type> _putc(uint8_t c) override {
    ++moved_;
    return exchange_->deliver(&c, 1).then([c](size_t) { return int_type(c); });
  }
  pplx::task<size_t> _putn(const uint8_t* bytes, size_t size) override {
    moved_ += static_cast<off_type>(size);
    return exchange_->deliver(bytes, size);
  }

 private:
  std::shared_ptr<Exchange> exchange_;
};

// A request's body that can be read once. When a kept-alive connection breaks, the library rewinds
// the body and sends the request again, though the server may have carried it out: it finds no
// bytes here then, and fails, so that the caller hears that the outcome is unknown.
class OnceBody : public OneWayBuffer {
 public:
  explicit OnceBody(std::string bytes) : OneWayBuffer(std::ios_base::in), bytes_(std::move(bytes)) {}
  bool can_seek() const override { return true; }
  pos_type seekpos(pos_type at, Mode) override { return at; }

 protected:
  pplx::task<size_t> _getn(uint8_t* out, size_t size) override {
    size_t count = bytes_.copy(reinterpret_cast<char*>(out), size, static_cast<size_t>(moved_));
    moved_ += static_cast<off_type>(count);
    return pplx::task_from_result(count);
  }

 private:
  const std::string bytes_;
};

}  // namespace sluice_operator::kube
