// Processor time and memory of processes, as the kernel counts them.
#pragma once

#include "sample.hpp"

#include <sys/types.h>

#include <string>
#include <vector>

namespace maestro::benchmark {

/// The postmaster of the server that `uri` leads to, which runs on this machine.
[[nodiscard]] auto find_postmaster(const std::string& uri) -> pid_t;

/// Measures from its making until `stop`. Throws `std::runtime_error` where the kernel's figures cannot be read.
class meter {
 public:
  /// Of the processes `own`, and of the server whose postmaster is `server`; 0: there is none.
  meter(std::vector<pid_t> own, pid_t server);

  /// Fills in processor time and memory, for a round with so many operations.
  void stop(sample& into, double operations) const;

 private:
  std::vector<pid_t> own_;
  pid_t server_;
  double own_before_ = 0;
  double server_before_ = 0;
};

}  // namespace maestro::benchmark
