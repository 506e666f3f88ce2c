// What must hold of a store whose node was killed, held against what a client was told.
#pragma once

#include "load.hpp"

#include <maestro/store/store.hpp>

#include <cstddef>
#include <deque>
#include <stdexcept>

namespace maestro::test {

/// What an audit found wrong.
struct audit_fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct audit_counts {
  std::size_t events = 0;
  std::size_t landed = 0;  ///< Commands in doubt that are in the log,
  std::size_t lost = 0;    ///< and that are not.
};

/// Throws `audit_fault` unless each accepted command is in the log exactly once and whole, no refused one is, each one in doubt is
/// there whole or not at all, the sequences have no gap, and the tables equal a fold of the events.
auto audit(store& from, const std::deque<sent_command>& sent) -> audit_counts;

}  // namespace maestro::test
