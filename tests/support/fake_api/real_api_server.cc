#include "tests/support/fake_api/real_api_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "broker/base/check.h"
#include "broker/env/posix/posix.h"
#include "operator/kube/client/client.h"

namespace sluice_tests {
namespace {

constexpr const char* kToken = "sluice-test-token";

int free_port() {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

int spawn(const std::vector<std::string>& command, const std::string& log) {
  pid_t parent = getpid();
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid > 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing is left behind when the test is killed
  if (getppid() != parent) _exit(127);
  int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(fd, 1);
  dup2(fd, 2);
  std::vector<char*> argv;
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

void end_process(int pid) {
  if (pid <= 0) return;
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

void write_key(const std::string& path) {
  EVP_PKEY* key = EVP_RSA_gen(2048);
  FILE* file = fopen(path.c_str(), "w");
  CHECK(key && file);
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  fclose(file);
  EVP_PKEY_free(key);
}

std::string content(const std::string& path) {
  std::ifstream in(path);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace

std::unique_ptr<RealApiServer> RealApiServer::start() {
  const char* binaries = std::getenv("SLUICE_KUBE_BIN");
  if (!binaries || !*binaries) return nullptr;
  std::unique_ptr<RealApiServer> server(new RealApiServer());
  std::string folder = (std::filesystem::temp_directory_path() / "sluice-api-XXXXXX").string();
  CHECK(mkdtemp(folder.data()) != nullptr);
  server->folder_ = folder;
  std::string etcd = "http://127.0.0.1:" + std::to_string(free_port());
  std::string peer = "http://127.0.0.1:" + std::to_string(free_port());
  server->port_ = free_port();
  write_key(folder + "/sa.key");
  std::ofstream(folder + "/tokens.csv") << kToken << ",admin,admin,system:masters\n";
  server->etcd_ = spawn({std::string(binaries) + "/etcd", "--data-dir=" + folder + "/etcd",
                         "--listen-client-urls=" + etcd, "--advertise-client-urls=" + etcd,
                         "--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
                         "--initial-cluster=default=" + peer, "--unsafe-no-fsync"},
                        folder + "/etcd.log");
  server->api_server_ =
      spawn({std::string(binaries) + "/kube-apiserver", "--etcd-servers=" + etcd,
             "--secure-port=" + std::to_string(server->port_), "--bind-address=127.0.0.1",
             "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
             "--cert-dir=" + folder + "/certs", "--token-auth-file=" + folder + "/tokens.csv",
             "--service-account-key-file=" + folder + "/sa.key",
             "--service-account-signing-key-file=" + folder + "/sa.key",
             "--service-account-issuer=https://kubernetes.default.svc",
             "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC",
             "--disable-admission-plugins=ServiceAccount"},
            folder + "/api.log");
  server->wait_until_ready();
  return server;
}

void RealApiServer::wait_until_ready() {
  broker::env::PosixClock clock;
  broker::env::PosixFileSystem fs;
  broker::env::SystemRandom random;
  broker::Metrics metrics;
  for (int tries = 0; tries < 300; ++tries) {
    usleep(200'000);
    CHECK_EQ(waitpid(api_server_, nullptr, WNOHANG), 0);
    if (!std::filesystem::exists(folder_ + "/certs/apiserver.crt")) continue;
    auto client = sluice_operator::kube::Client::open(client_config(), fs, clock, random, metrics,
                                                      {.request_timeout_ms = 2'000,
                                                       .read_attempts = 1});
    if (client.ok() && (*client)->get_raw("/readyz").ok()) return;
  }
  broker::check_failed(__FILE__, __LINE__, "kube-apiserver is not ready; see " + folder_);
}

RealApiServer::~RealApiServer() {
  end_process(api_server_);
  end_process(etcd_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

sluice_operator::kube::ClientConfig RealApiServer::client_config() const {
  sluice_operator::kube::ClientConfig config;
  config.server = "https://127.0.0.1:" + std::to_string(port_);
  config.ca_pem = content(folder_ + "/certs/apiserver.crt");  // self-signed, its CA included
  config.token = kToken;
  config.ns = "default";
  return config;
}

}  // namespace sluice_tests
