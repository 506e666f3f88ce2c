// What must hold of a store whose node was killed, held against what a client was told.
#pragma once

#include "load.hpp"
#include "transfer_audit.hpp"

#include <maestro/store/store.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <stdexcept>

namespace maestro::test {

struct audit_counts {
  std::size_t events = 0;
  std::size_t landed = 0;  ///< Commands in doubt that are in the log,
  std::size_t lost = 0;    ///< and that are not.
  std::int64_t cents = 0;  ///< What deposits and withdrawals left in all accounts together.
  transfer_counts transfers;
};

/// Throws `audit_fault` unless each accepted command is in the log exactly once and whole, no refused one is, each one in doubt is
/// there whole or not at all, nothing is that was neither sent nor follows from a transfer that was, the sequences have no gap, the
/// tables equal a fold of the events, transfers have ended as they must (transfer_audit.hpp), and their money is where it should be.
auto audit(store& from, const std::deque<sent_command>& sent) -> audit_counts;

}  // namespace maestro::test
