// The real environment keeps the contracts of env.h.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <future>

#include "broker/env/posix/asio_executor.h"
#include "broker/env/posix/posix.h"

namespace broker::env {
namespace {

struct TempDir {
  TempDir() {
    char name[] = "/tmp/sluice-test-XXXXXX";
    path = mkdtemp(name);
  }
  ~TempDir() { std::system(("rm -rf " + path).c_str()); }
  std::string path;
};

TEST(PosixFileSystem, WritesPiecesAndReadsThemBack) {
  TempDir dir;
  PosixFileSystem fs;
  auto file = fs.open(dir.path + "/a", OpenMode::kCreate);
  ASSERT_TRUE(file.ok());
  std::string_view pieces[] = {"hello", "", " world"};
  ASSERT_TRUE((*file)->write_at(3, pieces).ok());
  ASSERT_TRUE((*file)->sync().ok());
  char out[32];
  auto n = (*file)->read_at(3, out, sizeof out);
  ASSERT_TRUE(n.ok());
  EXPECT_EQ(std::string_view(out, *n), "hello world");
  EXPECT_EQ(fs.open(dir.path + "/none", OpenMode::kRead).code(), Code::kNotFound);
}

TEST(PosixFileSystem, ReplacesAFileAtomically) {
  TempDir dir;
  PosixFileSystem fs;
  ASSERT_TRUE(write_file_atomically(fs, dir.path + "/f", "one").ok());
  ASSERT_TRUE(write_file_atomically(fs, dir.path + "/f", "two!").ok());
  EXPECT_EQ(*read_file(fs, dir.path + "/f", 100), "two!");
  EXPECT_EQ(read_file(fs, dir.path + "/f", 3).code(), Code::kTooLarge);
  EXPECT_EQ(fs.list(dir.path)->size(), 1u);
}

// flock() is per open file, so that a second one of this process stands for another process.
TEST(LockFile, SaysThatAnotherHoldsIt) {
  TempDir dir;
  ASSERT_TRUE(lock_file(dir.path + "/lock").ok());
  EXPECT_EQ(lock_file(dir.path + "/lock").code(), Code::kConflict);
  EXPECT_EQ(lock_file(dir.path + "/none/lock").code(), Code::kNotFound);
}

TEST(AsioExecutor, RunsTasksTimersAndIoInOrder) {
  AsioExecutor executor;
  std::vector<int> order;
  {
    ThreadIoQueue io(executor, "test-io");
    executor.post([&] {
      order.push_back(1);
      TimerId cancelled = executor.schedule_after(0, [&] { order.push_back(99); });
      executor.cancel(cancelled);
      io.submit([] { return Status(); }, [&](Status) { order.push_back(2); });
      io.submit([] { return Status(Code::kIoError, "x"); },
                [&](Status s) {
                  order.push_back(s.ok() ? 98 : 3);
                  executor.schedule_after(1, [&] { executor.stop(); });
                });
    });
    executor.run();
  }
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

}  // namespace
}  // namespace broker::env
