// The client: sends commands and questions to aggregates, the same way inside a node's process and across the network. An
// aggregate's type follows from the id, so `client.send(id, deposit{100})` says everything.
#pragma once

#include <maestro/aggregates/aggregate.hpp>
#include <maestro/aggregates/jobs.hpp>
#include <maestro/runtime/node_link.hpp>
#include <maestro/runtime/protocol.hpp>

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace maestro {

struct client_settings {
  std::chrono::milliseconds timeout{10'000};  ///< For every request that names no other.
  /// How long one attempt at a command may take before the next one is made.
  std::chrono::milliseconds attempt_timeout{3'000};
  std::chrono::milliseconds retry_backoff{10};  ///< Before the second attempt; doubles with each.
  std::chrono::milliseconds max_retry_backoff{1'000};
  tls_settings tls{};  ///< Unset: plain TCP. Nodes take either plain TCP or TLS.
};

struct send_options {
  /// Names the command, so that repeating it has no second effect. None: the client makes one; it is in the receipt.
  std::optional<maestro::command_id> command_id;
  std::optional<sequence_number> expect_sequence;  ///< Refuse (`wrong_sequence`) unless the aggregate is there.
  return_mode returns = return_mode::sequences;
  std::string metadata;                            ///< One JSON object to keep with the events, or empty.
  std::string correlation_id;  ///< Of the conversation that the command belongs to, kept with the events; UTF-8, at most 256 bytes.
  std::string causation_id;    ///< Of what made you send it; the same.
  std::chrono::milliseconds timeout{0};            ///< 0: the client's own.
  /// Makes further attempts, under the same command id, after answers that are retryable or in doubt and after lost connections,
  /// until the timeout. Without it the answer is that of the one attempt.
  bool retry = true;
};

/// What is known of a command that was sent, whatever came of it.
struct receipt {
  maestro::command_id command_id;
  command_answer answer;  ///< `answer.failure` tells whether it was accepted.
};

/// A state, and the sequence it belongs to.
template <class T>
struct at_sequence {
  sequence_number sequence = 0;
  T value;
};

struct query_options {
  sequence_number at_least = 0;          ///< `sequence_not_reached` when the store does not hold it yet.
  std::chrono::milliseconds timeout{0};  ///< 0: the client's own.
};

/// Any thread may call any member. The blocking calls must not be made from inside an actor; use `send_async` and `ask_async`
/// there. Every call ends within its timeout. A lost connection is made again, to whichever node answers; questions that
/// went unanswered are asked again, and commands too (`send_options::retry`). A rejection is told only when no earlier attempt at the
/// command can be carried out any more. Errors beyond the node's own answers: `node_unavailable` (nothing was carried out),
/// `timed_out` for questions and `in_doubt` for commands that went unanswered: ask again with the same command id.
class client {
 public:
  /// Connects to the node at `address` within `settings.timeout`, with an actor system of the client's own. Errors:
  /// `node_unavailable`, `protocol_mismatch`, `invalid_setting` (as `tls_context::load`).
  [[nodiscard]] static auto connect(const node_address& address, client_settings settings = {})
      -> result<std::unique_ptr<client>>;
  /// The same for several nodes of one cluster: connects to the first that answers, and to another one when that is lost. It learns who
  /// else is in the cluster, and sends what belongs to one aggregate straight to the node that owns it.
  [[nodiscard]] static auto connect(std::vector<node_address> addresses, client_settings settings = {})
      -> result<std::unique_ptr<client>>;
  /// The same within `system`, which outlives the client and has CAF's middleman and maestro's message types.
  [[nodiscard]] static auto connect(caf::actor_system& system, const node_address& address, client_settings settings = {})
      -> result<std::unique_ptr<client>>;
  /// A client of the node whose gateway is `gateway`, in the same process; the node's clock is `node_ahead` of the system's.
  client(caf::actor_system& system, caf::actor gateway, client_settings settings, std::chrono::milliseconds node_ahead = {});
  /// Answers whoever still waits, as when the node is lost. Not to be called by a function that was handed to the client.
  ~client();
  client(const client&) = delete;
  auto operator=(const client&) -> client& = delete;

  // --- commands -----------------------------------------------------------------------------------------------------------

  /// Sends `command` to `id` and waits for what comes of it.
  template <class Aggregate, class Command>
    requires detail::is_listed<Command, typename Aggregate::commands>
  auto send(const typed_id<Aggregate>& id, const Command& command, send_options options = {}) -> receipt {
    auto payload = encode(command);
    if (!payload) return {options.command_id.value_or(maestro::command_id{}), {payload.failure(), 0, 0, false, {}, {}}};
    return send_json(Aggregate::type, id, registered_name<Command>(), std::move(*payload), std::move(options));
  }

  /// `send` without types: `payload` is the command as a JSON object.
  auto send_json(std::string_view aggregate_type, const aggregate_id& id, std::string_view command, std::string payload,
                 send_options options = {}) -> receipt;

  /// Sends without waiting; `done` is called once, on a thread of the actor system, or on the caller's before this returns where
  /// nothing could be sent (`malformed_payload`), and must not block. What it throws is lost.
  void send_async(std::string_view aggregate_type, const aggregate_id& id, std::string_view command, std::string payload,
                  send_options options, std::function<void(receipt)> done);
  template <class Aggregate, class Command>
    requires detail::is_listed<Command, typename Aggregate::commands>
  void send_async(const typed_id<Aggregate>& id, const Command& command, send_options options,
                  std::function<void(receipt)> done) {
    auto payload = encode(command);
    if (!payload) return done({options.command_id.value_or(maestro::command_id{}), {payload.failure(), 0, 0, false, {}, {}}});
    send_async(Aggregate::type, id, registered_name<Command>(), std::move(*payload), std::move(options), std::move(done));
  }

  /// A new command id, for callers that store it before they send.
  [[nodiscard]] auto new_command_id() -> command_id;

  // --- questions ----------------------------------------------------------------------------------------------------------

  /// The committed state as the node knows it.
  template <class Aggregate>
  [[nodiscard]] auto get(const aggregate_id& id, query_options options = {})
      -> result<at_sequence<typename Aggregate::state>> {
    return decode_reply<typename Aggregate::state>(
        ask(query_verb::get, Aggregate::type, id, [&](query_request& request) { request.at_least = options.at_least; },
            options.timeout));
  }
  template <class Aggregate>
  [[nodiscard]] auto get(const typed_id<Aggregate>& id, query_options options = {}) {
    return get<Aggregate>(id.value, options);
  }

  /// The committed state after asking the store.
  template <class Aggregate>
  [[nodiscard]] auto fetch(const typed_id<Aggregate>& id, query_options options = {})
      -> result<at_sequence<typename Aggregate::state>> {
    return decode_reply<typename Aggregate::state>(
        ask(query_verb::fetch, Aggregate::type, id, [&](query_request& request) { request.at_least = options.at_least; },
            options.timeout));
  }

  /// The state at `sequence`, or at the newest one when that is lower.
  template <class Aggregate>
  [[nodiscard]] auto replay(const typed_id<Aggregate>& id, sequence_number sequence)
      -> result<at_sequence<typename Aggregate::state>> {
    return decode_reply<typename Aggregate::state>(
        ask(query_verb::replay, Aggregate::type, id, [&](query_request& request) { request.up_to = sequence; }));
  }

  /// The state at `time`: after the last event that was recorded by then.
  template <class Aggregate>
  [[nodiscard]] auto replay(const typed_id<Aggregate>& id, std::chrono::system_clock::time_point time)
      -> result<at_sequence<typename Aggregate::state>> {
    const auto since_epoch = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
    return decode_reply<typename Aggregate::state>(ask(query_verb::replay, Aggregate::type, id, [&](query_request& request) {
      request.up_to_time = since_epoch > 0 ? static_cast<std::uint64_t>(since_epoch) : 0;
    }));
  }

  /// Stores a snapshot of the committed state now; returns its sequence (0: there was nothing to store).
  template <class Aggregate>
  auto snapshot(const typed_id<Aggregate>& id) -> result<sequence_number> {
    auto reply = ask(query_verb::snapshot, Aggregate::type, id);
    if (reply.code != 0) return failure_of(reply);
    return reply.sequence;
  }

  /// Asks the aggregate a question of its own.
  template <class Aggregate, class Call>
    requires detail::is_listed<Call, typename Aggregate::calls>
  [[nodiscard]] auto call(const typed_id<Aggregate>& id, const Call& question, query_options options = {}) {
    using answered = decltype(Aggregate::call(std::declval<const typename Aggregate::state&>(), question));
    using reply_type = typename unwrapped<answered>::type;
    auto payload = encode(question);
    if (!payload) return result<at_sequence<reply_type>>(payload.failure());
    return decode_reply<reply_type>(ask(
        query_verb::call, Aggregate::type, id,
        [&](query_request& request) {
          request.name = registered_name<Call>();
          request.payload = std::move(*payload);
          request.at_least = options.at_least;
        },
        options.timeout));
  }

  /// Any question, answered as it comes from the node; `code` is an `errc`, 0 = answered.
  [[nodiscard]] auto ask(query_verb verb, std::string_view aggregate_type, const aggregate_id& id,
                         const std::function<void(query_request&)>& fill = {}, std::chrono::milliseconds timeout = {})
      -> query_reply;
  void ask_async(query_request request, std::chrono::milliseconds timeout, std::function<void(query_reply)> done);

  /// The error in a reply, for printing and passing on.
  [[nodiscard]] static auto failure_of(const query_reply& reply) -> error {
    return {static_cast<errc>(reply.code), reply.message};
  }

  /// What the first node said of itself; empty inside a node.
  [[nodiscard]] auto greeting() const -> const hello_reply& { return greeting_; }

 private:
  template <class T>
  struct unwrapped {
    using type = T;
  };
  template <class T>
  struct unwrapped<result<T>> {
    using type = T;
  };

  template <class T>
  static auto decode_reply(const query_reply& reply) -> result<at_sequence<T>> {
    if (reply.code != 0) return failure_of(reply);
    auto value = decode<T>(reply.state, json_limits{64 * 1024 * 1024, 64, true, false});
    if (!value) return value.failure();
    return at_sequence<T>{reply.sequence, std::move(*value)};
  }

  struct own_system;
  client(std::unique_ptr<own_system> own, caf::actor_system& system, std::vector<node_address> addresses, const node_link& link,
         const client_settings& settings, connector_maker make_connector);
  // Null: a system of the client's own.
  [[nodiscard]] static auto connect(caf::actor_system* system, std::vector<node_address> addresses, client_settings settings)
      -> result<std::unique_ptr<client>>;

  std::unique_ptr<own_system> own_;
  caf::actor_system& system_;
  const bool is_remote_;  // Over the network, not in a node's own process.
  client_settings settings_;
  hybrid_clock clock_;
  hello_reply greeting_;
  caf::actor requester_;
};

}  // namespace maestro
