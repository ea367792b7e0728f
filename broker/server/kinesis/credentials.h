#pragma once
// The access keys that may sign: a YAML list of {accessKeyId, secretAccessKey[, accountId, user]}, from a
// file that is read again when it changes (in Kubernetes, a mounted Secret). A file that is missing
// or wrong leaves the keys that were there. Parsing is pure; the watch runs on the reactor and reads
// on an I/O queue.
#include <functional>
#include <map>
#include <string>

#include "broker/base/status.h"
#include "broker/env/env.h"

namespace broker::server::kinesis {

inline constexpr std::string_view kDefaultAccount = "000000000000";

struct Credential {
  std::string secret;
  std::string account{kDefaultAccount};
  std::string user;  // whose it is, for ACLs and quotas; empty: of a user with the key's id as its name
};
using Credentials = std::map<std::string, Credential, std::less<>>;  // by access key

// kInvalidArgument names the entry and what is wrong with it, never a secret.
Result<Credentials> parse_credentials(const std::string& yaml);

class CredentialsFile {
 public:
  // `changed` gets every good reading that differs from the last.
  CredentialsFile(env::FileSystem& fs, env::IoQueue& io, env::Executor& executor, std::string path,
                  std::function<void(Credentials)> changed);
  ~CredentialsFile();
  // Reads at once (blocking), then every few seconds.
  void start();

 private:
  void take(const Result<std::string>& content);
  void watch();

  env::FileSystem& fs_;
  env::IoQueue& io_;
  env::Executor& executor_;
  const std::string path_;
  std::function<void(Credentials)> changed_;
  std::string last_;        // what was taken or complained about
  env::TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace broker::server::kinesis
