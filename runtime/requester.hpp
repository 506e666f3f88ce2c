// The actor behind a client: numbers the requests, remembers who waits for which, and gives everybody an answer, from a node or
// from the deadline. Commands that got no final answer are sent again, under the same id, to whichever node can take them.
//
// It knows the addresses that it was given, and learns from the nodes who else is in their cluster; what belongs to one aggregate
// goes straight to the member that owns it, or, as long as there is no connection to that one, to any other, which hands it on.
// A node uses requesters too, one for each other member, to hand on what is not its own (forwarder.hpp).
#pragma once

#include <maestro/aggregates/placement.hpp>
#include <maestro/runtime/node_link.hpp>
#include <maestro/runtime/protocol.hpp>
#include <maestro/runtime/strangers.hpp>

#include <caf/actor.hpp>
#include <caf/event_based_actor.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace maestro {

/// A command to send and what to do with its answer. `done` is called once, whatever happens: also when the requester has ended by a fault,
/// or ends, and nobody is left to answer.
struct outgoing_command {
  using clock = std::chrono::steady_clock;

  outgoing_command() = default;
  outgoing_command(const outgoing_command&) = delete;
  auto operator=(const outgoing_command&) -> outgoing_command& = delete;
  ~outgoing_command();

  command_request request;
  clock::time_point deadline;
  bool retry = true;          ///< Make further attempts.
  bool wait_for_node = true;  ///< When no node is connected.
  std::function<void(command_reply)> done;

  // The requester's own notes.
  int attempts = 0;
  error last;                     ///< Why the newest attempt that was answered did not succeed.
  bool in_doubt = false;          ///< What became of some attempt is not known,
  clock::time_point open_until;   ///< and it may be carried out until then.
};

/// A question, likewise.
struct outgoing_query {
  outgoing_query() = default;
  outgoing_query(const outgoing_query&) = delete;
  auto operator=(const outgoing_query&) -> outgoing_query& = delete;
  ~outgoing_query();

  query_request request;
  std::chrono::steady_clock::time_point deadline;
  bool retry = true;
  bool wait_for_node = true;
  std::function<void(query_reply)> done;
  /// Of a question that a node hands on: true when the answer is not wanted any more. Then the question is over
  /// (`timed_out`), and the node that it was sent to is told to drop it. Called on the requester's thread, about every
  /// 20 ms, until `done` is called.
  std::function<bool()> is_unwanted;

  int attempts = 0;
  error last;  // Why it is asked again.
};

using outgoing_command_ptr = std::shared_ptr<outgoing_command>;
using outgoing_query_ptr = std::shared_ptr<outgoing_query>;

