// The nodes that are measured: one in this process, or several in processes of their own, and a client of theirs.
#pragma once

#include "../node/process.hpp"
#include "callers.hpp"
#include "ledger.hpp"
#include "meter.hpp"

#include <maestro/runtime/node.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace maestro::benchmark {

using adjust_settings = std::function<void(node_settings&)>;

/// A node in this process on the store at `uri`, and its own client.
[[nodiscard]] auto start_node(const std::string& uri, const adjust_settings& adjust = {}) -> std::unique_ptr<node>;

/// Nodes with a client, and what they cost.
class subject {
 public:
  /// A node in this process. `server` is the postmaster where the store is a PostgreSQL server's, or else 0.
  subject(const std::string& uri, pid_t server, const adjust_settings& adjust = {});
  /// So many nodes in processes of their own with further `arguments`, and a client that is connected to them.
  subject(const std::string& uri, pid_t server, const surroundings& at, int nodes, const std::vector<std::string>& arguments = {},
          const client_settings& how = {});

  [[nodiscard]] auto client() -> maestro::client& { return *client_; }

  /// One round of calls: events a second where each command records `events_each`, processor time for each of them, memory, and, on
  /// PostgreSQL, commands per transaction.
  [[nodiscard]] auto round(std::size_t callers, std::chrono::milliseconds length, const next_request& ask, int events_each = 1) -> sample;

 private:

  std::unique_ptr<node> own_;
  std::vector<std::unique_ptr<test::process>> others_;
  std::vector<pid_t> pids_;
  const pid_t server_;
  std::unique_ptr<store> log_;  // Where transactions are counted; null on SQLite.
  std::unique_ptr<maestro::client> client_;
};

/// Sends commands to `count` ledgers of one type, each time to one that is chosen at random.
template <class Ledger>
class ledgers {
 public:
  explicit ledgers(std::size_t count) {
    ids_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) ids_.push_back(typed_id<Ledger>::fresh(clock_));
  }
  /// Those that are there already.
  explicit ledgers(std::vector<typed_id<Ledger>> ids) : ids_(std::move(ids)) {}

  /// `make` makes the command; `may_fail`: a refusal by the projection is an answer as expected.
  template <class Make>
  [[nodiscard]] auto sends(client& to, Make make, bool may_fail = false) const -> next_request {
    return [this, &to, make, may_fail](std::size_t, answered done) {
      send_options options;
      options.timeout = std::chrono::minutes(1);
      options.retry = false;
      to.send_async(ids_[random_below(ids_.size())], make(), options, [done = std::move(done), may_fail](const receipt& got) {
        done(!got.answer.failure || (may_fail && got.answer.failure.code == errc::projection_failed));
      });
    };
  }

  /// Asks for the state as the node knows it.
  [[nodiscard]] auto gets(client& from) const -> next_request {
    return [this, &from](std::size_t, answered done) { get(from, ids_[random_below(ids_.size())], std::move(done)); };
  }

  /// Asks `some` of them for their state, so that they are in memory.
  static void hydrate(client& from, std::span<const typed_id<Ledger>> some) {
    std::atomic<std::size_t> next{0};
    (void)let_call_times(256, some.size(), [&](std::size_t, answered done) { get(from, some[next++], std::move(done)); });
  }

  [[nodiscard]] auto ids() const -> const std::vector<typed_id<Ledger>>& { return ids_; }

  static auto random_below(std::size_t bound) -> std::size_t {
    thread_local std::uint64_t state = 0x9E3779B97F4A7C15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % bound;
  }

 private:
  static void get(client& from, const typed_id<Ledger>& id, answered done) {
    query_request request;
    request.verb = static_cast<std::uint8_t>(query_verb::get);
    request.aggregate_type = Ledger::type;
    request.aggregate_id = id;
    from.ask_async(std::move(request), std::chrono::minutes(1),
                   [done = std::move(done)](const query_reply& reply) { done(reply.code == 0); });
  }

  hybrid_clock clock_;
  std::vector<typed_id<Ledger>> ids_;
};

/// Nodes on the store at `uri`, made as a `subject` is, and ledgers that live there: so many new ones, or those with given ids.
template <class Ledger>
struct scene {
  template <class Which, class... Nodes>
  scene(std::string store_uri, Which which, pid_t server, Nodes&&... how)
      : uri(std::move(store_uri)), nodes(uri, server, std::forward<Nodes>(how)...), accounts(std::move(which)) {}

  /// Rounds of so many callers, who send what `make` makes.
  template <class Make>
  auto sends(std::size_t callers, Make make, int events_each = 1, bool may_fail = false) -> std::function<sample(std::chrono::milliseconds)> {
    return [this, callers, events_each, ask = accounts.sends(nodes.client(), make, may_fail)](auto length) {
      return nodes.round(callers, length, ask, events_each);
    };
  }
  auto sends(std::size_t callers) { return sends(callers, example_record); }

  const std::string uri;
  subject nodes;
  ledgers<Ledger> accounts;
};

}  // namespace maestro::benchmark
