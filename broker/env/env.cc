#include "broker/env/env.h"

namespace broker::env {

Status write_file_atomically(FileSystem& fs, const std::string& path, std::string_view content) {
  const std::string temporary = path + ".tmp";
  if (fs.exists(temporary)) RETURN_IF_ERROR(fs.remove(temporary));
  {
    ASSIGN_OR_RETURN(auto file, fs.open(temporary, OpenMode::kCreate));
    std::string_view pieces[] = {content};
    RETURN_IF_ERROR(file->write_at(0, pieces));
    RETURN_IF_ERROR(file->sync());
  }
  RETURN_IF_ERROR(fs.rename(temporary, path));
  auto slash = path.rfind('/');
  return fs.sync_dir(slash == std::string::npos ? "." : path.substr(0, slash));
}

Result<std::string> read_file(FileSystem& fs, const std::string& path, uint64_t size_max) {
  ASSIGN_OR_RETURN(auto file, fs.open(path, OpenMode::kRead));
  ASSIGN_OR_RETURN(uint64_t size, file->size());
  if (size > size_max) {
    return Status(Code::kTooLarge, path + " has " + std::to_string(size) + " bytes, more than " +
                                       std::to_string(size_max));
  }
  std::string content(size, '\0');
  ASSIGN_OR_RETURN(size_t got, file->read_at(0, content.data(), size));
  content.resize(got);
  return content;
}

}  // namespace broker::env
