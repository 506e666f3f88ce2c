// The actor behind a client: numbers the requests, remembers who waits for which, and gives everybody an answer, from the node or
// from the deadline. Commands that got no final answer are sent again, under the same id; a node that is lost is replaced.
#pragma once

#include <maestro/runtime/node_link.hpp>
#include <maestro/runtime/protocol.hpp>

#include <caf/actor.hpp>
#include <caf/event_based_actor.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace maestro {

/// A command to send and what to do with its answer. `done` is called once, whatever happens.
struct outgoing_command {
  using clock = std::chrono::steady_clock;

  command_request request;
  clock::time_point deadline;
  bool retry = true;
  std::function<void(command_reply)> done;

  // The requester's own notes.
  int attempts = 0;
  error last;                     ///< Why the newest attempt that was answered did not succeed.
  bool in_doubt = false;          ///< What became of some attempt is not known,
  clock::time_point open_until;   ///< and it may be carried out until then.
};

/// A question, likewise.
struct outgoing_query {
  query_request request;
  std::chrono::steady_clock::time_point deadline;
  std::function<void(query_reply)> done;
};

using outgoing_command_ptr = std::shared_ptr<outgoing_command>;
using outgoing_query_ptr = std::shared_ptr<outgoing_query>;

struct requester_settings {
  std::chrono::milliseconds attempt_timeout{3'000};
  std::chrono::milliseconds retry_backoff{10};
  std::chrono::milliseconds max_retry_backoff{1'000};
};

/// To a requester: answer everybody and end.
struct requester_stop {};
/// A requester's note to itself: look for times that have passed.
struct deadline_tick {};

class requester : public caf::event_based_actor {
 public:
  /// `connector` finds another node when `link` is lost; null: there is no other.
  requester(caf::actor_config& config, const node_link& link, caf::actor connector, requester_settings settings);
  auto make_behavior() -> caf::behavior override;

 private:
  using clock = std::chrono::steady_clock;

  // One attempt at a command, or a question, that was sent and not answered.
  struct attempt {
    clock::time_point sent;
    clock::time_point deadline;
    clock::time_point expires;  // For commands: the node does not carry it out later than that.
    outgoing_command_ptr command;
    outgoing_query_ptr query;
  };

  void dispatch(outgoing_command_ptr command);
  void dispatch(outgoing_query_ptr query);
  void finish(command_reply& reply);
  void finish(query_reply& reply);
  void go_unanswered(attempt& lost);
  void rest(outgoing_command_ptr command, clock::time_point until);
  void end(outgoing_command& command);
  void end(outgoing_query& query, const error& why);
  [[nodiscard]] auto back_off(const outgoing_command& command) const -> std::chrono::milliseconds;

  void use(const node_link& link);
  void hear();
  void knock_where_it_is_silent();
  void lose_node();
  void find_another();
  void found(const found_node_ptr& answer);

  void tick();
  void keep_ticking();
  void end_everybody();

  caf::actor connector_;
  const requester_settings settings_;
  caf::actor gateway_;         // Null: lost.
  std::int64_t ahead_ = 0;     // The node's clock minus ours, in milliseconds.
  clock::time_point heard_;    // When the node last said something.
  std::optional<clock::time_point> knocked_;  // When it was asked whether it is there, unless it has said something since.
  bool searching_ = false;     // The connector is at work.
  clock::time_point search_again_;

  std::unordered_map<std::uint64_t, attempt> waiting_;            // By request number.
  std::multimap<clock::time_point, outgoing_command_ptr> resting_;  // By when they are sent again.
  std::vector<outgoing_command_ptr> stranded_commands_;           // Wait for a node.
  std::vector<outgoing_query_ptr> stranded_queries_;
  std::uint64_t last_request_ = 0;
  bool ticking_ = false;
  bool stopped_ = false;
};

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::outgoing_command_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::outgoing_query_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::requester_stop)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::deadline_tick)
