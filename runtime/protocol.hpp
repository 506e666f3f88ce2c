// What crosses the wire between clients and nodes: value structs, one per message, in CAF's binary format. Every request
// carries a number of its sender's, and its reply carries the same one; nothing depends on CAF's own request machinery.
#pragma once

#include <maestro/aggregates/jobs.hpp>
#include <maestro/store/store.hpp>

#include <caf/error.hpp>
#include <caf/meta/load_callback.hpp>
#include <caf/meta/type_name.hpp>
#include <caf/type_id.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace maestro {

/// Raised when a message changes its form or meaning. Peers of different versions refuse each other by name.
inline constexpr std::uint16_t protocol_version = 4;

/// The first message on a connection.
struct hello {
  std::uint64_t request = 0;
  std::uint16_t version = protocol_version;
};

/// A node of a cluster, as clients need it.
struct member_address {
  std::string name;
  std::string address;  ///< HOST:PORT.
};

/// The members that the aggregates of one type live on.
struct type_members {
  std::string aggregate_type;
  std::vector<std::uint32_t> members;  ///< Indices into the list of members, ascending.
};

struct hello_reply {
  std::uint64_t request = 0;
  std::uint16_t version = protocol_version;
  std::uint64_t milliseconds = 0;  ///< The node's `expiry_milliseconds`: lets a client say expiries in the node's time.
  std::string node;                ///< The node's name.
  maestro::incarnation_id incarnation;  ///< Its run; the zero id until it has joined its cluster.
  std::string store;               ///< Tells the node's store from every other one; empty where that is not known.
  std::uint64_t max_message_bytes = 0;  ///< The longest message that it takes.
  std::vector<std::string> aggregate_types;  ///< Of the whole cluster.
  std::vector<member_address> members;  ///< Those that are alive, this node among them.
  std::vector<type_members> placements;  ///< The types whose aggregates do not live on all of these.
};

struct command_request {
  std::uint64_t request = 0;
  std::string aggregate_type;
  maestro::aggregate_id aggregate_id;
  maestro::command_id command_id;
  std::string command;
  std::string payload;
  std::string metadata;
  std::string correlation_id;
  std::string causation_id;
  bool first_send = false;
  std::uint64_t expires_at = 0;      ///< In the node's time; 0 = never.
  std::int64_t expect_sequence = -1;  ///< -1: whatever it is.
  std::uint8_t returns = 0;           ///< A `return_mode`.
  std::uint8_t hops = 0;              ///< How many nodes have handed it on.
};

struct command_reply {
  std::uint64_t request = 0;
  std::uint16_t code = 0;  ///< An `errc`; 0 = accepted.
  std::string message;
  sequence_number first = 0;
  sequence_number last = 0;
  bool repeated = false;
  std::vector<event> events;
  std::string state;
};

/// What a query asks for: the aggregate's `query_kind`s, what the log answers without it, how the node's own work stands, and the
/// members of its cluster.
enum class query_verb : std::uint8_t { get = 0, fetch = 1, replay = 2, snapshot = 3, call = 4, events = 5, list = 6, rebuild = 7, diff = 8, members = 9 };

struct query_request {
  static constexpr std::uint64_t any_time = UINT64_MAX;

  std::uint64_t request = 0;
  std::uint8_t verb = 0;  ///< A `query_verb`.
  std::string aggregate_type;
  maestro::aggregate_id aggregate_id;  ///< For `list`: exclusive minimum.
  sequence_number at_least = 0;        ///< `get`, `fetch`, `call`.
  sequence_number up_to = max_sequence();   ///< `replay`, `diff`; see `moment`.
  std::uint64_t up_to_time = any_time;
  sequence_number from = max_sequence();    ///< `diff`.
  std::uint64_t from_time = any_time;
  sequence_number after = 0;           ///< `events`: exclusive minimum.
  std::uint32_t limit = 0;             ///< `events`, `list`: at most this many rows; the node sends fewer where they are large.
  std::string name;                    ///< `call`; `rebuild`: the projection.
  std::string payload;                 ///< `call`; `rebuild`: `resume`, `restart` or `abandon`; nothing to ask how it stands.
  std::uint64_t expires_at = 0;        ///< In the node's time: nobody waits for the answer any more; 0 = never.
  std::uint8_t hops = 0;
  /// From a node that hands on the questions of several clients: tells these apart, and nothing else. Of no meaning in
  /// a client's own question (`hops` 0).
  std::uint64_t asker = 0;
};

struct query_reply {
  std::uint64_t request = 0;
  std::uint16_t code = 0;
  std::string message;
  sequence_number sequence = 0;
  std::string state;
  std::vector<event> events;
  std::vector<aggregate_head> heads;
  bool more = false;  ///< `events`, `list`: there are rows after these. `rebuild`: it goes on.
};

