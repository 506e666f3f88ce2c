#include <maestro/runtime/client.hpp>

#include <maestro/runtime/network_end.hpp>
#include <maestro/runtime/requester.hpp>
#include <maestro/runtime/settings.hpp>
#include <maestro/runtime/tcp_probe.hpp>

#include <caf/actor_system_config.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/middleman_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <charconv>
#include <future>
#include <set>
#include <utility>

namespace maestro {

struct client::own_system {
  ~own_system() { settle_network(system); }
  struct config : caf::actor_system_config {
    config() {
      configure_caf(*this, caf_settings{});
      load<caf::io::middleman>();
      add_message_types<caf::id_block::maestro>();
    }
  };
  config configuration;
  caf::actor_system system{configuration};
};

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

// What the node published; null when that did not arrive in time, or nothing is published there.
auto find_gateway(caf::actor_system& system, const node_address& address, steady_clock::time_point deadline) -> caf::actor {
  caf::actor gateway;
  caf::scoped_actor self(system);
  self->request(system.middleman().actor_handle(), time_until(deadline), caf::connect_atom::value, address.host, address.port)
      .receive(
          [&](const caf::node_id&, const caf::strong_actor_ptr& found, const std::set<std::string>&) {
            gateway = caf::actor_cast<caf::actor>(found);
          },
          [](const caf::error&) {});
  return gateway;
}

}  // namespace

auto client::connect(const node_address& address, client_settings settings) -> result<std::unique_ptr<client>> {
  return connect(nullptr, address, settings);
}

auto client::connect(caf::actor_system& system, const node_address& address, client_settings settings)
    -> result<std::unique_ptr<client>> {
  return connect(&system, address, settings);
}

auto client::connect(caf::actor_system* system, const node_address& address, client_settings settings)
    -> result<std::unique_ptr<client>> {
  const auto deadline = steady_clock::now() + settings.timeout;
  auto host = probe_tcp(address.host, address.port, settings.timeout);
  if (!host) return no_node(address, host.failure().message);
  std::unique_ptr<own_system> own;
  if (system == nullptr) {
    own = std::make_unique<own_system>();
    system = &own->system;
  }
  auto gateway = find_gateway(*system, {*host, address.port}, deadline);
  if (!gateway) return no_node(address, "what listens there is no maestro node, it is busy, or the timeout is too short");
  auto made = std::unique_ptr<client>(new client(std::move(own), *system, std::move(gateway), settings));
  if (auto greeted = made->greet(address, deadline); !greeted) return greeted.failure();
  return made;
}

auto client::greet(const node_address& address, steady_clock::time_point deadline) -> result<void> {
  auto answered = std::make_shared<std::promise<hello_reply>>();
  auto greeting = std::make_shared<outgoing_hello>();
  greeting->deadline = deadline;
  greeting->done = [answered](hello_reply reply) { answered->set_value(std::move(reply)); };
  caf::anon_send(requester_, std::move(greeting));
  greeting_ = answered->get_future().get();
  const auto received = static_cast<std::int64_t>(clock_.physical_milliseconds());
  if (greeting_.version == 0) return no_node(address, "it did not return our greeting in time");
  if (greeting_.version != protocol_version)
    return error{errc::protocol_mismatch, "the node at " + address.text() + " speaks protocol version " +
                                              std::to_string(greeting_.version) + ", this program speaks " +
                                              std::to_string(protocol_version)};
  // The lowest that the node's clock can be ahead: an expiry said in its time is then never later than we mean it.
  node_ahead_ = static_cast<std::int64_t>(greeting_.milliseconds) - received;
  return {};
}

client::client(caf::actor_system& system, caf::actor gateway, client_settings settings, std::chrono::milliseconds node_ahead)
    : client(nullptr, system, std::move(gateway), settings) {
  node_ahead_ = node_ahead.count();
}

client::client(std::unique_ptr<own_system> own, caf::actor_system& system, caf::actor gateway, client_settings settings)
    : own_(std::move(own)),
      settings_(settings),
      requester_(caf::actor_cast<caf::actor>(system.spawn<requester, caf::hidden>(std::move(gateway)))) {}

client::~client() {
  caf::anon_send(requester_, requester_stop{});
  // Everybody has an answer when we are gone, and nothing is on its way into a system that ends.
  if (own_) caf::scoped_actor(own_->system)->wait_for(requester_);
  requester_ = nullptr;
}

auto client::new_command_id() -> command_id { return clock_.fresh<command_id>(); }

void client::send_async(std::string_view aggregate_type, const aggregate_id& id, std::string_view command,
                        std::string payload, send_options options, std::function<void(receipt)> done) {
  const auto timeout = options.timeout.count() > 0 ? options.timeout : settings_.timeout;
  auto sending = std::make_shared<outgoing_command>();
  auto& request = sending->request;
  request.aggregate_type = aggregate_type;
  request.aggregate_id = id;
  request.first_send = !options.command_id;
  request.command_id = options.command_id ? *options.command_id : new_command_id();
  request.command = command;
  request.payload = std::move(payload);
  request.metadata = std::move(options.metadata);
  if (options.expect_sequence) request.expect_sequence = *options.expect_sequence;
  request.returns = static_cast<std::uint8_t>(options.returns);
  // The attempt expires a little before we stop waiting, so that most of the time the node can still say so.
  const auto patience = timeout - std::min<std::chrono::milliseconds>(timeout / 10, std::chrono::milliseconds(500));
  request.expires_at = static_cast<std::uint64_t>(static_cast<std::int64_t>(clock_.physical_milliseconds()) +
                                                  node_ahead_ + patience.count());
  sending->deadline = std::chrono::steady_clock::now() + timeout;
  sending->done = [done = std::move(done), id = request.command_id](command_reply reply) {
    receipt got{id, {}};
    got.answer.failure = {static_cast<errc>(reply.code), std::move(reply.message)};
    got.answer.first = reply.first;
    got.answer.last = reply.last;
    got.answer.repeated = reply.repeated;
    got.answer.events = std::move(reply.events);
    got.answer.state = std::move(reply.state);
    done(std::move(got));
  };
  caf::anon_send(requester_, std::move(sending));
}

auto client::send_json(std::string_view aggregate_type, const aggregate_id& id, std::string_view command,
                       std::string payload, send_options options) -> receipt {
  auto answered = std::make_shared<std::promise<receipt>>();
  auto future = answered->get_future();
  send_async(aggregate_type, id, command, std::move(payload), std::move(options),
             [answered](receipt got) { answered->set_value(std::move(got)); });
  return future.get();
}

void client::ask_async(query_request request, std::chrono::milliseconds timeout, std::function<void(query_reply)> done) {
  if (timeout.count() <= 0) timeout = settings_.timeout;
  auto asking = std::make_shared<outgoing_query>();
  asking->request = std::move(request);
  asking->deadline = std::chrono::steady_clock::now() + timeout;
  asking->done = std::move(done);
  caf::anon_send(requester_, std::move(asking));
}

auto client::ask(query_verb verb, std::string_view aggregate_type, const aggregate_id& id,
                 const std::function<void(query_request&)>& fill, std::chrono::milliseconds timeout) -> query_reply {
  query_request request;
  request.verb = static_cast<std::uint8_t>(verb);
  request.aggregate_type = aggregate_type;
  request.aggregate_id = id;
  if (fill) fill(request);
  auto answered = std::make_shared<std::promise<query_reply>>();
  auto future = answered->get_future();
  ask_async(std::move(request), timeout, [answered](query_reply reply) { answered->set_value(std::move(reply)); });
  return future.get();
}

}  // namespace maestro
