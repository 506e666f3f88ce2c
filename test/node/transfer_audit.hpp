// What must hold of the transfers in a log, whatever became of the nodes that drove them.
#pragma once

#include <maestro/store/store.hpp>

#include <cstddef>
#include <stdexcept>
#include <unordered_set>

namespace maestro::test {

/// What an audit found wrong.
struct audit_fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct transfer_counts {
  std::size_t delivered = 0;
  std::size_t declined = 0;
  std::size_t returned = 0;
  /// The commands that followed from the customers': the driver's, for every step that any of the transfers can take.
  std::unordered_set<command_id> may_follow;

  [[nodiscard]] auto all() const -> std::size_t { return delivered + declined + returned; }
};

/// Throws `audit_fault` unless each transfer in the log has gone one way to its end, and money was moved for it as that way asks: once, and
/// nothing besides.
[[nodiscard]] auto audit_transfers(store& from) -> transfer_counts;

}  // namespace maestro::test
