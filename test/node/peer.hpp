// A peer of a node that is no client of ours.
#pragma once

#include "process.hpp"

#include <maestro/runtime/node_link.hpp>
#include <maestro/runtime/protocol.hpp>

#include <boost/test/unit_test.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>

namespace maestro::test {

/// Connects with CAF's own means, and sends what it likes.
class peer {
 public:
  explicit peer(const node_address& node) {
    auto found = system_.middleman().remote_actor(node.host, node.port);
    BOOST_TEST_REQUIRE(static_cast<bool>(found));
    gateway_ = *found;
  }
  [[nodiscard]] auto system() -> caf::actor_system& { return system_; }
  [[nodiscard]] auto gateway() const -> const caf::actor& { return gateway_; }
  /// Returns when the gateway has taken all that was sent to it.
  void finish() {
    caf::scoped_actor self(system_);
    self->send(gateway_, hello{});
    self->receive([](const hello_reply&) {}, caf::after(patience) >> [] { BOOST_ERROR("the gateway does not answer"); });
  }

 private:
  struct configuration : caf::actor_system_config {
    configuration() {
      load<caf::io::middleman>();
      add_message_types<caf::id_block::maestro>();
    }
  };
  configuration configuration_;
  caf::actor_system system_{configuration_};
  caf::actor gateway_;
};

}  // namespace maestro::test
