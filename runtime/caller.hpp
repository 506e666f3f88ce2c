// What a node knows of an actor that asked it something: which one it is, and whether it still waits for the answer.
#pragma once

#include <caf/abstract_actor.hpp>
#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>

#include <atomic>
#include <memory>

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

/// Set when a question is withdrawn; any thread may look. Null for one that cannot be.
using withdrawn_flag = std::shared_ptr<const std::atomic<bool>>;

/// The actor that has asked a question.
struct question_caller {
  caf::actor actor;
  withdrawn_flag withdrawn;

  /// Whether it has ended, or has withdrawn the question. Any thread may ask.
  [[nodiscard]] auto is_gone() const -> bool { return has_ended(actor) || (withdrawn && *withdrawn); }
};

}  // namespace maestro
