// The registry: the node's gateway and its list of live aggregates. It takes requests from clients anywhere, starts an
// aggregate's actor when the first one comes, and passivates aggregates that are idle. In a cluster it hands on what belongs to
// another member, and lets go of what has moved there. Requests it cannot place are answered here, at once and by name.
#pragma once

#include <maestro/aggregates/aggregate_actor.hpp>
#include <maestro/runtime/cluster_view.hpp>
#include <maestro/runtime/forwarder.hpp>
#include <maestro/runtime/handed_on_questions.hpp>
#include <maestro/runtime/protocol.hpp>
#include <maestro/runtime/rebuild_service.hpp>
#include <maestro/runtime/strangers.hpp>
#include <maestro/runtime/unserved_requests.hpp>

#include <caf/event_based_actor.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace maestro {

/// Counts the requests that a node has taken and not answered, in all and for each client. Any thread may call any member.
class flight_counter {
 public:
  using client_key = const void*;  ///< What tells one client from another; null: none that has a limit of its own.
  enum class admission { granted, client_is_full, node_is_full };

  flight_counter(std::size_t limit, std::size_t limit_per_client) : limit_(limit), limit_per_client_(limit_per_client) {}

  /// Counts one more, unless a limit is reached.
  [[nodiscard]] auto enter(client_key client) -> admission;
  void leave(client_key client);
  [[nodiscard]] auto count() const -> std::size_t;
  [[nodiscard]] auto limit() const noexcept -> std::size_t { return limit_; }
  [[nodiscard]] auto limit_per_client() const noexcept -> std::size_t { return limit_per_client_; }

  /// Waits until none is left, at most `timeout`; true when none is.
  [[nodiscard]] auto wait_until_none(std::chrono::milliseconds timeout) const -> bool;

 private:
  const std::size_t limit_;
  const std::size_t limit_per_client_;
  mutable std::mutex mutex_;
  mutable std::condition_variable none_left_;
  std::size_t count_ = 0;
  std::unordered_map<client_key, std::size_t> by_client_;
};

struct registry_settings {
  std::size_t max_live_aggregates = 1'000'000;  ///< Beyond it, the least recently used idle ones are passivated.
  std::chrono::milliseconds idle_timeout{std::chrono::minutes{5}};  ///< For types that name no other.
  connector_maker make_connector{};  ///< To the other members.
  std::size_t max_message_bytes = 0;  ///< The longest message that this node takes, for its greetings.
  /// Hears, on any thread, that the registry or one of the actors that hand on its requests has ended by a fault, and which.
  std::function<void(const std::string& what)> died{};
  std::chrono::milliseconds heartbeat_interval{250};  ///< About how often it hears of its cluster.
};

/// To the registry: take no new work. Requests are answered `shutting_down` from then on; those before it are counted.
struct start_draining {
  std::shared_ptr<std::promise<void>> done;
};
/// To the registry, when it drains and has no more requests: have those aggregates retire that store a snapshot when they do.
struct retire_with_snapshots {
  std::shared_ptr<std::promise<void>> done;
};
/// To the registry: let go of all aggregates, which answer what they have and end. It goes on telling callers that the node stops.
struct let_go_of_aggregates {
  std::shared_ptr<std::promise<void>> done;
};
/// To the registry: end, which its peers hear.
struct stop_registry {};
/// The registry's note to itself: look for idle aggregates.
struct sweep_idle {};
/// The registry's note to itself, at the node's end: ask those again that had work.
struct retire_again {};

class registry : public caf::event_based_actor, public open_to_peers {
 public:
  /// `environment` and `flight` outlive the registry and all aggregates.
  registry(caf::actor_config& config, const aggregate_environment* environment, std::vector<definition_ptr> types,
           flight_counter* flight, rebuild_service* rebuilds, registry_settings settings);
  auto make_behavior() -> caf::behavior override;
  /// Lets go of all aggregates; those with work end when it is done.
  void on_exit() override;

