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

// The response body's stream buffer: a one-way pipe into an Exchange.
class ExchangeBuffer : public Concurrency::streams::details::streambuf_state_manager<uint8_t> {
  using Base = Concurrency::streams::details::streambuf_state_manager<uint8_t>;
  using Mode = std::ios_base::openmode;

 public:
  explicit ExchangeBuffer(std::shared_ptr<Exchange> exchange)
      : Base(std::ios_base::out), exchange_(std::move(exchange)) {}

  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  size_t buffer_size(Mode) const override { return 0; }
  void set_buffer_size(size_t, Mode) override {}
  size_t in_avail() const override { return 0; }
  pos_type getpos(Mode) const override { return pos_type(written_); }
  pos_type seekpos(pos_type, Mode) override { return pos_type(traits::eof()); }
  pos_type seekoff(off_type, std::ios_base::seekdir, Mode) override {
    return pos_type(traits::eof());
  }
  bool acquire(uint8_t*&, size_t&) override { return false; }
  void release(uint8_t*, size_t) override {}

 protected:
  pplx::task<int_type> _putc(uint8_t c) override {
    ++written_;
    return exchange_->deliver(&c, 1).then([c](size_t) { return int_type(c); });
  }
  pplx::task<size_t> _putn(const uint8_t* bytes, size_t size) override {
    written_ += static_cast<off_type>(size);
    return exchange_->deliver(bytes, size);
  }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  uint8_t* _alloc(size_t) override { return nullptr; }
  void _commit(size_t) override {}

  // Never read from.
  pplx::task<int_type> _bumpc() override { return end(); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return end(); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return end(); }
  pplx::task<int_type> _ungetc() override { return end(); }
  pplx::task<size_t> _getn(uint8_t*, size_t) override { return pplx::task_from_result<size_t>(0); }
  size_t _scopy(uint8_t*, size_t) override { return 0; }

 private:
  static pplx::task<int_type> end() { return pplx::task_from_result<int_type>(traits::eof()); }
  std::shared_ptr<Exchange> exchange_;
  off_type written_ = 0;
};

}  // namespace sluice_operator::kube
