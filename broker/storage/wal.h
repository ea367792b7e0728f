#pragma once
// The write side of the log files: gives every frame its place at once, writes queued frames as jobs
// (one write, one fdatasync each; the next is written while one is being synced) and reports them
// durable in order. Owned by StoreCore, on
// the reactor; jobs run on Env::wal_io and own what they touch. Space is guaranteed before a frame
// is accepted: log files are preallocated, so a job cannot run out of it.
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/storage/format/frame.h"
#include "broker/storage/store.h"

namespace broker::storage {

struct WalFrame {
  FrameType type = FrameType::kAppend;
  uint64_t log_id = 0;
  std::string head;            // first part of the body
  std::vector<Buffer> data;    // the rest
  bool may_wait = false;       // for company, kWriteBehindMs at most
  std::function<void()> durable;
};

class Wal {
 public:
  struct Place {
    uint64_t file = 0;
    uint32_t position = 0;  // of the body
    uint64_t sequence = 0;
  };
  struct Events {
    // Before the first frame of the next file is placed. The frames of `file` end at `length`, the
    // last has `sequence`.
    std::function<void(uint64_t file, uint64_t length, uint64_t sequence)> rolled;
    std::function<void()> synced;  // after the `durable`s of a job
  };

  Wal(const Env& env, const StoreOptions& options, Events events);
  ~Wal();
  // Where to go on after recovery: the next file's number, its first sequence, the frame chain.
  void start(const Uuid& directory, uint64_t file, uint64_t sequence, uint32_t chain);

  // Makes sure that frames of `bytes` in all (frame_size of each) can be added now. Data leaves
  // room for administration: once the disk is full, only frames with `administration` go on.
  Status admit(uint64_t bytes, bool administration);
  // Queues a frame that was admitted.
  Place add(WalFrame frame);
  // Ends the current file, if it holds anything.
  void roll();
  // When everything queued is durable.
  bool idle() const { return jobs_.empty() && queue_.empty(); }
  // Of frames that are not durable yet.
  uint64_t unsynced_bytes() const { return queued_bytes_ + in_flight_bytes_; }

  uint64_t file() const { return file_; }
  uint64_t next_file() const { return next_file_; }
  uint64_t next_sequence() const { return next_sequence_; }
  uint64_t durable_sequence() const { return durable_sequence_; }
  bool disk_full() const { return spares_.empty() && spare_failed_; }
  size_t spares() const { return spares_.size(); }
  // Size of the current file.
  uint64_t capacity() const { return capacity_; }
  // Takes over a preallocated file (a recycled one) whose name is durable.
  void add_spare(std::string path);
  // A name for a spare that no other file has.
  std::string spare_path();
  // Prepares spares in the background, up to the wanted number.
  void refill_spares();

 private:
  struct Writer;
  struct Job;
  struct Touching;
  struct Spare {
    std::string path;
    bool durable = false;  // its name is
  };
  struct Queued {
    WalFrame frame;
    FrameHeader header;
    uint64_t file;
    uint64_t position;  // of the header
  };
  bool ready_spare();
  bool ready_emergency();
  void open_next_file();
  void pump_soon();
  bool due() const;
  void wait_for_company();
  void pump();
  void job_done(const std::shared_ptr<Job>& job, Status status);
  void complete(Job& job);
  bool may_start() const;
  static Status make_spare(const Env& env, const StoreOptions& options, const std::string& path);
  static Status allocate(const Env& env, const std::string& path, uint64_t bytes);
  // Of the spare that is being prepared: its next piece, after a piece, and when it is ready.
  void touch();
  void touched(Status status);
  void end_touching(Status status);

  const Env& env_;
  const StoreOptions& options_;
  Events events_;
  std::shared_ptr<Writer> writer_;
  std::deque<Queued> queue_;
  std::deque<Spare> spares_;
  std::deque<Spare> opening_;  // spares taken by files whose first job is still queued
  // On a full disk: a small file that only administration may use.
  std::string emergency_spare_;
  bool emergency_ = false;  // the current file is such a one
  uint64_t file_ = 0, position_ = 0, capacity_ = 0;
  uint64_t next_file_ = 1, next_sequence_ = 1, durable_sequence_ = 0;
  uint64_t spare_number_ = 0;
  std::deque<std::shared_ptr<Job>> jobs_;  // in flight: one, or two (may_start())
  bool failed_ = false, pump_posted_ = false;
  uint64_t queued_bytes_ = 0, in_flight_bytes_ = 0;
  size_t hurried_ = 0;  // queued frames that may not wait
  bool waiting_ = false, waited_ = false;
  bool preparing_ = false, spare_failed_ = false;
  std::shared_ptr<Touching> touching_;  // the spare that is being prepared, once it is reserved
  int64_t retry_spare_ms_ = 0;
  int64_t opened_ms_ = INT64_MIN / 2;  // the current file
  std::shared_ptr<Wal*> self_;  // emptied by the destructor: late completions do nothing
};

}  // namespace broker::storage
