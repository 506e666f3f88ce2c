#include <maestro/runtime/node_link.hpp>

#include <maestro/runtime/strangers.hpp>
#include <maestro/runtime/tcp.hpp>
#include <maestro/store/redaction.hpp>
#include <maestro/store/watched.hpp>

#include <caf/blocking_actor.hpp>
#include <caf/exit_reason.hpp>
#include <caf/scoped_execution_unit.hpp>

#include <algorithm>
#include <charconv>
#include <optional>
#include <thread>
#include <utility>

namespace maestro {

auto node_address::parse(std::string_view text) -> result<node_address> {
  const error wrong{errc::invalid_argument, "\"" + redacted(text) + "\" is no node address; write HOST:PORT"};
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

constexpr std::chrono::milliseconds after_a_loss{100};

auto no_node(const node_address& address, const std::string& reason) -> error {
  return {errc::node_unavailable, "no node answers at " + address.text() + ": " + reason};
}

// Errors: `protocol_mismatch`.
auto link_to(const node_address& address, caf::actor gateway, hello_reply greeting, steady_clock::time_point asked) -> result<node_link> {
  if (greeting.version != protocol_version)
    return error{errc::protocol_mismatch, "the node at " + address.text() + " speaks protocol version " +
                                              std::to_string(greeting.version) + ", this program speaks " +
                                              std::to_string(protocol_version)};
  peer_clock clock;
  clock.learn(greeting.milliseconds, asked, steady_clock::now());
  return node_link{std::move(gateway), clock, std::move(greeting), {}};
}

enum class next_try { useless, at_once, after_a_pause };

// What came of one try to connect.
struct attempt {
  result<node_link> link;
  next_try next = next_try::useless;
};

// Sends a greeting and waits for the reply. Lives in the block that makes it, and blocks the thread that calls it.
class greeter {
 public:
  explicit greeter(caf::actor_system& system) : context_(&system) {
    caf::actor_config configuration{&context_};
    self_ = caf::actor_cast<caf::strong_actor_ptr>(system.spawn_impl<body, caf::no_spawn_options>(configuration));
  }
  ~greeter() { (*this)->cleanup(caf::exit_reason::normal, &context_); }
  greeter(const greeter&) = delete;
  auto operator=(const greeter&) -> greeter& = delete;

  auto operator->() const -> caf::blocking_actor* {
    return static_cast<caf::blocking_actor*>(caf::actor_cast<caf::abstract_actor*>(self_));
  }

 private:
  // As a caf::scoped_actor is made, but open to peers.
  class body final : public caf::blocking_actor, public open_to_peers {
   public:
    using caf::blocking_actor::blocking_actor;
    void act() override {}
    void launch(caf::execution_unit*, bool, bool) override {
      register_at_system();
      initialize();
    }
  };

  caf::scoped_execution_unit context_;
  caf::strong_actor_ptr self_;
};

auto greet(caf::actor_system& system, const node_address& address, const caf::actor& gateway, steady_clock::time_point deadline) -> attempt {
  attempt made{no_node(address, "it did not return our greeting in time")};
  const greeter self(system);
  self->monitor(gateway);
  const auto asked = steady_clock::now();
  self->send(gateway, hello{});
  self->receive([&](hello_reply& reply) { made.link = link_to(address, gateway, std::move(reply), asked); },
                [&](const caf::down_msg& down) {
                  if (down.reason == caf::exit_reason::remote_link_unreachable)
                    made = {no_node(address, "the connection was lost before it returned our greeting"), next_try::after_a_pause};
                  else made = {no_node(address, "it has just ended")};
                },
                caf::after(milliseconds_until(deadline)) >> [] {});
  return made;
}

auto try_to_connect(transport& over, const node_address& address, steady_clock::time_point deadline) -> attempt {
  const auto found = over.connect(address.host, address.port, deadline);
  if (found.published) {
    auto made = greet(over.system(), address, found.published, deadline);
    if (made.link) made.link->newest_part = over.parts_from(found.published.node());
    return made;
  }
  return {no_node(address, found.why), found.timed_out_in_caf ? next_try::at_once : next_try::useless};
}

}  // namespace

// CAF 0.17.6 takes a connection that is being made for one that has been silent since ever: a heartbeat of our own that falls into it
// ends it, and we begin anew. So we do when a node was too busy to be heard for CAF's connection timeout, or hung up: after a pause,
// as it may do so each time.
auto connect_node(transport& over, const node_address& address, steady_clock::time_point deadline) -> result<node_link> {
  std::optional<error> lost;
  while (true) {
    auto made = try_to_connect(over, address, deadline);
    if (made.link) return std::move(made.link);
    if (made.next == next_try::after_a_pause) {
      lost = made.link.failure();
      std::this_thread::sleep_until(std::min(deadline, steady_clock::now() + after_a_loss));
    }
    const bool time_is_over = steady_clock::now() >= deadline;
    if (time_is_over && lost) return *lost;  // It took the time.
    if (time_is_over || made.next == next_try::useless) return std::move(made.link);
  }
}

auto connector::make_behavior() -> caf::behavior {
  ignore_strangers(*this);
  be_watched(*this, "a connector", {});
  return {
      [this](find_node) {
        result<node_link> found = error{errc::node_unavailable, "no attempt was made"};
        try {
          found = connect_node(*over_, address_, steady_clock::now() + longest_try);
        } catch (const std::exception& problem) {  // Out of memory or threads: the next attempt may fare better.
          found = no_node(address_, problem.what());
        }
        send(caf::actor_cast<caf::actor>(current_sender()), std::make_shared<result<node_link>>(std::move(found)));
      },
      [this](stop_connector) { quit(); },
  };
}

auto spawn_connector(transport_ptr over, const node_address& address) -> caf::actor {
  auto& system = over->system();
  return caf::actor_cast<caf::actor>(system.spawn<connector, caf::detached + caf::hidden>(std::move(over), address));
}

auto connectors_over(transport_ptr over) -> connector_maker {
  return [over = std::move(over)](caf::actor_system&, const node_address& address) { return spawn_connector(over, address); };
}

}  // namespace maestro
