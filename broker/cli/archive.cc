#include "broker/cli/archive.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace broker::cli {

namespace {

constexpr size_t kBlock = 512;

// Where a long name is cut in two: prefix of at most 155 bytes, name of at most 100.
Result<std::pair<std::string, std::string>> split(const std::string& name) {
  if (name.size() <= 100) return std::pair{std::string(), name};
  for (size_t at = name.find('/'); at != std::string::npos; at = name.find('/', at + 1)) {
    if (at <= 155 && name.size() - at - 1 <= 100) {
      return std::pair{name.substr(0, at), name.substr(at + 1)};
    }
  }
  return Status(Code::kInvalidArgument, "the name does not fit into an archive: " + name);
}

void put(std::string& header, size_t at, const std::string& text) {
  header.replace(at, text.size(), text);
}

std::string octal(uint64_t number, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llo", digits, static_cast<unsigned long long>(number));
  return text;
}

}  // namespace

Result<std::string> tar_header(const std::string& name, size_t size, int64_t mtime_s) {
  ASSIGN_OR_RETURN(auto parts, split(name));
  if (size >= (1ULL << 33)) return Status(Code::kInvalidArgument, name + ": too large for an archive");
  std::string header(kBlock, '\0');
  put(header, 0, parts.second);
  put(header, 100, "0000644");
  put(header, 108, "0000000");
  put(header, 116, "0000000");
  put(header, 124, octal(size, 11));
  put(header, 136, octal(static_cast<uint64_t>(mtime_s), 11));
  put(header, 148, "        ");  // the sum counts its own field as spaces
  put(header, 156, "0");
  put(header, 257, "ustar");
  put(header, 263, "00");
  put(header, 345, parts.first);
  unsigned sum = 0;
  for (unsigned char byte : header) sum += byte;
  put(header, 148, octal(sum, 6));
  header[154] = '\0';
  return header;
}

Result<Archive> Archive::create(const std::string& path, std::string folder, int64_t mtime_s) {
  gzFile file = gzopen(path.c_str(), "wb");
  if (!file) return Status(Code::kIoError, "'" + path + "' cannot be written");
  return Archive(file, path, std::move(folder), mtime_s);
}

Archive::Archive(Archive&& other) noexcept
    : file_(std::exchange(other.file_, nullptr)), path_(std::move(other.path_)),
      folder_(std::move(other.folder_)), mtime_s_(other.mtime_s_) {}

Archive::~Archive() {
  if (file_) gzclose(file_);
}

Status Archive::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto part = static_cast<unsigned>(std::min<size_t>(bytes.size(), 1 << 20));
    if (gzwrite(file_, bytes.data(), part) != static_cast<int>(part)) {
      return Status(Code::kIoError, "'" + path_ + "' cannot be written");
    }
    bytes.remove_prefix(part);
  }
  return {};
}

Status Archive::add(const std::string& name, std::string_view text) {
  ASSIGN_OR_RETURN(std::string header, tar_header(folder_ + "/" + name, text.size(), mtime_s_));
  RETURN_IF_ERROR(write(header));
  RETURN_IF_ERROR(write(text));
  return write(std::string((kBlock - text.size() % kBlock) % kBlock, '\0'));
}

Status Archive::finish() {
  RETURN_IF_ERROR(write(std::string(2 * kBlock, '\0')));
  if (gzclose(std::exchange(file_, nullptr)) != Z_OK) {
    return Status(Code::kIoError, "'" + path_ + "' cannot be written");
  }
  return {};
}

}  // namespace broker::cli
