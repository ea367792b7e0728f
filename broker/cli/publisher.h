#pragma once
// Publishes requests in order through one stream at a time, many unanswered at once. When the
// stream breaks it opens another and sends again what has no answer: nothing is lost or reordered,
// and what the broken stream had stored is stored twice. Used by `produce` and `bench produce`:
// send() and finish() from one thread; answers come on threads of its own, one at a time.
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "broker/cli/client.h"

namespace broker::cli {

struct PublisherOptions {
  std::string stream;
  size_t unanswered_bytes_max = 4 << 20;
  int64_t retry_for_ms = 60'000;  // without any answer
};

class Publisher {
 public:
  using Answered = std::function<void(const v1::PublishRequest&, const v1::PublishResponse&,
                                      int64_t sent_ms)>;
  Publisher(Client& client, PublisherOptions options, Answered answered);
  ~Publisher();

  // Waits while too much is unanswered. An error is final.
  Status send(v1::PublishRequest request);
  // Waits for all answers.
  Status finish();
  // Records that were sent again without knowing what had become of them.
  int64_t sent_again();

 private:
  struct Item {
    v1::PublishRequest request;
    size_t bytes;
    int64_t sent_ms = 0;
  };
  using Stream = grpc::ClientReaderWriter<v1::PublishRequest, v1::PublishResponse>;
  void run();
  grpc::Status run_stream();
  void read_answers(Stream& stream);
  void cancel_when_silent(grpc::ClientContext& context);
  // The next item to write; null when there is nothing more or the stream has broken.
  const v1::PublishRequest* next_to_write();

  Client& client_;
  const PublisherOptions options_;
  const Answered answered_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;  // unanswered; a deque's elements stay where they are
  size_t written_ = 0;      // of items_, on the present stream
  size_t bytes_ = 0;
  bool closed_ = false;
  bool broken_ = false;
  int64_t answered_at_ms_ = 0;
  int64_t sent_again_ = 0;
  Status error_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace broker::cli
