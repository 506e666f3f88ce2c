#include <maestro/runtime/client.hpp>

#include <maestro/aggregates/metadata.hpp>
#include <maestro/runtime/network_end.hpp>
#include <maestro/runtime/requester.hpp>
#include <maestro/runtime/settings.hpp>

#include <caf/actor_system_config.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <future>
#include <optional>
#include <utility>

namespace maestro {

struct client::own_system {
  ~own_system() {
    settle_network(system);
    if (network) ending.emplace(*network, std::chrono::seconds(1));
  }
  struct config : caf::actor_system_config {
    config() {
      configure_caf(*this, caf_settings{});
      load<caf::io::middleman>();
      add_message_types<caf::id_block::maestro>();
    }
  };
  config configuration;
  transport_ptr network;
  std::optional<farewell> ending;  // From before the system's end until after it.
  caf::actor_system system{configuration};
};

using steady_clock = std::chrono::steady_clock;

auto client::connect(const node_address& address, client_settings settings) -> result<std::unique_ptr<client>> {
  return connect(nullptr, {address}, settings);
}

auto client::connect(std::vector<node_address> addresses, client_settings settings) -> result<std::unique_ptr<client>> {
  return connect(nullptr, std::move(addresses), settings);
}

auto client::connect(caf::actor_system& system, const node_address& address, client_settings settings)
    -> result<std::unique_ptr<client>> {
  return connect(&system, {address}, settings);
}

auto client::connect(caf::actor_system* system, std::vector<node_address> addresses, client_settings settings)
    -> result<std::unique_ptr<client>> {
  const auto deadline = steady_clock::now() + settings.timeout;
  tls_context_ptr tls;
  if (settings.tls.wanted()) {
    auto loaded = tls_context::load(settings.tls, tls_end::client);
    if (!loaded) return loaded.failure();
    tls = std::move(*loaded);
  }
  std::unique_ptr<own_system> own;
  if (system == nullptr) {
    own = std::make_unique<own_system>();
    system = &own->system;
  }
  // What we have asked for may be larger than what a node takes.
  transport_settings bounds;
  bounds.max_message_bytes *= 4;
  bounds.max_receiving_bytes *= 4;
  const auto over = std::make_shared<transport>(*system, bounds, std::move(tls));
  if (own) own->network = over;
  // One address has all the time there is; of several none may keep the others waiting.
  const bool one = addresses.size() == 1;
  result<node_link> link = error{errc::node_unavailable, "there is no address to connect to"};
  for (auto& address : addresses) {
    link = connect_node(*over, address, one ? deadline : std::min(deadline, steady_clock::now() + connector::longest_try));
    if (!link) continue;
    std::swap(address, addresses.front());
    return std::unique_ptr<client>(new client(std::move(own), *system, std::move(addresses), *link, settings, connectors_over(over)));
  }
  return std::move(link).failure();
}

namespace {

// That of a node in this process.
auto own_clock(std::chrono::milliseconds offset) -> peer_clock {
  peer_clock clock;
  const auto asked = steady_clock::now();
  const auto reading = expiry_milliseconds(offset);
  clock.learn(reading, asked, steady_clock::now());
  return clock;
}

}  // namespace

client::client(caf::actor_system& system, caf::actor gateway, client_settings settings, std::chrono::milliseconds node_ahead)
    : client(nullptr, system, {}, node_link{std::move(gateway), own_clock(node_ahead), {}}, settings, nullptr) {}

client::client(std::unique_ptr<own_system> own, caf::actor_system& system, std::vector<node_address> addresses, const node_link& link,
               const client_settings& settings, connector_maker make_connector)
    : own_(std::move(own)), system_(system), is_remote_(!addresses.empty()), settings_(settings), greeting_(link.greeting) {
  requester_settings handling;
  handling.attempt_timeout = settings.attempt_timeout;
  handling.retry_backoff = settings.retry_backoff;
  handling.max_retry_backoff = settings.max_retry_backoff;
  handling.follow_members = is_remote_;  // In a node's own process its gateway hands on what is not its own.
  handling.make_connector = std::move(make_connector);
  requester_ = caf::actor_cast<caf::actor>(system.spawn<requester, caf::hidden>(std::move(addresses), link, std::move(handling)));
}

client::~client() {
  caf::anon_send(requester_, requester_stop{});
  // Everybody has an answer when we are gone, and nothing is on its way into a system that ends.
  if (is_remote_) caf::scoped_actor(system_)->wait_for(requester_);
  requester_ = nullptr;
}

auto client::new_command_id() -> command_id { return clock_.fresh<command_id>(); }

void client::send_async(std::string_view aggregate_type, const aggregate_id& id, std::string_view command,
                        std::string payload, send_options options, std::function<void(receipt)> done) {
  if (auto checked = check_ids(options.correlation_id, options.causation_id); !checked)
    return done({options.command_id.value_or(maestro::command_id{}), {checked.failure(), 0, 0, false, {}, {}}});
  auto sending = std::make_shared<outgoing_command>();
  auto& request = sending->request;
  request.aggregate_type = aggregate_type;
  request.aggregate_id = id;
  request.first_send = !options.command_id;
  request.command_id = options.command_id ? *options.command_id : new_command_id();
  request.command = command;
  request.payload = std::move(payload);
  request.metadata = std::move(options.metadata);
  request.correlation_id = std::move(options.correlation_id);
  request.causation_id = std::move(options.causation_id);
  if (options.expect_sequence) request.expect_sequence = *options.expect_sequence;
  request.returns = static_cast<std::uint8_t>(options.returns);
  sending->retry = sending->wait_for_node = options.retry;
  sending->deadline = steady_clock::now() + (options.timeout.count() > 0 ? options.timeout : settings_.timeout);
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
  // A rebuild is the matter of the node that does it: another one does not know of it.
  asking->retry = asking->wait_for_node = static_cast<query_verb>(asking->request.verb) != query_verb::rebuild;
  asking->deadline = steady_clock::now() + timeout;
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
