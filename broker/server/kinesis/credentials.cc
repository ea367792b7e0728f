#include "broker/server/kinesis/credentials.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "broker/base/log.h"

namespace broker::server::kinesis {
namespace {

constexpr int64_t kPollMs = 2'000;
constexpr uint64_t kFileBytesMax = 1 << 20;

Status bad(std::string message) { return Status(Code::kInvalidArgument, std::move(message)); }

bool twelve_digits(const std::string& text) {
  return text.size() == 12 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Result<std::string> text_of(const YAML::Node& entry, const char* name, const std::string& where) {
  const YAML::Node value = entry[name];
  if (!value || !value.IsScalar() || value.Scalar().empty()) {
    return bad(where + ": '" + name + "' is required, as text");
  }
  return value.Scalar();
}

Status take_entry(const YAML::Node& entry, const std::string& where, Credentials& out) {
  if (!entry.IsMap()) return bad(where + ": expected accessKeyId and secretAccessKey");
  for (const auto& field : entry) {
    const std::string& name = field.first.Scalar();
    if (name != "accessKeyId" && name != "secretAccessKey" && name != "accountId" &&
        name != "user") {
      return bad(where + ": unknown field '" + name + "'");
    }
  }
  ASSIGN_OR_RETURN(std::string key, text_of(entry, "accessKeyId", where));
  Credential credential;
  ASSIGN_OR_RETURN(credential.secret, text_of(entry, "secretAccessKey", where));
  if (entry["accountId"]) {
    ASSIGN_OR_RETURN(credential.account, text_of(entry, "accountId", where));
    if (!twelve_digits(credential.account)) {
      return bad(where + ": accountId has twelve digits (quote it: a leading 0 is lost otherwise)");
    }
  }
  if (entry["user"]) {
    ASSIGN_OR_RETURN(credential.user, text_of(entry, "user", where));
  }
  if (!out.emplace(key, std::move(credential)).second) {
    return bad(where + ": accessKeyId '" + key + "' stands twice");
  }
  return {};
}

}  // namespace

Result<Credentials> parse_credentials(const std::string& yaml) {
  Credentials credentials;
  try {
    YAML::Node root = YAML::Load(yaml);
    if (!root.IsSequence()) {
      return bad("expected a list of {accessKeyId, secretAccessKey, accountId, user}");
    }
    size_t number = 0;
    for (const auto& entry : root) {
      RETURN_IF_ERROR(take_entry(entry, "entry " + std::to_string(++number), credentials));
    }
  } catch (const YAML::Exception& error) {
    // Its text could repeat a line of the file, and with it a secret.
    return bad("not YAML (line " + std::to_string(error.mark.line + 1) + ")");
  }
  return credentials;
}

CredentialsFile::CredentialsFile(env::FileSystem& fs, env::IoQueue& io, env::Executor& executor,
                                 std::string path, std::function<void(Credentials)> changed)
    : fs_(fs), io_(io), executor_(executor), path_(std::move(path)), changed_(std::move(changed)) {}

CredentialsFile::~CredentialsFile() {
  *alive_ = false;
  if (timer_) executor_.cancel(timer_);
}

void CredentialsFile::start() {
  take(env::read_file(fs_, path_, kFileBytesMax));
  watch();
}

void CredentialsFile::watch() {
  timer_ = executor_.schedule_after(kPollMs, [this] {
    timer_ = 0;
    auto content = std::make_shared<Result<std::string>>(std::string());
    io_.submit(
        [content, &fs = fs_, path = path_] {
          *content = env::read_file(fs, path, kFileBytesMax);
          return Status();
        },
        [this, content, alive = alive_](const Status&) {
          if (!*alive) return;
          take(*content);
          watch();
        });
  });
}

void CredentialsFile::take(const Result<std::string>& content) {
  std::string now = content.ok() ? "+" + *content : "-" + content.status().to_string();
  if (now == last_) return;
  last_ = std::move(now);
  if (!content.ok()) {
    log_warn("kinesis", "access keys not read; those that were known stay",
             {{"file", path_}, {"error", content.status().to_string()}});
    return;
  }
  auto credentials = parse_credentials(*content);
  if (!credentials.ok()) {
    log_error("kinesis", "access keys not taken; those that were known stay",
              {{"file", path_}, {"error", credentials.status().message()}});
    return;
  }
  log_info("kinesis", "access keys read", {{"file", path_}, {"keys", credentials->size()}});
  changed_(std::move(*credentials));
}

}  // namespace broker::server::kinesis
