#pragma once
// The certificate files of this broker as its doors have loaded them: what it tells the coordinator,
// which waits for it in a rotation, and how long they last, as metrics. Used by the broker on the
// reactor; seconds_left() by the metrics page, on its thread too.
#include <map>
#include <string>

#include "broker/app/config.h"
#include "broker/base/metrics.h"
#include "broker/env/env.h"
#include "broker/proto/coordination.pb.h"

namespace broker::app {

class Certificates {
 public:
  Certificates(env::FileSystem& fs, env::Clock& clock, Metrics& metrics, const Config& config);
  // Called every ten seconds, after the doors have looked at their files.
  void look();
  // What was there at the last look and at the one before: doors that look by themselves, as often,
  // have it too.
  const sluice::v1::Certificates& loaded() const { return loaded_; }
  // Sets the metrics.
  void refresh();

 private:
  std::string read(const std::string& path) const;
  sluice::v1::Certificates read_all();

  env::FileSystem& fs_;
  env::Clock& clock_;
  const std::string ca_, cert_, client_ca_, client_cert_;
  sluice::v1::Certificates seen_, loaded_;
  struct End {
    prometheus::Gauge* left = nullptr;
    int64_t ends_s = 0;
  };
  std::map<std::string, End> ends_;  // by file
};

}  // namespace broker::app
