#include <maestro/runtime/requester.hpp>

#include <maestro/runtime/strangers.hpp>

#include <caf/send.hpp>

#include <utility>
#include <vector>

namespace maestro {

namespace {

constexpr auto tick_interval = std::chrono::milliseconds(20);

const error node_lost_command{errc::in_doubt, "the connection to the node was lost before it answered; ask again with the same command id"};
const error node_lost_query{errc::node_unavailable, "the connection to the node was lost before it answered"};
const error no_answer_command{errc::in_doubt, "no answer within the timeout; ask again with the same command id"};
const error no_answer_query{errc::timed_out, "no answer within the timeout"};
const error not_sent{errc::node_unavailable, "the connection to the node is lost; nothing was sent"};

// What a caller's function throws is not for us, and must not cost the other callers their answers.
template <class Reply>
void tell(const std::function<void(Reply)>& done, Reply reply) {
  try {
    done(std::move(reply));
  } catch (...) {
  }
}

}  // namespace

requester::requester(caf::actor_config& config, caf::actor gateway)
    : caf::event_based_actor(config), gateway_(std::move(gateway)) {}

auto requester::make_behavior() -> caf::behavior {
  ignore_strangers(*this);
  monitor(gateway_);
  set_down_handler([this](const caf::down_msg& down) {
    if (down.source != gateway_) return;
    gateway_ = nullptr;
    fail_everybody(node_lost_command, node_lost_query);
  });
  return {
      [this](outgoing_command_ptr& command) { dispatch(std::move(command), &waiting::command); },
      [this](outgoing_query_ptr& query) { dispatch(std::move(query), &waiting::query); },
      [this](outgoing_hello_ptr& greeting) { dispatch(std::move(greeting), &waiting::greeting); },
      [this](command_reply& reply) { finish(reply, &waiting::command); },
      [this](query_reply& reply) { finish(reply, &waiting::query); },
      [this](hello_reply& reply) { finish(reply, &waiting::greeting); },
      [this](deadline_tick) { tick(); },
      [this](requester_stop) {
        fail_everybody(node_lost_command, node_lost_query);
        quit();
      },
  };
}

template <class Pointer>
void requester::dispatch(Pointer job, Pointer waiting::*slot) {
  waiting entry;
  entry.deadline = job->deadline;
  entry.*slot = job;
  if (!gateway_) return fail(entry, not_sent, not_sent);
  job->request.request = ++last_request_;
  send(gateway_, std::move(job->request));
  waiting_.emplace(last_request_, std::move(entry));
  if (!std::exchange(ticking_, true)) delayed_send(this, tick_interval, deadline_tick{});
}

template <class Pointer, class Reply>
void requester::finish(Reply& reply, Pointer waiting::*slot) {
  const auto found = waiting_.find(reply.request);
  if (found == waiting_.end() || !(found->second.*slot)) return;  // Its caller has been answered by the deadline.
  const auto answer = std::move((found->second.*slot)->done);
  waiting_.erase(found);
  tell(answer, std::move(reply));
}

void requester::fail(waiting& who, const error& for_command, const error& for_query) {
  const auto fill = [](auto reply, const error& failure) {
    set_failure(reply, failure);
    return reply;
  };
  if (who.command) tell(who.command->done, fill(command_reply{}, for_command));
  if (who.query) tell(who.query->done, fill(query_reply{}, for_query));
  if (who.greeting) tell(who.greeting->done, hello_reply{0, 0, 0, {}, {}});
}

void requester::fail_everybody(const error& for_command, const error& for_query) {
  for (auto& [request, who] : std::exchange(waiting_, {})) fail(who, for_command, for_query);
}

void requester::tick() {
  const auto now = std::chrono::steady_clock::now();
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (at->second.deadline > now) {
      ++at;
      continue;
    }
    auto who = std::move(at->second);
    at = waiting_.erase(at);
    fail(who, no_answer_command, no_answer_query);
  }
  ticking_ = !waiting_.empty();
  if (ticking_) delayed_send(this, tick_interval, deadline_tick{});
}

}  // namespace maestro
