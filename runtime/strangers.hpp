// Actors that peers can reach: CAF's protocol lets whoever is connected send them anything, also what ends an actor by default.
#pragma once

#include <caf/event_based_actor.hpp>

namespace maestro {

/// Makes `self` ignore what it has no handler for (by default it is printed on stdout), and errors, links and requests to
/// exit, all of which would end it. It ends by messages of its own that have no form on the wire. What cannot be refused is
/// `exit_reason::kill`. Call it first in `make_behavior`.
inline void ignore_strangers(caf::event_based_actor& self) {
  self.set_default_handler(caf::drop);
  self.set_error_handler([](caf::error&) {});
  self.set_exit_handler([](caf::exit_msg&) {});
  self.set_down_handler([](caf::down_msg&) {});
}

}  // namespace maestro
