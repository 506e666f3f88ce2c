// What a node cannot serve by itself, in a cluster whose members are of several releases of a program: a command, call
// or aggregate type that it does not know, a history that it cannot read. Such a request goes to a member that can, and
// is refused for good only once the table of members, read after it came, shows none that does, and none that did
// within the last day.
#pragma once

#include <maestro/aggregates/aggregate_actor.hpp>
#include <maestro/runtime/cluster_view.hpp>
#include <maestro/runtime/forwarder.hpp>
#include <maestro/runtime/protocol.hpp>
#include <maestro/runtime/served.hpp>
#include <maestro/store/watched.hpp>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace maestro {

/// The one answer to a request; its place is free from then on. Where there is no memory for it, `client` stays, and can
/// still be answered.
template <class Reply>
void give(caf::actor& client, std::shared_ptr<void>& ticket, Reply reply) {
  caf::anon_send(client, std::move(reply));
  client = nullptr;
  ticket.reset();
}

/// A request that the node cannot serve, and what it would say. To a registry. Dropped, as at the node's end, it may be
/// sent to another.
template <class Request>
struct unserved {
  using reply_type = std::conditional_t<std::is_same_v<Request, command_request>, command_reply, query_reply>;

  unserved(taken_request<Request> request, error failure) : taken(std::move(request)), why(std::move(failure)) {}
  unserved(const unserved&) = delete;
  auto operator=(const unserved&) -> unserved& = delete;
  ~unserved() {
    give_at_last([this] { answer({errc::shutting_down, "the node is stopping; send the request to another one"}); });
  }

  /// Answers the client, once.
  void answer(error failure) {
    if (!taken.client) return;
    reply_type reply;
    reply.request = taken.request.request;
    set_failure(reply, std::move(failure));
    give(taken.client, taken.ticket, std::move(reply));
  }

  taken_request<Request> taken;
  error why;
  cluster_view::clock::time_point since = cluster_view::clock::now();  ///< An older look at the table does not count.
};
template <class Request>
using unserved_ptr = std::shared_ptr<unserved<Request>>;

/// Whether `failure`, of an aggregate of this node, may be another member's success.
[[nodiscard]] auto may_be_served_elsewhere(const error& failure) -> bool;

/// What a request needs; its texts are the request's.
[[nodiscard]] auto need_of(const command_request& request) -> service_need;
[[nodiscard]] auto need_of(const query_request& request) -> service_need;

/// Which of `candidates`, indices into the members of `view` that are alive, the aggregate belongs to. `type` is null
/// where this node does not have it. `candidates` must not be empty.
[[nodiscard]] auto owner_among(const cluster_view& view, const std::vector<std::size_t>& candidates,
                               const definition* type, std::string_view type_name, const aggregate_id& id)
    -> const member&;

/// What is said of a request that no member can take, when the node itself would say `why`: `not_served` where a member
/// serves it that cannot be reached, or one that was here within the last day did, or where the members differ;
/// otherwise `why`. `own` is what the node serves.
[[nodiscard]] auto judge_unserved(const cluster_view& view, const service_need& need, const served& own,
                                  const error& why) -> error;

/// Part of a registry. What it holds keeps its place in the count of what is in flight, and is answered after the next
/// look at the table of members; without one it is answered (`not_served`) after four heartbeat intervals, or when it
/// expires.
class unserved_requests {
 public:
  using type_finder = std::function<const definition*(std::string_view)>;

  /// `registry` owns it, and has a handler for `give_up`; `on` and `ways` outlive it.
  unserved_requests(caf::event_based_actor& registry, const aggregate_environment& on, forwarder& ways, served own,
                    type_finder find, std::chrono::milliseconds heartbeat_interval)
      : registry_(registry),
        on_(on),
        ways_(ways),
        own_(std::move(own)),
        find_(std::move(find)),
        patience_(4 * heartbeat_interval) {}

  /// The registry's note to itself: see what has waited too long.
  struct give_up {};

  template <class Request>
  void take(unserved_ptr<Request> request);
  /// A new look at the table.
  void see(cluster_view_ptr view);
  /// What has waited for too long is answered: it may be sent again.
  void give_up_late();
  /// The node is about to end: nothing waits any more, another node may serve it.
  void drain();

  [[nodiscard]] auto own() const -> const served& { return own_; }

 private:
  template <class Request>
  [[nodiscard]] auto hand_on(unserved<Request>& request) -> bool;
  template <class Request>
  [[nodiscard]] auto patience_with(const unserved<Request>& request) const -> std::chrono::milliseconds;
  template <class Request>
  void answer_unread(unserved<Request>& request);
  template <class Request>
  using waiting = std::multimap<cluster_view::clock::time_point, unserved_ptr<Request>>;  // By when they are given up.
  template <class Request>
  void give_up_late(waiting<Request>& all);
  void look_again();
  template <class Request>
  auto held() -> waiting<Request>& {
    return std::get<waiting<Request>>(held_);
  }

  caf::event_based_actor& registry_;
  const aggregate_environment& on_;
  forwarder& ways_;
  const served own_;
  const type_finder find_;
  const std::chrono::milliseconds patience_;
  cluster_view_ptr view_;
  bool draining_ = false;
  bool is_looking_ = false;  // A `give_up` is under way.
  std::tuple<waiting<command_request>, waiting<query_request>> held_;
};

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::unserved_ptr<maestro::command_request>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::unserved_ptr<maestro::query_request>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::unserved_requests::give_up)
