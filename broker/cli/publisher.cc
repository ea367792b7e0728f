#include "broker/cli/publisher.h"

#include <algorithm>
#include <chrono>

namespace broker::cli {

Publisher::Publisher(Client& client, PublisherOptions options, Answered answered)
    : client_(client), options_(std::move(options)), answered_(std::move(answered)),
      answered_at_ms_(mono_ms()), thread_([this] { run(); }) {}

Publisher::~Publisher() {
  finish().ignore_error("finish() was the caller's to ask; here it only ends the thread");
}

Status Publisher::send(v1::PublishRequest request) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return over_ || bytes_ < options_.unanswered_bytes_max; });
  if (over_) return error_;
  request.set_stream(options_.stream);
  size_t bytes = request.ByteSizeLong();
  if (items_.empty()) answered_at_ms_ = mono_ms();
  items_.push_back({std::move(request), bytes});
  bytes_ += bytes;
  changed_.notify_all();
  return {};
}

Status Publisher::finish() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  return error_;
}

int64_t Publisher::sent_again() {
  std::lock_guard lock(mutex_);
  return sent_again_;
}

void Publisher::run() {
  int64_t pause_ms = 50;
  while (true) {
    int64_t began_ms = mono_ms();
    grpc::Status status = run_stream();
    std::unique_lock lock(mutex_);
    if (status.ok() && closed_ && items_.empty()) break;
    int64_t quiet_ms = items_.empty() ? 0 : mono_ms() - answered_at_ms_;
    if ((!status.ok() && !is_passing(status)) || quiet_ms > options_.retry_for_ms) {
      error_ = status.error_code() == grpc::StatusCode::CANCELLED
                   ? Status(Code::kTimeout, "no answer for " + std::to_string(quiet_ms / 1000) +
                                                " s; what is unanswered may or may not be stored")
                   : client_.explain(status);
      break;
    }
    for (size_t i = 0; i < written_; ++i) sent_again_ += items_[i].request.records_size();
    written_ = 0;
    lock.unlock();
    pause_ms = mono_ms() - began_ms > 2000 ? 50 : std::min<int64_t>(pause_ms * 2, 1000);
    sleep_ms(pause_ms);
  }
  std::lock_guard lock(mutex_);
  over_ = true;
  changed_.notify_all();
}

grpc::Status Publisher::run_stream() {
  {
    // Dialled when there is something to say.
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || !items_.empty(); });
    if (items_.empty()) return grpc::Status::OK;
    written_ = 0;
    broken_ = false;
  }
  grpc::ClientContext context;
  auto stream = client_.stub().Publish(&context);
  std::thread reader([&] { read_answers(*stream); });
  std::thread watch([&] { cancel_when_silent(context); });
  while (const auto* request = next_to_write()) {
    if (!stream->Write(*request)) break;
  }
  stream->WritesDone();
  reader.join();
  watch.join();
  return stream->Finish();
}

// A stream that stands open may never answer: the records wait for replicas whose disks are full.
void Publisher::cancel_when_silent(grpc::ClientContext& context) {
  constexpr int64_t kLookMs = 1000;
  std::unique_lock lock(mutex_);
  while (!broken_) {
    const int64_t quiet_ms = items_.empty() ? 0 : mono_ms() - answered_at_ms_;
    if (quiet_ms > options_.retry_for_ms) return context.TryCancel();
    changed_.wait_for(lock, std::chrono::milliseconds(kLookMs));
  }
}

const v1::PublishRequest* Publisher::next_to_write() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return broken_ || written_ < items_.size() || closed_; });
  if (broken_ || written_ == items_.size()) return nullptr;
  Item& item = items_[written_++];
  item.sent_ms = mono_ms();
  return &item.request;
}

void Publisher::read_answers(Stream& stream) {
  v1::PublishResponse response;
  while (stream.Read(&response)) {
    std::unique_lock lock(mutex_);
    if (items_.empty() || written_ == 0) break;
    Item item = std::move(items_.front());
    items_.pop_front();
    --written_;
    bytes_ -= item.bytes;
    answered_at_ms_ = mono_ms();
    changed_.notify_all();
    lock.unlock();
    answered_(item.request, response, item.sent_ms);
  }
  std::lock_guard lock(mutex_);
  broken_ = true;
  changed_.notify_all();
}

}  // namespace broker::cli
