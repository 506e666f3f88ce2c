#include <maestro/runtime/node_link.hpp>

#include <maestro/runtime/strangers.hpp>
#include <maestro/runtime/tcp_probe.hpp>
#include <maestro/store/clock.hpp>

#include <caf/io/middleman.hpp>
#include <caf/io/middleman_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/sec.hpp>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

namespace maestro {

auto node_address::parse(std::string_view text) -> result<node_address> {
  const error wrong{errc::invalid_argument, "\"" + std::string(text) + "\" is no node address; write HOST:PORT"};
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return wrong;
  auto host = text.substr(0, colon);
  const auto port = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos) return wrong;
  node_address address;
  address.host = host;
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (host.empty() || parsed.ec != std::errc{} || parsed.ptr != port.data() + port.size() || address.port == 0) return wrong;
  return address;
}

auto node_address::text() const -> std::string {
  const bool numeric6 = host.find(':') != std::string::npos;
  return (numeric6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

namespace {

using steady_clock = std::chrono::steady_clock;

auto time_until(steady_clock::time_point deadline) -> std::chrono::milliseconds {
  return std::max(std::chrono::milliseconds(1), std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()));
}

auto no_node(const node_address& address, const std::string& reason) -> error {
  return {errc::node_unavailable, "no node answers at " + address.text() + ": " + reason};
}

struct found_gateway {
  caf::actor gateway;  // What the node published; null when that did not arrive in time, or nothing is published there.
  caf::error why;      // CAF's reason, when it is null.
};

auto find_gateway(caf::actor_system& system, const node_address& address, steady_clock::time_point deadline) -> found_gateway {
  found_gateway outcome;
  caf::scoped_actor self(system);
  self->request(system.middleman().actor_handle(), time_until(deadline), caf::connect_atom::value, address.host, address.port)
      .receive(
          [&](const caf::node_id&, const caf::strong_actor_ptr& found, const std::set<std::string>&) {
            outcome.gateway = caf::actor_cast<caf::actor>(found);
          },
          [&](const caf::error& why) { outcome.why = why; });
  return outcome;
}

// Nothing when it was not returned in time, or the connection broke.
auto greet(caf::actor_system& system, const caf::actor& gateway, steady_clock::time_point deadline) -> std::optional<hello_reply> {
  std::optional<hello_reply> greeting;
  caf::scoped_actor self(system);
  self->monitor(gateway);
  self->send(gateway, hello{});
  self->receive([&](hello_reply& reply) { greeting = std::move(reply); }, [](const caf::down_msg&) {},
                caf::after(time_until(deadline)) >> [] {});
  return greeting;
}

// Errors: `protocol_mismatch`.
auto link_to(const node_address& address, caf::actor gateway, hello_reply greeting) -> result<node_link> {
  const auto received = static_cast<std::int64_t>(system_milliseconds(std::chrono::milliseconds(0)));
  if (greeting.version != protocol_version)
    return error{errc::protocol_mismatch, "the node at " + address.text() + " speaks protocol version " +
                                              std::to_string(greeting.version) + ", this program speaks " +
                                              std::to_string(protocol_version)};
  // The lowest that the node's clock can be ahead: an expiry said in its time is then never later than we mean it.
  const auto ahead = static_cast<std::int64_t>(greeting.milliseconds) - received;
  return node_link{std::move(gateway), ahead, std::move(greeting)};
}

}  // namespace

// Two faults of CAF 0.17.6 are undone here by beginning anew.
//
// It names a connection by its file descriptor, and a node forgets a closed one only after a while: if a new one has got the
// descriptor by then, that is forgotten in its place. The node still hears it, but has no way back, until the missing heartbeats
// end it; or it hangs up at once. So our own probe stays open until the node has greeted back, and the end of somebody else's
// connection may cost us ours.
//
// And a connection that is being made counts as silent since ever: a heartbeat of our own that falls into it ends it.
auto connect_node(caf::actor_system& system, const node_address& address, steady_clock::time_point deadline)
    -> result<node_link> {
  constexpr int most_hang_ups = 3;  // Something else that listens there may always do it.
  for (int hang_ups = 0;;) {
    const auto probe = probe_tcp(address.host, address.port, time_until(deadline));
    if (!probe) return no_node(address, probe.failure().message);
    auto [gateway, why] = find_gateway(system, {probe->host(), address.port}, deadline);
    const bool again = why == caf::sec::connection_timeout || (why == caf::sec::disconnect_during_handshake && ++hang_ups < most_hang_ups);
    if (again && steady_clock::now() < deadline) continue;
    if (!gateway) return no_node(address, "what listens there is no maestro node, it is busy, or the timeout is too short");
    if (auto greeting = greet(system, gateway, deadline)) return link_to(address, std::move(gateway), std::move(*greeting));
    if (steady_clock::now() >= deadline) return no_node(address, "it did not return our greeting in time");
  }
}

auto connector::make_behavior() -> caf::behavior {
  ignore_strangers(*this);
  return {
      [this](find_node) {
        send(caf::actor_cast<caf::actor>(current_sender()),
             std::make_shared<result<node_link>>(connect_node(system(), address_, steady_clock::now() + longest_try)));
      },
      [this](stop_connector) { quit(); },
  };
}

auto spawn_connector(caf::actor_system& system, const node_address& address) -> caf::actor {
  return caf::actor_cast<caf::actor>(system.spawn<connector, caf::detached + caf::hidden>(address));
}

}  // namespace maestro