/// From a node to another: the answers to these questions, which it has handed on, are not wanted any more. There is no
/// reply. A number that is not, or not any more, that of a handed-on question of the same sender means nothing.
struct query_withdrawal {
  static constexpr std::size_t most_requests = 1'000;  ///< What comes after them is not looked at.

  std::vector<std::uint64_t> requests;
};

/// Makes `reply` one that says `failure`.
template <class Reply>
void set_failure(Reply& reply, error failure) {
  reply.code = static_cast<std::uint16_t>(failure.code);
  reply.message = std::move(failure.message);
}

template <class Inspector, class Tag>
auto inspect(Inspector& f, id16<Tag>& id) -> typename Inspector::result_type {
  return f(caf::meta::type_name("id"), id.bytes);
}

// A row without a command has the zero id on the wire.
template <class Inspector>
auto inspect(Inspector& f, event& row) -> typename Inspector::result_type {
  command_id command = row.command_id.value_or(command_id{});
  if constexpr (Inspector::reads_state) {
    return f(caf::meta::type_name("event"), row.timestamp, row.aggregate_id, row.sequence, row.aggregate_type, row.type,
             row.body, command, row.metadata);
  } else {
    auto set_command = [&] { row.command_id = command ? std::optional(command) : std::nullopt; };
    return f(caf::meta::type_name("event"), row.timestamp, row.aggregate_id, row.sequence, row.aggregate_type, row.type,
             row.body, command, row.metadata, caf::meta::load_callback([&] {
               set_command();
               return caf::error{};
             }));
  }
}

template <class Inspector>
auto inspect(Inspector& f, aggregate_head& x) -> typename Inspector::result_type {
  return f(caf::meta::type_name("aggregate_head"), x.aggregate_id, x.sequence, x.timestamp);
}

template <class Inspector>
auto inspect(Inspector& f, hello& x) -> typename Inspector::result_type {
  return f(caf::meta::type_name("hello"), x.request, x.version);
}

template <class Inspector>
auto inspect(Inspector& f, member_address& x) -> typename Inspector::result_type {
  return f(caf::meta::type_name("member_address"), x.name, x.address);
}

template <class Inspector>
auto inspect(Inspector& f, type_members& x) -> typename Inspector::result_type {
  return f(caf::meta::type_name("type_members"), x.aggregate_type, x.members);
}

template <class Inspector>
auto inspect(Inspector& f, hello_reply& x) -> typename Inspector::result_type {
  return f(caf::meta::type_name("hello_reply"), x.request, x.version, x.milliseconds, x.node, x.incarnation, x.store,
           x.max_message_bytes, x.aggregate_types, x.members, x.placements);
}

template <class Inspector>
auto inspect(Inspector& f, command_request& x) -> typename Inspector::result_type {
  return f(caf::meta::type_name("command_request"), x.request, x.aggregate_type, x.aggregate_id, x.command_id, x.command,
           x.payload, x.metadata, x.correlation_id, x.causation_id, x.first_send, x.expires_at, x.expect_sequence, x.returns, x.hops);
}

template <class Inspector>
auto inspect(Inspector& f, command_reply& x) -> typename Inspector::result_type {
  return f(caf::meta::type_name("command_reply"), x.request, x.code, x.message, x.first, x.last, x.repeated, x.events,
           x.state);
}

template <class Inspector>
auto inspect(Inspector& f, query_request& x) -> typename Inspector::result_type {
  return f(caf::meta::type_name("query_request"), x.request, x.verb, x.aggregate_type, x.aggregate_id, x.at_least,
           x.up_to, x.up_to_time, x.from, x.from_time, x.after, x.limit, x.name, x.payload, x.expires_at, x.hops,
           x.asker);
}

template <class Inspector>
auto inspect(Inspector& f, query_reply& x) -> typename Inspector::result_type {
  return f(caf::meta::type_name("query_reply"), x.request, x.code, x.message, x.sequence, x.state, x.events, x.heads,
           x.more);
}

template <class Inspector>
auto inspect(Inspector& f, query_withdrawal& x) -> typename Inspector::result_type {
  return f(caf::meta::type_name("query_withdrawal"), x.requests);
}

}  // namespace maestro

CAF_BEGIN_TYPE_ID_BLOCK(maestro, caf::first_custom_type_id)

  CAF_ADD_TYPE_ID(maestro, (maestro::hello))
  CAF_ADD_TYPE_ID(maestro, (maestro::hello_reply))
  CAF_ADD_TYPE_ID(maestro, (maestro::command_request))
  CAF_ADD_TYPE_ID(maestro, (maestro::command_reply))
  CAF_ADD_TYPE_ID(maestro, (maestro::query_request))
  CAF_ADD_TYPE_ID(maestro, (maestro::query_reply))
  CAF_ADD_TYPE_ID(maestro, (maestro::query_withdrawal))

CAF_END_TYPE_ID_BLOCK(maestro)
