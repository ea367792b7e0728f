// What a broker tells of its certificate files: only what every door has had the time to load.
#include "broker/app/certificates.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "broker/env/posix/posix.h"
#include "broker/security/tls.h"

namespace broker::app {
namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/sluice-test-XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string put(const std::string& name, const std::string& text) const {
    std::ofstream(path + "/" + name) << text;
    return path + "/" + name;
  }
  std::string path;
};

TEST(Certificates, ANewFileIsToldAfterASecondLook) {
  Folder folder;
  env::PosixFileSystem fs;
  env::PosixClock clock;
  Metrics metrics;
  Config config;
  config.tls_ca = folder.put("ca", "one");
  config.tls_cert = folder.put("cert", "two");
  config.client_tls_ca = config.client_tls_cert = config.tls_cert;
  Certificates certificates(fs, clock, metrics, config);
  EXPECT_EQ(certificates.loaded().ca(), security::sha256_hex("one"));
  EXPECT_EQ(certificates.loaded().cert(), security::sha256_hex("two"));
  EXPECT_EQ(certificates.loaded().client_ca(), "") << "no listener with TLS";
  folder.put("ca", "three");
  certificates.look();
  EXPECT_EQ(certificates.loaded().ca(), security::sha256_hex("one"));
  certificates.look();
  EXPECT_EQ(certificates.loaded().ca(), security::sha256_hex("three"));
}

TEST(Certificates, WhatIsShownToClientsIsToldToo) {
  Folder folder;
  env::PosixFileSystem fs;
  env::PosixClock clock;
  Metrics metrics;
  Config config;
  config.kafka_listeners.push_back({.name = "out", .address = {}, .tls = true, .advertise = {}});
  config.client_tls_ca = folder.put("ca", "one");
  config.client_tls_cert = folder.put("cert", "two");
  Certificates certificates(fs, clock, metrics, config);
  EXPECT_EQ(certificates.loaded().ca(), "");
  EXPECT_EQ(certificates.loaded().client_ca(), security::sha256_hex("one"));
  EXPECT_EQ(certificates.loaded().client_cert(), security::sha256_hex("two"));
  EXPECT_EQ(security::sha256_hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace broker::app
