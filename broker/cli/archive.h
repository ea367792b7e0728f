#pragma once
// A .tar.gz (POSIX ustar) of texts, written as they come. Used by `sluice report`.
#include <zlib.h>

#include <string>
#include <string_view>

#include "broker/base/status.h"

namespace broker::cli {

class Archive {
 public:
  // Replaces the file. `folder` is put before every name.
  static Result<Archive> create(const std::string& path, std::string folder, int64_t mtime_s);
  Archive(Archive&& other) noexcept;
  Archive& operator=(Archive&&) = delete;
  ~Archive();

  // Names of up to 255 bytes.
  Status add(const std::string& name, std::string_view text);
  // Once, at the end: without it the file is cut off.
  Status finish();

 private:
  Archive(gzFile file, std::string path, std::string folder, int64_t mtime_s)
      : file_(file), path_(std::move(path)), folder_(std::move(folder)), mtime_s_(mtime_s) {}
  Status write(std::string_view bytes);
  gzFile file_;
  std::string path_, folder_;
  int64_t mtime_s_;
};

// The 512 bytes before a file. Pure; kInvalidArgument for a name that does not fit.
Result<std::string> tar_header(const std::string& name, size_t size, int64_t mtime_s);

}  // namespace broker::cli
