// The way to a node: its address, and the connection that a client has to it.
#pragma once

#include <maestro/runtime/peer_clock.hpp>
#include <maestro/runtime/protocol.hpp>
#include <maestro/runtime/transport.hpp>
#include <maestro/store/error.hpp>

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace maestro {

/// A node's address.
struct node_address {
  std::string host = "127.0.0.1";
  std::uint16_t port = 4242;
  /// `HOST:PORT`, or `[HOST]:PORT`. Errors: `invalid_argument`.
  [[nodiscard]] static auto parse(std::string_view text) -> result<node_address>;
  [[nodiscard]] auto text() const -> std::string;
  friend auto operator==(const node_address&, const node_address&) -> bool = default;
};

/// A node that has greeted back.
struct node_link {
  caf::actor gateway;
  peer_clock clock;
  hello_reply greeting;
  /// When part of a message came last, of those that take their time (`transport::parts_from`); null: in this process.
  std::function<std::chrono::steady_clock::time_point()> newest_part{};
};

/// Connects to the node at `address`, which takes until `deadline` at most. Not to be called from inside an actor that others wait for.
/// Errors: `node_unavailable`, `protocol_mismatch`.
[[nodiscard]] auto connect_node(transport& over, const node_address& address, std::chrono::steady_clock::time_point deadline)
    -> result<node_link>;

/// To a connector: connect. Answered with a `found_node_ptr`.
struct find_node {};
/// To a connector: end.
struct stop_connector {};
using found_node_ptr = std::shared_ptr<result<node_link>>;

/// Makes the connections to one node, each within `longest_try`. Runs on a thread of its own (`spawn_connector`).
class connector : public caf::event_based_actor {
 public:
  connector(caf::actor_config& config, transport_ptr over, node_address address)
      : caf::event_based_actor(config), over_(std::move(over)), address_(std::move(address)) {}
  auto make_behavior() -> caf::behavior override;

  static constexpr std::chrono::milliseconds longest_try{1'000};

 private:
  const transport_ptr over_;
  const node_address address_;
};

[[nodiscard]] auto spawn_connector(transport_ptr over, const node_address& address) -> caf::actor;

/// Spawns whoever connects to an address.
using connector_maker = std::function<caf::actor(caf::actor_system&, const node_address&)>;
[[nodiscard]] auto connectors_over(transport_ptr over) -> connector_maker;

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::find_node)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::stop_connector)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::found_node_ptr)
