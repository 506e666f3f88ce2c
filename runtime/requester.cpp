#include <maestro/runtime/requester.hpp>

#include <maestro/runtime/strangers.hpp>
#include <maestro/store/clock.hpp>

#include <caf/send.hpp>

#include <algorithm>
#include <random>
#include <utility>

namespace maestro {

namespace {

using namespace std::chrono_literals;

constexpr auto tick_interval = 20ms;
constexpr auto pause_between_searches = 100ms;
// So long may a node say nothing to who waits for it before it is asked whether it is there. A connection can be dead with nobody told.
constexpr auto longest_silence = 1s;
// A statement that was sent in time may take effect a little later.
constexpr auto settle_time = 500ms;

const error node_lost_command{errc::in_doubt, "the connection to the node was lost before it answered; ask again with the same command id"};
const error node_lost_query{errc::node_unavailable, "the connection to the node was lost before it answered"};
const error no_answer_command{errc::in_doubt, "no answer within the timeout; ask again with the same command id"};
const error no_answer_query{errc::timed_out, "no answer within the timeout"};
const error not_sent{errc::node_unavailable, "the connection to the node is lost; nothing was sent"};

// What a caller's function throws is not for us, and must not cost the other callers their answers.
template <class Reply>
void tell(std::function<void(Reply)>& done, Reply reply) {
  try {
    std::exchange(done, nullptr)(std::move(reply));
  } catch (...) {
  }
}

template <class Reply>
auto failed(const error& failure) -> Reply {
  Reply reply;
  set_failure(reply, failure);
  return reply;
}

}  // namespace

requester::requester(caf::actor_config& config, const node_link& link, caf::actor connector, requester_settings settings)
    : caf::event_based_actor(config), connector_(std::move(connector)), settings_(settings) {
  use(link);
}

auto requester::make_behavior() -> caf::behavior {
  ignore_strangers(*this);
  monitor(gateway_);
  set_down_handler([this](const caf::down_msg& down) {
    if (gateway_ && down.source == gateway_) lose_node();
  });
  return {
      [this](outgoing_command_ptr& command) { dispatch(std::move(command)); },
      [this](outgoing_query_ptr& query) { dispatch(std::move(query)); },
      [this](command_reply& reply) { finish(reply); },
      [this](query_reply& reply) { finish(reply); },
      [this](const hello_reply&) { hear(); },
      [this](const found_node_ptr& answer) { found(answer); },
      [this](deadline_tick) { tick(); },
      [this](requester_stop) {
        stopped_ = true;
        end_everybody();
        // What we are may be held for longer than we live, by a message that CAF never delivers to a dead node; and an actor system
        // does not end before its connector is gone.
        connector_ = nullptr;
        quit();
      },
  };
}

// --- sending -----------------------------------------------------------------------------------------------------------

void requester::dispatch(outgoing_command_ptr command) {
  keep_ticking();
  const auto now = clock::now();
  if (now >= command->deadline || stopped_) return end(*command);
  if (!gateway_) {
    find_another();
    if (!connector_ || !command->retry) return end(*command);
    return stranded_commands_.push_back(std::move(command));
  }
  attempt next;
  next.sent = now;
  next.deadline = command->retry ? std::min(command->deadline, now + settings_.attempt_timeout) : command->deadline;
  // It expires a little before we stop waiting, so that most of the time the node can still say so.
  const auto patience = next.deadline - now;
  next.expires = next.deadline - std::min<clock::duration>(patience / 10, 500ms);
  auto& request = command->request;
  const auto node_time = static_cast<std::int64_t>(system_milliseconds(0ms)) + ahead_;
  request.request = ++last_request_;
  request.expires_at =
      static_cast<std::uint64_t>(node_time + std::chrono::floor<std::chrono::milliseconds>(next.expires - now).count());
  if (command->attempts++ > 0) request.first_send = false;
  send(gateway_, request);
  next.command = std::move(command);
  waiting_.emplace(last_request_, std::move(next));
}

void requester::dispatch(outgoing_query_ptr query) {
  keep_ticking();
  const auto now = clock::now();
  if (now >= query->deadline || stopped_) return end(*query, no_answer_query);
  if (!gateway_) {
    find_another();
    if (!connector_) return end(*query, not_sent);
    return stranded_queries_.push_back(std::move(query));
  }
  query->request.request = ++last_request_;
  send(gateway_, query->request);
  attempt next;
  next.sent = now;
  next.deadline = query->deadline;
  next.query = std::move(query);
  waiting_.emplace(last_request_, std::move(next));
}

// --- answers -----------------------------------------------------------------------------------------------------------

void requester::finish(command_reply& reply) {
  hear();
  const auto found = waiting_.find(reply.request);
  if (found == waiting_.end() || !found->second.command) return;  // It was given up, and another attempt made.
  attempt answered = std::move(found->second);
  waiting_.erase(found);
  outgoing_command& command = *answered.command;
  error failure{static_cast<errc>(reply.code), reply.message};
  if (!failure || !command.retry) return tell(command.done, std::move(reply));
  switch (failure.kind()) {
    case error_kind::in_doubt:
      command.in_doubt = true;
      command.open_until = std::max(command.open_until, answered.expires + settle_time);
      [[fallthrough]];
    case error_kind::retryable:
      command.last = std::move(failure);
      return rest(std::move(answered.command), clock::now() + back_off(command));
    case error_kind::broken:
      if (!command.in_doubt) break;
      // What cannot be read does not tell what became of the earlier attempt.
      command.last = std::move(failure);
      return end(command);
    default:
      if (!command.in_doubt || command.open_until <= answered.sent) break;
      // Refused now, and an earlier attempt may still be carried out: asked again when it cannot any more.
      command.last = std::move(failure);
      return rest(std::move(answered.command), command.open_until);
  }
  tell(command.done, std::move(reply));
}

void requester::finish(query_reply& reply) {
  hear();
  const auto found = waiting_.find(reply.request);
  if (found == waiting_.end() || !found->second.query) return;
  const auto query = std::move(found->second.query);
  waiting_.erase(found);
  tell(query->done, std::move(reply));
}

// What went to a node and will not be answered any more, or not in time.
void requester::go_unanswered(attempt& lost) {
  if (lost.query) {
    if (lost.deadline <= clock::now()) return end(*lost.query, no_answer_query);
    if (!connector_) return end(*lost.query, node_lost_query);
    return dispatch(std::move(lost.query));
  }
  lost.command->in_doubt = true;
  lost.command->open_until = std::max(lost.command->open_until, lost.expires + settle_time);
  if (!lost.command->retry || (!connector_ && !gateway_)) return end(*lost.command);
  dispatch(std::move(lost.command));
}

void requester::rest(outgoing_command_ptr command, clock::time_point until) {
  if (until >= command->deadline) return end(*command);
  resting_.emplace(until, std::move(command));
  keep_ticking();
}

// Answers a command for which there is no more time, or no more node.
void requester::end(outgoing_command& command) {
  if (!command.in_doubt) return tell(command.done, failed<command_reply>(command.last ? command.last : not_sent));
  error failure = clock::now() >= command.deadline ? no_answer_command : node_lost_command;
  if (command.last) failure.message += " (the last answer was " + to_string(command.last) + ")";
  tell(command.done, failed<command_reply>(failure));
}

void requester::end(outgoing_query& query, const error& why) { tell(query.done, failed<query_reply>(why)); }

// Doubles with each attempt, give or take a half, so that those who were refused together do not come back together.
auto requester::back_off(const outgoing_command& command) const -> std::chrono::milliseconds {
  const auto pause = std::min<std::chrono::milliseconds>(settings_.retry_backoff * (1LL << std::min(command.attempts - 1, 20)),
                                                         settings_.max_retry_backoff);
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::milliseconds(std::uniform_int_distribution<std::chrono::milliseconds::rep>(pause.count() / 2, pause.count())(random));
}

// --- nodes -------------------------------------------------------------------------------------------------------------

void requester::use(const node_link& link) {
  gateway_ = link.gateway;
  ahead_ = link.ahead;
  hear();
}

void requester::hear() {
  heard_ = clock::now();
  knocked_.reset();
}

// Questions have no attempts that would time out, and may rightly take long.
void requester::knock_where_it_is_silent() {
  if (!gateway_ || !connector_ || waiting_.empty()) return;
  const auto now = clock::now();
  if (knocked_ && now - *knocked_ > settings_.attempt_timeout) return lose_node();
  const bool is_late = std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& each) { return now - each.second.sent > longest_silence; });
  if (knocked_ || !is_late || now - heard_ <= longest_silence) return;
  knocked_ = now;
  send(gateway_, hello{});
}

