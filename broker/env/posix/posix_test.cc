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

// Writes of any size, each where the last one ended, as the write-ahead log's jobs are.
TEST(PosixFileSystem, FillsAFileInOrder) {
  TempDir dir;
  PosixFileSystem fs;
  const std::string path = dir.path + "/log", old(64 << 10, 'o');
  ASSERT_TRUE(write_file_atomically(fs, path, old).ok());
  auto file = fs.open(path, OpenMode::kFill);
  ASSERT_TRUE(file.ok());
  auto reader = fs.open(path, OpenMode::kRead);
  ASSERT_TRUE(reader.ok());
  std::string all;
  const std::string large((5 << 20) + 17, 'l');
  const std::string first(100, 'a'), second(4096 - 100, 'b'), third(10'000, 'c');
  for (std::string_view piece : {std::string_view(first), std::string_view(second),
                                 std::string_view("d"), std::string_view(third),
                                 std::string_view(large), std::string_view("the end")}) {
    std::string_view pieces[] = {piece.substr(0, piece.size() / 3), piece.substr(piece.size() / 3)};
    Status written = (*file)->write_at(all.size(), pieces);
    ASSERT_TRUE(written.ok()) << written.to_string();
    ASSERT_TRUE((*file)->sync().ok());
    all += piece;
    // What is at its place is seen by whoever reads through the page cache, before and after.
    std::string seen(all.size(), '\0');
    auto n = (*reader)->read_at(0, seen.data(), seen.size());
    ASSERT_TRUE(n.ok());
    ASSERT_EQ(*n, all.size());
    ASSERT_TRUE(seen == all) << "after " << all.size();
  }
  // Zeros up to the block's end.
  std::string rest(5000, 'x');
  auto n = (*reader)->read_at(all.size(), rest.data(), rest.size());
  ASSERT_TRUE(n.ok());
  EXPECT_EQ(rest.substr(0, *n), std::string(4096 - all.size() % 4096, '\0'));
  EXPECT_EQ(fs.open(dir.path + "/none", OpenMode::kFill).code(), Code::kNotFound);
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
