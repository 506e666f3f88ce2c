// What a connection for reads says to whoever would write through it.
#pragma once

#include <maestro/store/store.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace maestro {

/// `what` was asked of a reader.
[[nodiscard]] inline auto only_reads(const std::string& what) -> error {
  return {errc::invalid_argument,
          "this connection only reads, and nothing was written: " + what + "; use one of open_writer"};
}

[[nodiscard]] inline auto only_reads(std::size_t requests) -> std::vector<commit_outcome> {
  return std::vector<commit_outcome>(requests, {0, only_reads("a commit of events")});
}

}  // namespace maestro
