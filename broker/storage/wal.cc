#include "broker/storage/wal.h"

#include <atomic>

#include "broker/base/crc32c.h"
#include "broker/base/log.h"
#include "broker/storage/log_files.h"

namespace broker::storage {
namespace {
constexpr int64_t kRetrySpareMs = 200;
// Files that fill more quickly than this are not touched beforehand: the disk has enough to do.
constexpr int64_t kTouchWhenFilledMs = 3000;
constexpr size_t kTouchBytes = 256 << 10;  // at once: frames are synced meanwhile
constexpr int64_t kTouchPauseMaxMs = 20;
constexpr int64_t kWriteBehindMs = 10;
constexpr uint64_t kWriteBehindBytes = 1 << 20;  // enough to be written at once
constexpr uint64_t kOverlapBytes = 256 << 10;    // enough to be written while a sync is under way
constexpr std::string_view kPadding("\0\0\0\0\0\0\0", 7);

uint64_t body_size(const WalFrame& frame) {
  uint64_t size = frame.head.size();
  for (const Buffer& b : frame.data) size += b.size();
  return size;
}

// Beyond this it is cheaper to combine checksums than to compute one. So is the reading of bytes
// that nobody else has touched since they came.
constexpr size_t kCombineBytes = 32 << 10;
constexpr size_t kBatchCrcFrom = 21;  // what a batch's own checksum, just before, is of

// Of a whole record batch, by its own checksum, which whoever appends has verified.
uint32_t extend_by_batch(uint32_t crc, const Buffer& batch) {
  crc = crc32c_extend(crc, batch.data(), kBatchCrcFrom);
  return crc32c_combine(crc, load_be<uint32_t>(batch.data() + kBatchCrcFrom - 4),
                        batch.size() - kBatchCrcFrom);
}

uint32_t body_crc(const WalFrame& frame) {
  uint32_t crc = crc32c(frame.head);
  const bool batches = frame.type == FrameType::kAppend;
  for (const Buffer& b : frame.data) {
    crc = batches && b.size() >= kCombineBytes ? extend_by_batch(crc, b)
                                               : crc32c_extend(crc, b.data(), b.size());
  }
  return crc;
}
}  // namespace

// A reserved file over which zeros are being written. A sync of bytes that were written before is only
// that; the first write to a reserved block also changes the file system's own records, whose commit
// waits for whatever else is being written: measured 0.1 against 0.12 ms, and at worst 2.5 against
// 15 ms. Written piece by piece over the time that the current file takes: a file at once kept the disk
// from those who waited for their records for as long as 64 MiB take.
struct Wal::Touching {
  std::string path;
  uint64_t bytes = 0;  // of the file
  int64_t pause_ms = 0;
  bool writing = false;  // a piece is under way: nobody else may write to the file
  bool enough = false;   // it is needed as it is
  uint64_t at = 0;       // from here on by the job that writes
  std::unique_ptr<env::File> file;

  Status write_piece(env::FileSystem& fs) {
    Status status = try_piece(fs);
    if (status.ok()) return status;
    file.reset();
    fs.remove(path).ignore_error("found and removed by the next open");
    return status;
  }

 private:
  Status try_piece(env::FileSystem& fs) {
    if (!file) {
      ASSIGN_OR_RETURN(file, fs.open(path, env::OpenMode::kFill));
    }
    const std::string zeros(std::min<uint64_t>(kTouchBytes, bytes - at), '\0');
    std::string_view piece(zeros);
    RETURN_IF_ERROR(file->write_at(at, std::span(&piece, 1)));
    at += piece.size();
    return file->sync();
  }
};

// Frames that go out in one write. Touched by its I/O thread between submit and done only.
struct Wal::Job {
  std::vector<Queued> frames;
  uint64_t bytes = 0;
  uint64_t synced = 0;
  bool on_second = false;             // Env::wal_io_2
  std::atomic<bool> written = false;  // its sync is under way: the next may be written
  bool done = false;
  Spare open_spare;  // with a path: the frames begin a new file, made from this one
};

// What only jobs touch, the next when the one before is written: the open file and the CRC chain.
struct Wal::Writer {
  env::FileSystem& fs;
  std::string dir;
  Uuid directory;
  std::unique_ptr<env::File> file;
  uint32_t chain = 0;

