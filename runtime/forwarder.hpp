// Hands on to the other members what is theirs: a registry's requests on their way to the aggregate's owner, and the answers on their
// way back.
#pragma once

#include <maestro/runtime/caller.hpp>
#include <maestro/runtime/cluster_view.hpp>
#include <maestro/runtime/node_link.hpp>
#include <maestro/runtime/protocol.hpp>
#include <maestro/store/clock.hpp>

#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>

#include <spdlog/logger.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace maestro {

/// So often a request is handed from one member to another.
inline constexpr int most_hops = 2;

/// A request that a registry has taken, and who waits for its answer.
template <class Request>
struct taken_request {
  Request request;              ///< As it came in.
  caf::actor client;
  std::shared_ptr<void> ticket;  ///< Its place in the count of what is in flight.
  std::vector<incarnation_id> declined{};  ///< Members to which it was handed and that could not take it.
  withdrawn_flag withdrawn{};              ///< Of a question that another node has handed on.
};

/// To a registry: the member that it was handed to could not take this request, so that it has to be carried out here,
/// or by another. Nothing has been done for it.
template <class Request>
struct place_here {
  std::shared_ptr<taken_request<Request>> taken;
};

/// Part of a registry. What could not be handed on comes back to that as `place_here`; everything else is answered, also when the
/// connection to the owner is lost. The owner is told which questions belong to the same client, and which ones belong
/// to a client that has gone: it drops these.
class forwarder {
 public:
  /// `registry` owns it. `clock` is the node's, in whose time requests say when they expire.
  /// `died` hears of a requester that has ended by a fault, on any thread. `log` is told of members that cannot be
  /// reached; null: not.
  forwarder(caf::event_based_actor& registry, const hybrid_clock& clock, connector_maker make_connector,
            std::shared_ptr<spdlog::logger> log, std::function<void(const std::string&)> died = {})
      : registry_(registry),
        clock_(clock),
        make_connector_(std::move(make_connector)),
        log_(std::move(log)),
        died_(std::move(died)) {}

  void pass_on(const member& owner, taken_request<command_request> taken);
  void pass_on(const member& owner, taken_request<query_request> taken);

  /// Gives up those who are no members any more: what they have not answered is in doubt. Who has left is about to answer what it has,
  /// and is given up when it is forgotten, or back.
  void keep_only(const cluster_view& view);
  /// Gives up all.
  void stop();

 private:
  [[nodiscard]] auto way_to(const member& owner) -> const caf::actor&;
  [[nodiscard]] auto deadline_of(std::uint64_t expires_at) const -> std::chrono::steady_clock::time_point;

  caf::event_based_actor& registry_;
  const hybrid_clock& clock_;
  const connector_maker make_connector_;
  std::string store_;  // The node's own.
  const std::shared_ptr<spdlog::logger> log_;
  const std::function<void(const std::string&)> died_;
  std::unordered_map<incarnation_id, caf::actor> ways_;  // A requester each.
};

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::place_here<maestro::command_request>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::place_here<maestro::query_request>)
