// Sends the log's commands to their aggregates: many packages at a time, each package's commands one after the other.
#pragma once

#include "dpkg.hpp"

#include <maestro/runtime/client.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace packages {

struct fed {
  std::size_t accepted = 0;
  std::size_t repeated = 0;  ///< Of those: the store knew them from an earlier run.
  std::size_t events = 0;    ///< Recorded by this run.
  std::vector<std::string> refused;  ///< A line for each command that was not accepted, with the reason.
};

/// Returns when every command is answered. A command that may succeed later, or whose outcome is not known, is sent again
/// under its own id, a few times. `progress` is told how many are answered, on the caller's thread.
[[nodiscard]] auto feed(maestro::client& client, const std::vector<log_line>& lines,
                        const std::function<void(std::size_t)>& progress) -> fed;

}  // namespace packages
