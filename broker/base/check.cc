#include "broker/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace broker {

void check_failed(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, what.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace broker