void requester::lose_node() {
  demonitor(gateway_);
  gateway_ = nullptr;
  find_another();
  for (auto& [request, lost] : std::exchange(waiting_, {})) go_unanswered(lost);
}

void requester::find_another() {
  if (!connector_ || gateway_ || searching_ || clock::now() < search_again_) return;
  searching_ = true;
  send(connector_, find_node{});
}

void requester::found(const found_node_ptr& answer) {
  searching_ = false;
  if (!*answer) {
    search_again_ = clock::now() + pause_between_searches;
    return;
  }
  use(**answer);
  monitor(gateway_);
  for (auto& command : std::exchange(stranded_commands_, {})) dispatch(std::move(command));
  for (auto& query : std::exchange(stranded_queries_, {})) dispatch(std::move(query));
}

// --- time --------------------------------------------------------------------------------------------------------------

void requester::keep_ticking() {
  if (!std::exchange(ticking_, true)) delayed_send(this, tick_interval, deadline_tick{});
}

void requester::tick() {
  ticking_ = false;
  const auto now = clock::now();
  std::vector<attempt> late;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (at->second.deadline > now) {
      ++at;
      continue;
    }
    late.push_back(std::move(at->second));
    at = waiting_.erase(at);
  }
  // A node that has said nothing all the while is as good as lost.
  const bool silent = std::any_of(late.begin(), late.end(), [this](const attempt& each) { return each.command && heard_ < each.sent; });
  if (silent && gateway_ && connector_) lose_node();
  for (auto& each : late) go_unanswered(each);
  knock_where_it_is_silent();

  while (!resting_.empty() && resting_.begin()->first <= now) dispatch(std::move(resting_.extract(resting_.begin()).mapped()));
  const auto is_late = [&](const auto& each) { return each->deadline <= now; };
  for (auto& command : stranded_commands_)
    if (is_late(command)) end(*command);
  for (auto& query : stranded_queries_)
    if (is_late(query)) end(*query, not_sent);
  std::erase_if(stranded_commands_, is_late);
  std::erase_if(stranded_queries_, is_late);
  if (!stranded_commands_.empty() || !stranded_queries_.empty()) find_another();
  if (!waiting_.empty() || !resting_.empty() || !stranded_commands_.empty() || !stranded_queries_.empty()) keep_ticking();
}

void requester::end_everybody() {
  for (auto& [request, each] : std::exchange(waiting_, {})) {
    if (each.query) end(*each.query, node_lost_query);
    if (!each.command) continue;
    each.command->in_doubt = true;
    end(*each.command);
  }
  for (auto& [until, command] : std::exchange(resting_, {})) end(*command);
  for (auto& command : std::exchange(stranded_commands_, {})) end(*command);
  for (auto& query : std::exchange(stranded_queries_, {})) end(*query, not_sent);
}

}  // namespace maestro