 private:
  void let_go();
  /// Fine enough for idle times, and 32 bits of it last for 13 years.
  using tick = std::chrono::duration<std::uint32_t, std::deci>;
  struct live_aggregate {
    caf::actor actor;
    std::uint32_t last_used = 0;  ///< In `tick`s since the registry started.
    bool retiring = false;        ///< Was asked to end and has not answered: what comes meanwhile is held.
  };
  struct held_jobs {
    std::vector<command_job_ptr> commands;
    std::vector<query_job_ptr> queries;
  };
  struct registered_type {
    definition_ptr definition;
    std::uint32_t idle_ticks;  ///< How long its aggregates may be idle.
    std::unordered_map<aggregate_id, live_aggregate> live;
    std::unordered_map<aggregate_id, held_jobs> held;  ///< For those that are retiring.
    const type_placement* placed = nullptr;            ///< In the newest view: where they live; null: on all members.
  };

  [[nodiscard]] auto longest_answer(std::uint8_t hops) const -> std::size_t;
  void greet(caf::actor client, const hello& greeting);
  [[nodiscard]] auto greeting_for(const hello& greeting) const -> hello_reply;
  void take(command_request& request);
  void take(query_request& request);
  void take(const query_withdrawal& notice);
  template <class Request>
  void place(taken_request<Request> taken);
  template <class Request>
  void start_here(taken_request<Request> taken);
  void answer_from_log(taken_request<query_request> taken);
  void answer_rebuild(const caf::actor& client, const query_request& request);
  void answer_members(const caf::actor& client, const query_request& request) const;
  void see(cluster_view_ptr view);
  [[nodiscard]] auto owner_of(const registered_type& type, const aggregate_id& id) const -> std::size_t;
  [[nodiscard]] auto owner_elsewhere(const registered_type& type, const aggregate_id& id) const -> const member*;
  template <class Request>
  [[nodiscard]] auto place_of(const registered_type& type, const Request& request) const -> const member*;
  void retire_what_moved();
  void retire_all_with_snapshots(std::shared_ptr<std::promise<void>> waiting);
  void retire_those_with_snapshots();
  void retire_again_soon();
  void note_that_one_has_retired();
  [[nodiscard]] auto find_type(std::string_view name) -> registered_type*;
  [[nodiscard]] auto unknown_type(const std::string& name) const -> error;
  [[nodiscard]] auto admit(const caf::actor& client, bool is_handed_on) -> std::pair<std::shared_ptr<void>, error>;
  [[nodiscard]] auto route(registered_type& type, const aggregate_id& id) -> live_aggregate&;
  void retired(const aggregate_retired& notice);
  void release_empty(const aggregate_empty& notice);
  void ask_to_retire(live_aggregate& entry);
  void sweep();
  [[nodiscard]] auto idle_timeout(const definition& type) const -> std::chrono::milliseconds;
  void make_room(const live_aggregate& newest);
  [[nodiscard]] auto now() const -> std::uint32_t;
  template <class Job>
  void hand_over(registered_type& type, std::shared_ptr<Job> job);

  const aggregate_environment* const environment_;
  std::vector<registered_type> types_;
  flight_counter* const flight_;
  rebuild_service* const rebuilds_;
  const registry_settings settings_;
  forwarder forwarder_;
  unserved_requests unserved_;
  handed_on_questions handed_on_;
  cluster_view_ptr view_;       ///< Null: not part of a cluster, or not yet.
  std::vector<std::pair<caf::actor, hello>> held_greetings_;  ///< Until then.
  bool some_have_moved_ = false;  ///< Aggregates that live here and belong to another member.
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::chrono::milliseconds shortest_idle_timeout_ = std::chrono::milliseconds::max();
  std::size_t live_count_ = 0;
  bool draining_ = false;
  std::shared_ptr<std::promise<void>> all_retired_;  ///< Somebody waits for those that store snapshots.
  bool will_retire_again_ = false;
};

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::start_draining)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::retire_with_snapshots)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::let_go_of_aggregates)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::stop_registry)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::sweep_idle)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::retire_again)
