// What must happen before an actor system with CAF's network layer may end.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/middleman_actor.hpp>
#include <caf/scoped_actor.hpp>

#include <cstdint>
#include <string>

namespace maestro {

/// Waits until CAF's network actors have taken all that was sent to them so far. CAF 0.17's shutdown loses what is still on its
/// way to its broker, and then leaks the broker, or waits for ever for the actor that the lost message names. A question that
/// passes through both of its actors goes behind everything else.
inline void settle_network(caf::actor_system& system) {
  caf::scoped_actor self(system);
  self->request(system.middleman().actor_handle(), caf::infinite, caf::get_atom::value, caf::node_id{})
      .receive([](const caf::node_id&, const std::string&, std::uint16_t) {}, [](const caf::error&) {});
}

}  // namespace maestro
