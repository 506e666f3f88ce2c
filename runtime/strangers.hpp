// Actors that peers can reach. CAF's protocol lets a peer address any actor by its number or name, and send it anything, also what
// ends an actor by default.
#pragma once

#include <caf/event_based_actor.hpp>

namespace maestro {

/// A base class of the actors that a peer's messages may reach. A connection (connection.hpp) drops what a peer sends to any other
/// actor: CAF's own servers, say, which print or keep whatever they are sent.
class open_to_peers {
 public:
  virtual ~open_to_peers() = default;

 protected:
  open_to_peers() = default;
  open_to_peers(const open_to_peers&) = default;
  auto operator=(const open_to_peers&) -> open_to_peers& = default;
};

/// Makes `self` ignore what it has no handler for (by default it is printed on stdout), and errors, links and requests to
/// exit, all of which would end it. It ends by messages of its own that have no form on the wire. Connections let none of these
/// through; this is the second door. Call it first in `make_behavior`.
inline void ignore_strangers(caf::event_based_actor& self) {
  self.set_default_handler(caf::drop);
  self.set_error_handler([](caf::error&) {});
  self.set_exit_handler([](caf::exit_msg&) {});
  self.set_down_handler([](caf::down_msg&) {});
}

}  // namespace maestro
