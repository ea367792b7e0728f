#include "operator/kube/client/http_exchange.h"

#include <chrono>

namespace sluice_operator::kube {

using broker::Status;

void Exchange::set_head(int code, int64_t retry_after_ms) {
  std::lock_guard lock(mutex_);
  code_ = code;
  retry_after_ms_ = retry_after_ms;
  changed_.notify_all();
}

pplx::task<size_t> Exchange::deliver(const uint8_t* bytes, size_t size) {
  std::lock_guard lock(mutex_);
  if (abandoned_) return pplx::task_from_result(size);
  unread_.append(reinterpret_cast<const char*>(bytes), size);
  changed_.notify_all();
  if (unread_.size() <= kUnreadBytesMax) return pplx::task_from_result(size);
  blocked_writer_.emplace();
  blocked_size_ = size;
  return pplx::task<size_t>(*blocked_writer_);
}

void Exchange::finish(Status status) {
  std::lock_guard lock(mutex_);
  result_ = std::move(status);
  changed_.notify_all();
}

void Exchange::interrupt() {
  std::lock_guard lock(mutex_);
  interrupted_ = true;
  changed_.notify_all();
}

void Exchange::release_writer(std::unique_lock<std::mutex>& lock) {
  auto writer = std::move(blocked_writer_);
  blocked_writer_.reset();
  size_t size = blocked_size_;
  lock.unlock();  // completing it may run the library's code on this thread
  if (writer) writer->set(size);
}

Exchange::Wake Exchange::wait(int64_t timeout_ms, std::string& bytes) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                    [this] { return interrupted_ || result_ || (code_ != 0 && !unread_.empty()); });
  if (interrupted_) return Wake::kInterrupted;
  if (code_ != 0 && !unread_.empty()) {
    bytes = std::move(unread_);
    unread_.clear();
    release_writer(lock);
    return Wake::kBytes;
  }
  return result_ ? Wake::kDone : Wake::kTimeout;
}

void Exchange::abandon() {
  std::unique_lock lock(mutex_);
  abandoned_ = true;
  unread_.clear();
  release_writer(lock);
  cancel_.cancel();
  lock.lock();
  changed_.wait_for(lock, std::chrono::seconds(2), [this] { return result_.has_value(); });
}

bool Exchange::has_head() const {
  std::lock_guard lock(mutex_);
  return code_ != 0;
}

int Exchange::code() const {
  std::lock_guard lock(mutex_);
  return code_;
}

int64_t Exchange::retry_after_ms() const {
  std::lock_guard lock(mutex_);
  return retry_after_ms_;
}

Status Exchange::result() const {
  std::lock_guard lock(mutex_);
  return *result_;
}

}  // namespace sluice_operator::kube