struct requester_settings {
  std::chrono::milliseconds attempt_timeout{3'000};
  std::chrono::milliseconds retry_backoff{10};
  std::chrono::milliseconds max_retry_backoff{1'000};
  bool follow_members = true;   ///< Learn who else is in the cluster, and go straight to the owners.
  bool keep_searching = true;   ///< False: what waits for a node is answered when the first attempt to connect fails.
  connector_maker make_connector{};  ///< Null: there are no addresses to connect to.
  /// The store that the nodes must have; empty: that of the first node which says one.
  std::string store{};
  /// The run that the node must be; none: any.
  std::optional<incarnation_id> incarnation{};
  std::string name = "a client's requester";  ///< For `died`.
  /// Hears that the node at an address cannot be reached, once, and why; null: it can again. On the requester's thread.
  std::function<void(const error* why)> reached{};
  std::function<void(const std::string& what)> died{};  ///< Hears that it has ended by a fault, on its thread.
};

/// To a requester: answer everybody and end.
struct requester_stop {};
/// A requester's note to itself: look for times that have passed.
struct deadline_tick {};

class requester : public caf::event_based_actor, public open_to_peers {
 public:
  /// Of `addresses` the one that `link` leads to, if it leads to one, stands first. A link without an address is to a node in
  /// this process, which cannot be connected again.
  requester(caf::actor_config& config, std::vector<node_address> addresses, const std::optional<node_link>& link,
            requester_settings settings);
  auto make_behavior() -> caf::behavior override;
  /// Answers everybody who still waits, should it have ended otherwise than by `requester_stop`.
  void on_exit() override;

 private:
  using clock = std::chrono::steady_clock;

  // A node that is known, whether it is connected or not.
  struct peer {
    std::optional<node_address> address;  // None: in this process.
    bool given = false;                   // By the caller: it stays.
    std::string name;                     // Empty until it has greeted.
    std::size_t max_message_bytes = 0;    // The longest that it takes; 0: any.
    caf::actor connector;                 // Null: not needed so far.
    caf::actor gateway;                   // Null: not connected.
    bool leaving = false;                 // It takes no new work.
    clock::time_point unwell_until;       // Others come first until then.
    peer_clock time;                      // Its clock, by its greetings,
    std::uint64_t greeting = 0;           // the number of the one that we have sent last,
    clock::time_point greeted;            // and when that was.
    clock::time_point heard;              // When it last said something.
    std::function<clock::time_point()> newest_part;  // See node_link.
    std::optional<clock::time_point> knocked;  // When it was asked whether it is there, unless it has said something since.
    bool searching = false;               // Its connector is at work.
    int failures = 0;                     // Attempts to connect that failed in a row,
    clock::time_point failed;             // and when the last one did.
  };

  // One attempt at a command, or a question, that was sent and not answered.
  struct attempt {
    clock::time_point sent;
    clock::time_point deadline;
    clock::time_point expires;  // For commands: the node does not carry it out later than that.
    peer* to = nullptr;
    outgoing_command_ptr command;
    outgoing_query_ptr query;
  };
  // What waits for its time, or for a node.
  struct pending {
    outgoing_command_ptr command;
    outgoing_query_ptr query;
    [[nodiscard]] auto deadline() const -> clock::time_point { return command ? command->deadline : query->deadline; }
  };

  void dispatch(outgoing_command_ptr command);
  void dispatch(outgoing_query_ptr query);
  void dispatch(pending each);
  void finish(command_reply& reply);
  void finish(query_reply& reply);
  void go_unanswered(attempt& lost);
  void try_again(pending each);
  void rest(pending each, clock::time_point until);
  void end(outgoing_command& command);
  void end(outgoing_query& query, const error& why);
  void end_waiting(const pending& each);
  void withdraw(const peer& at, const std::vector<std::uint64_t>& requests);
  [[nodiscard]] auto back_off(int attempts) const -> std::chrono::milliseconds;

  [[nodiscard]] auto pick(std::string_view aggregate_type, const aggregate_id& id) -> peer*;
  [[nodiscard]] auto owner_of(std::string_view aggregate_type, const aggregate_id& id) -> peer*;
  [[nodiscard]] auto any_node() -> peer*;
  [[nodiscard]] auto is_well(const peer& node) const -> bool;
  static void leave_alone(peer& unwell);
  [[nodiscard]] auto can_connect() const -> bool;
  [[nodiscard]] auto sender() -> peer*;
  [[nodiscard]] auto add(const node_address& address) -> peer&;
  void use(peer& at, const node_link& link);
  [[nodiscard]] auto wrong_with(const peer& at, const hello_reply& greeting) const -> error;
  static void hear(peer& from, clock::time_point when = clock::now());
  static void hear_parts(peer& from);
  void greet(peer& whom);
  [[nodiscard]] auto node_time(peer& of, clock::time_point when) -> std::int64_t;
  void knock_where_it_is_silent();
  void lose(peer& lost);
  void search();
  void connect(peer& to);
  void not_found(peer& at, error why);
  [[nodiscard]] auto not_sent() const -> error;
  void found(const found_node_ptr& answer);
  void greeted(const hello_reply& reply);
  void learn(const hello_reply& reply);
  [[nodiscard]] auto owner_index(std::string_view aggregate_type, const aggregate_id& id) const -> std::size_t;
  void hurry(const peer& gone);
  void ask_for_members();
  void forget(const peer& whom);

  void tick();
  void keep_ticking();
  void end_everybody();
  void stop();
  void one_is_down(const caf::down_msg& down);

  const requester_settings settings_;
  std::string store_;  // What all nodes must have; empty: not known so far.
  std::vector<std::unique_ptr<peer>> peers_;
  peer* home_ = nullptr;  // Takes what has no owner that we could reach. Connected, or about to be replaced.
  std::vector<caf::actor> connectors_;  // All that have not ended, also of nodes that we have forgotten.
  placement owners_;                    // Over the members,
  std::vector<node_address> addresses_;  // and where these are.
  std::map<std::string, placement, std::less<>>
      placements_;  // Of the types whose aggregates live on some of them only.
  clock::time_point asked_for_members_;

  std::unordered_map<std::uint64_t, attempt> waiting_;     // By request number.
  std::multimap<clock::time_point, pending> resting_;      // By when they are sent again.
  std::vector<pending> stranded_;                          // Wait for a node.
  std::uint64_t last_request_;
  error why_not_found_;  // A node, since one was connected last.
  bool ticking_ = false;
  bool stopped_ = false;
};

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::outgoing_command_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::outgoing_query_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::requester_stop)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::deadline_tick)