  Status open(const Job& job, std::string& header) {
    const Queued& first = job.frames.front();
    file.reset();
    std::string path = log_path(dir, first.file);
    RETURN_IF_ERROR(fs.rename(job.open_spare.path, path));
    ASSIGN_OR_RETURN(file, fs.open(path, env::OpenMode::kFill));
    header = encode_file_header({first.file, first.header.sequence, chain, directory});
    return {};
  }

  Status run(Job& job) {
    std::string file_header;
    if (!job.open_spare.path.empty()) RETURN_IF_ERROR(open(job, file_header));
    std::string headers;
    headers.reserve(job.frames.size() * kFrameHeaderSize);  // no reallocation: views point into it
    std::vector<std::string_view> pieces;
    if (!file_header.empty()) pieces.push_back(file_header);
    for (Queued& q : job.frames) {
      q.header.prev_crc = chain;
      q.header.synced = job.synced;
      q.header.body_crc = body_crc(q.frame);
      size_t at = headers.size();
      chain = encode_frame_header(q.header, headers);
      pieces.push_back(std::string_view(headers.data() + at, kFrameHeaderSize));
      pieces.push_back(q.frame.head);
      for (const Buffer& b : q.frame.data) pieces.push_back(b.view());
      uint64_t used = kFrameHeaderSize + q.header.length;
      pieces.push_back(kPadding.substr(0, frame_size(q.header.length) - used));
    }
    uint64_t position = file_header.empty() ? job.frames.front().position : 0;
    RETURN_IF_ERROR(file->write_at(position, pieces));
    env::File& written = *file;  // stays: a new file is begun when all before it is durable
    job.written.store(true, std::memory_order_release);
    RETURN_IF_ERROR(written.sync());
    // The new name may be lost: recovery knows a log file under the spare's name, too. That spares
    // acknowledgements the wait for the file system's journal.
    if (job.open_spare.path.empty() || job.open_spare.durable) return {};
    return fs.sync_dir(log_dir(dir));
  }
};

Wal::Wal(const Env& env, const StoreOptions& options, Events events)
    : env_(env),
      options_(options),
      events_(std::move(events)),
      writer_(std::make_shared<Writer>(Writer{env.fs, options.dir, {}, nullptr, 0})),
      self_(std::make_shared<Wal*>(this)) {}

Wal::~Wal() { *self_ = nullptr; }

void Wal::start(const Uuid& directory, uint64_t file, uint64_t sequence, uint32_t chain) {
  writer_->directory = directory;
  writer_->chain = chain;
  next_file_ = file;
  next_sequence_ = sequence;
  durable_sequence_ = sequence - 1;
  refill_spares();
}

Status Wal::admit(uint64_t bytes, bool administration) {
  if (failed_) return Status(Code::kIoError, "the log of " + options_.dir + " has failed");
  uint64_t reserve = administration ? 0 : options_.log_file_bytes / 16;
  // With a spare at hand the whole file may be used: administration goes on in the spare.
  if (!spares_.empty()) reserve = 0;
  bool may_use = administration || !emergency_ || !spares_.empty();
  if (file_ != 0 && may_use && position_ + bytes + reserve <= capacity_) return {};
  if (kFileHeaderSize + bytes > options_.log_file_bytes) {
    return Status(Code::kTooLarge, std::to_string(bytes) + " bytes at once are more than a log file");
  }
  if (ready_spare()) return {};
  if (administration && kFileHeaderSize + bytes <= options_.log_file_bytes / 16 && ready_emergency()) {
    return {};
  }
  return Status(Code::kNoSpace, "the disk of " + options_.dir + " is full");
}

bool Wal::ready_spare() {
  if (!spares_.empty()) return true;
  if (touching_) {
    touching_->enough = true;
    if (!touching_->writing) end_touching({});
    if (!spares_.empty()) return true;
  }
  int64_t now = env_.clock.mono_ms();
  if (spare_failed_ && now < retry_spare_ms_) return false;
  // Rare: a burst outran the background. Preallocation is quick next to filling a file.
  std::string path = spare_path();
  Status made = make_spare(env_, options_, path);
  if (made.ok()) {
    spares_.push_back({path, false});
    spare_failed_ = false;
    return true;
  }
  if (!spare_failed_) log_warn("storage", "no space for a log file", {{"why", made.to_string()}});
  spare_failed_ = true;
  retry_spare_ms_ = now + kRetrySpareMs;
  return false;
}

bool Wal::ready_emergency() {
  if (!emergency_spare_.empty()) return true;
  std::string path = spare_path();
  if (!allocate(env_, path, options_.log_file_bytes / 16).ok()) return false;
  emergency_spare_ = path;
  return true;
}

Wal::Place Wal::add(WalFrame frame) {
  uint64_t length = body_size(frame);
  uint64_t size = frame_size(length);
  if (file_ == 0 || position_ + size > capacity_) {
    roll();
    open_next_file();
  }
  Queued q{std::move(frame), {}, file_, position_};
  q.header.length = static_cast<uint32_t>(length);
  q.header.sequence = next_sequence_++;
  q.header.log_id = q.frame.log_id;
  q.header.file = static_cast<uint32_t>(file_);
  q.header.type = q.frame.type;
  Place place{file_, static_cast<uint32_t>(position_ + kFrameHeaderSize), q.header.sequence};
  position_ += size;
  queued_bytes_ += size;
  hurried_ += !q.frame.may_wait;
  queue_.push_back(std::move(q));
  pump_soon();
  return place;
}

void Wal::roll() {
  if (file_ == 0) return;
  uint64_t old = file_;
  file_ = 0;
  events_.rolled(old, position_, next_sequence_ - 1);
}

void Wal::open_next_file() {
  emergency_ = spares_.empty();
  if (emergency_) {
    CHECK(!emergency_spare_.empty());  // admit() saw to it
    opening_.push_back({std::exchange(emergency_spare_, {}), false});
    capacity_ = options_.log_file_bytes / 16;
  } else {
    opening_.push_back(std::move(spares_.front()));
    spares_.pop_front();
    capacity_ = options_.log_file_bytes;
  }
  file_ = next_file_++;
  position_ = kFileHeaderSize;
  refill_spares();  // before opened_ms_ changes: it tells how quickly the last file was filled
  opened_ms_ = env_.clock.mono_ms();
}

// While one job's bytes are on their way to the disk the next may be written, where there is enough to
// be worth a sync of its own. Not across files: a file begins when all before it is durable.
bool Wal::may_start() const {
  if (jobs_.empty()) return true;
  return jobs_.size() == 1 && env_.wal_io_2 && queued_bytes_ >= kOverlapBytes &&
         queue_.front().position != kFileHeaderSize &&
         jobs_.front()->written.load(std::memory_order_acquire);
}

bool Wal::due() const {
  return hurried_ > 0 || queued_bytes_ >= kWriteBehindBytes || waited_ || !env_.executor;
}

void Wal::wait_for_company() {
  if (waiting_) return;
  waiting_ = true;
  env_.executor->schedule_after(kWriteBehindMs, [self = self_] {
    if (!*self) return;
    (*self)->waiting_ = false;
    (*self)->waited_ = !(*self)->queue_.empty();
    (*self)->pump();
  });
}

// Lets the rest of the reactor's turn join the write.
void Wal::pump_soon() {
  if (!env_.executor) return pump();
  if (!may_start() || pump_posted_) return;
  if (!due()) return wait_for_company();
  pump_posted_ = true;
  env_.executor->post([self = self_] {
    if (!*self) return;
    (*self)->pump_posted_ = false;
    (*self)->pump();
  });
}

void Wal::pump() {
  if (queue_.empty() || failed_ || !may_start()) return;
  if (!due()) return wait_for_company();
  waited_ = false;
  auto job = std::make_shared<Job>();
  job->synced = durable_sequence_;
  if (queue_.front().position == kFileHeaderSize) {
    job->open_spare = std::move(opening_.front());
    opening_.pop_front();
  }
  uint64_t bytes = 0, file = queue_.front().file;
  while (!queue_.empty() && queue_.front().file == file) {
    uint64_t size = frame_size(queue_.front().header.length);
    if (bytes > 0 && bytes + size > options_.job_bytes_max) break;
    bytes += size;
    hurried_ -= !queue_.front().frame.may_wait;
    job->frames.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  queued_bytes_ -= bytes;
  in_flight_bytes_ += bytes;
  job->bytes = bytes;
  job->on_second = !jobs_.empty() && !jobs_.front()->on_second;
  jobs_.push_back(job);
  env::IoQueue& io = job->on_second ? *env_.wal_io_2 : env_.wal_io;
  io.submit([job, writer = writer_] { return writer->run(*job); },
                     [job, self = self_](Status status) {
                       if (*self) (*self)->job_done(job, status);
                     });
}

void Wal::job_done(const std::shared_ptr<Job>& job, Status status) {
  if (!status.ok()) {
    failed_ = true;
    env_.fatal(status.with_context("write-ahead log of " + options_.dir));
    return;
  }
  job->done = true;
  auto self = self_;
  // In their order: a later one may be done first.
  while (*self && !jobs_.empty() && jobs_.front()->done) {
    std::shared_ptr<Job> first = std::move(jobs_.front());
    jobs_.pop_front();
    complete(*first);
  }
}

void Wal::complete(Job& job) {
  durable_sequence_ = job.frames.back().header.sequence;
  in_flight_bytes_ -= job.bytes;
  pump();  // the disk works while the callbacks run
  auto self = self_;
  for (Queued& q : job.frames) {
    if (q.frame.durable) q.frame.durable();
    if (!*self) return;  // the callback closed the store
  }
  events_.synced();
}

void Wal::add_spare(std::string path) {
  spares_.push_back({std::move(path), true});
  spare_failed_ = false;
}

std::string Wal::spare_path() {
  return log_dir(options_.dir) + "/spare-" + std::to_string(++spare_number_);
}

Status Wal::make_spare(const Env& env, const StoreOptions& options, const std::string& path) {
  ASSIGN_OR_RETURN(uint64_t free, env.fs.free_bytes(options.dir));
  if (free < options.free_bytes_min + options.log_file_bytes) {
    return Status(Code::kNoSpace, std::to_string(free) + " bytes are free");
  }
  return allocate(env, path, options.log_file_bytes);
}

Status Wal::allocate(const Env& env, const std::string& path, uint64_t bytes) {
  ASSIGN_OR_RETURN(auto file, env.fs.open(path, env::OpenMode::kCreate));
  Status status = file->allocate(bytes);
  file.reset();
  if (status.ok()) return {};
  env.fs.remove(path).ignore_error("found and removed by the next open");
  return status;
}

void Wal::refill_spares() {
  if (preparing_ || spares_.size() >= options_.spare_files) return;
  preparing_ = true;
  const int64_t filled_ms = env_.clock.mono_ms() - opened_ms_;
  auto spare = std::make_shared<Touching>(Touching{spare_path(), options_.log_file_bytes});
  const auto pieces = static_cast<int64_t>((spare->bytes + kTouchBytes - 1) / kTouchBytes);
  spare->pause_ms = std::min(kTouchPauseMaxMs, filled_ms / 2 / pieces);
  const bool touched = filled_ms >= kTouchWhenFilledMs;
  env_.background_io.submit(
      [env = env_, options = options_, path = spare->path] {
        RETURN_IF_ERROR(make_spare(env, options, path));
        return env.fs.sync_dir(log_dir(options.dir));
      },
      [self = self_, spare, touched](Status status) {
        if (!*self) return;
        (*self)->touching_ = spare;
        if (status.ok() && touched) return (*self)->touch();
        (*self)->end_touching(status);
      });
}

void Wal::touch() {
  touching_->writing = true;
  env_.background_io.submit([spare = touching_, fs = &env_.fs] { return spare->write_piece(*fs); },
                            [self = self_](Status status) {
                              if (*self) (*self)->touched(status);
                            });
}

void Wal::touched(Status status) {
  touching_->writing = false;
  if (!status.ok() || touching_->enough || touching_->at == touching_->bytes) {
    return end_touching(status);
  }
  if (!env_.executor) return touch();
  env_.executor->schedule_after(touching_->pause_ms, [self = self_, spare = touching_] {
    if (*self && (*self)->touching_ == spare) (*self)->touch();
  });
}

void Wal::end_touching(Status status) {
  preparing_ = false;
  std::string path = std::exchange(touching_, nullptr)->path;
  if (status.ok()) {
    add_spare(path);
    return refill_spares();
  }
  if (status.code() != Code::kNoSpace) {
    failed_ = true;
    return env_.fatal(status.with_context("a spare log file"));
  }
  spare_failed_ = true;
  retry_spare_ms_ = env_.clock.mono_ms() + kRetrySpareMs;
}

}  // namespace broker::storage
