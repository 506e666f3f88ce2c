// What a node knows of an actor that asked it something: which one it is, and whether it is still there.
#pragma once

#include <caf/abstract_actor.hpp>
#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>

namespace maestro {

/// Tells one caller from another, for as long as a handle to it is kept.
[[nodiscard]] inline auto key_of(const caf::actor& caller) -> const void* {
  return caf::actor_cast<caf::actor_control_block*>(caller);
}

/// Whether `caller` has ended. One on another machine ends with its connection. Any thread may ask.
[[nodiscard]] inline auto has_ended(const caf::actor& caller) -> bool {
  const auto* actor = caf::actor_cast<caf::abstract_actor*>(caller);
  return actor == nullptr || actor->getf(caf::abstract_actor::is_terminated_flag);
}

}  // namespace maestro
