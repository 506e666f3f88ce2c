// The actor behind a client: numbers the requests, remembers who waits for which, and gives everybody an answer, from the
// node, from the death of the node, or from the deadline.
#pragma once

#include <maestro/runtime/protocol.hpp>

#include <caf/actor.hpp>
#include <caf/event_based_actor.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <unordered_map>

namespace maestro {

/// A request to send and what to do with its answer. `done` is called once, whatever happens.
template <class Request, class Reply>
struct outgoing {
  Request request;
  std::chrono::steady_clock::time_point deadline;
  std::function<void(Reply)> done;
};
using outgoing_command = outgoing<command_request, command_reply>;
using outgoing_query = outgoing<query_request, query_reply>;
using outgoing_hello = outgoing<hello, hello_reply>;
using outgoing_command_ptr = std::shared_ptr<outgoing_command>;
using outgoing_query_ptr = std::shared_ptr<outgoing_query>;
using outgoing_hello_ptr = std::shared_ptr<outgoing_hello>;

/// To a requester: answer everybody and end.
struct requester_stop {};
/// A requester's note to itself: look for deadlines that have passed.
struct deadline_tick {};

class requester : public caf::event_based_actor {
 public:
  requester(caf::actor_config& config, caf::actor gateway);
  auto make_behavior() -> caf::behavior override;

 private:
  struct waiting {
    std::chrono::steady_clock::time_point deadline;
    outgoing_command_ptr command;
    outgoing_query_ptr query;
    outgoing_hello_ptr greeting;
  };

  template <class Pointer>
  void dispatch(Pointer job, Pointer waiting::*slot);
  template <class Pointer, class Reply>
  void finish(Reply& reply, Pointer waiting::*slot);
  void fail(waiting& who, const error& for_command, const error& for_query);
  void fail_everybody(const error& for_command, const error& for_query);
  void tick();

  caf::actor gateway_;
  std::unordered_map<std::uint64_t, waiting> waiting_;
  std::uint64_t last_request_ = 0;
  bool ticking_ = false;
};

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::outgoing_command_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::outgoing_query_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::outgoing_hello_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::requester_stop)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::deadline_tick)
