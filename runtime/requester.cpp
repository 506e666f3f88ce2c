#include <maestro/runtime/requester.hpp>

#include <maestro/store/clock.hpp>
#include <maestro/store/scheduling.hpp>
#include <maestro/store/watched.hpp>

#include <caf/send.hpp>

#include <algorithm>
#include <exception>
#include <random>
#include <utility>

namespace maestro {

namespace {

using namespace std::chrono_literals;

constexpr auto tick_interval = 20ms;
// Between two attempts to connect to a node while no other is connected, and while another does its work.
constexpr auto pause_between_searches = 100ms;
constexpr auto longest_pause_between_searches = 5s;
// So long may a node say nothing to who waits for it before it is asked whether it is there. A connection can be dead with nobody told.
constexpr auto longest_silence = 1s;
// How old what we know of the cluster's members may get while we use it.
constexpr auto members_are_fresh = 1s;
// How old what we know of a node's clock may get while we send to it.
constexpr auto clocks_are_fresh = 1s;
// So long is a node left alone that did not answer in time, or could not reach its store: it may have been replaced, and not know.
constexpr auto rest_of_who_is_unwell = 2s;
// So long may one that is no member any more take to answer what it has: it may have left, and be about to.
constexpr auto last_words = 500ms;
// Over a link of 1 Mbit/s.
constexpr std::size_t slowest_bytes_a_millisecond = 128;
// A statement that was sent in time may take effect a little later.
constexpr auto settle_time = 500ms;

const error node_lost_command{errc::in_doubt, "the connection to the node was lost before it answered; ask again with the same command id"};
const error node_lost_query{errc::node_unavailable, "the connection to the node was lost before it answered"};
const error no_answer_command{errc::in_doubt, "no answer within the timeout; ask again with the same command id"};
const error no_answer_query{errc::timed_out, "no answer within the timeout"};
// Why a question ends without an answer: what a node said the last time tells more than that none says it again.
auto unanswered(const outgoing_query& query, const error& otherwise) -> const error& { return query.last ? query.last : otherwise; }
const error unwanted_query{errc::timed_out, "the caller has gone"};
const std::string dropped_by_fault = "the client's own actor has ended, by a fault or because the client is gone: make a new client";

// What a caller's function throws is not for us, and must not cost the other callers their answers.
template <class Reply>
void tell(std::function<void(Reply)>& done, Reply reply) {
  give_away_next();
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

// About how long the message will be.
auto bytes_of(const command_request& request) -> std::size_t {
  constexpr std::size_t all_else = 1024;  // Ids, numbers, and what CAF adds.
  return request.aggregate_type.size() + request.command.size() + request.payload.size() + request.metadata.size() +
         request.correlation_id.size() + request.causation_id.size() + all_else;
}
auto bytes_of(const query_request& request) -> std::size_t {
  constexpr std::size_t all_else = 1024;
  return request.aggregate_type.size() + request.name.size() + request.payload.size() + all_else;
}

// Every peer of the program may send to a requester: one that answers in a node's place would have to know the number.
auto unguessable() -> std::uint64_t {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

auto is_unwanted(const outgoing_query& query) -> bool { return query.is_unwanted && query.is_unwanted(); }

// Questions about one aggregate, which its owner answers.
auto has_owner(const query_request& request) -> bool {
  switch (static_cast<query_verb>(request.verb)) {
    case query_verb::events:
    case query_verb::list:
    case query_verb::rebuild:
    case query_verb::members: return false;
    default: return true;
  }
}

}  // namespace

// A caller that there is no memory to tell goes by its own clock.
outgoing_command::~outgoing_command() {
  if (!done) return;
  give_at_last([this] {
    tell(done, failed<command_reply>(attempts > 0 ? error{errc::in_doubt, dropped_by_fault + "; ask again with the same command id"}
                                                  : error{errc::node_unavailable, dropped_by_fault + "; nothing was sent"}));
  });
}

outgoing_query::~outgoing_query() {
  if (done) give_at_last([this] { tell(done, failed<query_reply>({errc::internal_error, dropped_by_fault})); });
}

requester::requester(caf::actor_config& config, std::vector<node_address> addresses, const std::optional<node_link>& link,
                     requester_settings settings)
    : caf::event_based_actor(config), settings_(std::move(settings)), store_(settings_.store), last_request_(unguessable()) {
  for (const auto& address : addresses) add(address).given = true;
  if (!link) return;
  if (peers_.empty()) peers_.push_back(std::make_unique<peer>());
  use(*peers_.front(), *link);
}

auto requester::make_behavior() -> caf::behavior {
  ignore_strangers(*this);
  be_watched(*this, settings_.name, settings_.died);
  set_down_handler([this](const caf::down_msg& down) { one_is_down(down); });
  for (const auto& each : peers_)
    if (each->gateway) monitor(each->gateway);
  return {
      [this](outgoing_command_ptr& command) { dispatch(std::move(command)); },
      [this](outgoing_query_ptr& query) { dispatch(std::move(query)); },
      [this](command_reply& reply) { finish(reply); },
      [this](query_reply& reply) { finish(reply); },
      [this](const hello_reply& reply) { greeted(reply); },
      [this](const found_node_ptr& answer) { found(answer); },
      [this](deadline_tick) { tick(); },
      [this](requester_stop) { stop(); },
  };
}

// --- sending -----------------------------------------------------------------------------------------------------------

void requester::dispatch(outgoing_command_ptr command) {
  keep_ticking();
  const auto now = clock::now();
  if (now >= command->deadline || stopped_) return end(*command);
  auto& request = command->request;
  peer* to = pick(request.aggregate_type, request.aggregate_id);
  if (to == nullptr) {
    search();
    if (!can_connect() || !command->wait_for_node) return end(*command);
    return stranded_.push_back({std::move(command), nullptr});
  }
  const auto bytes = bytes_of(request);
  if (to->max_message_bytes > 0 && bytes > to->max_message_bytes && !command->in_doubt)
    return tell(command->done, failed<command_reply>({errc::malformed_payload,
                                                      "the command is " + std::to_string(bytes) + " bytes long; the node takes messages of " +
                                                          std::to_string(to->max_message_bytes) + " at most (node.max-message-bytes)"}));
  attempt next;
  next.to = to;
  next.sent = now;
  // What is long may take long to arrive, and would arrive later still with another copy behind it.
  const auto on_its_way = std::chrono::milliseconds(static_cast<std::int64_t>(bytes / slowest_bytes_a_millisecond));
  next.deadline = command->retry ? std::min(command->deadline, now + settings_.attempt_timeout + on_its_way) : command->deadline;
  // It expires a little before we stop waiting, so that most of the time the node can still say so.
  const auto patience = next.deadline - now;
  next.expires = next.deadline - std::min<clock::duration>(patience / 10, 500ms);
  request.expires_at = static_cast<std::uint64_t>(node_time(*to, next.expires));
  request.request = ++last_request_;
  if (command->attempts++ > 0) request.first_send = false;
  const hand_on thread;
  send(to->gateway, request);
  next.command = std::move(command);
  waiting_.emplace(last_request_, std::move(next));
}

void requester::dispatch(outgoing_query_ptr query) {
  keep_ticking();
  const auto now = clock::now();
  if (now >= query->deadline || stopped_) return end(*query, unanswered(*query, no_answer_query));
  if (is_unwanted(*query)) return end(*query, unwanted_query);
  auto& request = query->request;
  peer* to = has_owner(request) ? pick(request.aggregate_type, request.aggregate_id) : any_node();
  if (to == nullptr) {
    search();
    if (!can_connect() || !query->wait_for_node) return end_waiting({nullptr, std::move(query)});
    return stranded_.push_back({nullptr, std::move(query)});
  }
  if (const auto bytes = bytes_of(request); to->max_message_bytes > 0 && bytes > to->max_message_bytes)
    return end(*query, {errc::malformed_payload, "the question is " + std::to_string(bytes) + " bytes long; the node takes messages of " +
                                                     std::to_string(to->max_message_bytes) + " at most (node.max-message-bytes)"});
  request.expires_at = static_cast<std::uint64_t>(node_time(*to, query->deadline));
  request.request = ++last_request_;
  ++query->attempts;
  const hand_on thread;
  send(to->gateway, request);
  attempt next;
  next.to = to;
  next.sent = now;
  next.deadline = query->deadline;
  next.query = std::move(query);
  waiting_.emplace(last_request_, std::move(next));
}

void requester::dispatch(pending each) {
  if (each.command) dispatch(std::move(each.command));
  else dispatch(std::move(each.query));
}

// --- answers -----------------------------------------------------------------------------------------------------------

void requester::finish(command_reply& reply) {
  const auto found = waiting_.find(reply.request);
  if (found == waiting_.end() || !found->second.command) {  // It was given up, and another attempt made.
    if (auto* from = sender()) hear(*from);
    return;
  }
  attempt answered = std::move(found->second);
  waiting_.erase(found);
  hear(*answered.to);
  outgoing_command& command = *answered.command;
  error failure{static_cast<errc>(reply.code), reply.message};
  if (failure.code == errc::shutting_down) answered.to->leaving = true;
  if (failure.code == errc::store_unavailable || failure.code == errc::not_the_owner) leave_alone(*answered.to);
  if (!failure || !command.retry) return tell(command.done, std::move(reply));
  switch (failure.kind()) {
    case error_kind::in_doubt:
      command.in_doubt = true;
      command.open_until = std::max(command.open_until, answered.expires + settle_time);
      [[fallthrough]];
    case error_kind::retryable:
      command.last = std::move(failure);
      return rest({std::move(answered.command), nullptr}, clock::now() + back_off(command.attempts));
    case error_kind::broken:
      if (!command.in_doubt) break;
      // What cannot be read does not tell what became of the earlier attempt.
      command.last = std::move(failure);
      return end(command);
    default:
      if (!command.in_doubt || command.open_until <= answered.sent) break;
      // Refused now, and an earlier attempt may still be carried out: asked again when it cannot any more.
      command.last = std::move(failure);
      return rest({std::move(answered.command), nullptr}, command.open_until);
  }
  tell(command.done, std::move(reply));
}

void requester::finish(query_reply& reply) {
  const auto found = waiting_.find(reply.request);
  if (found == waiting_.end() || !found->second.query) {
    if (auto* from = sender()) hear(*from);
    return;
  }
  attempt answered = std::move(found->second);
  waiting_.erase(found);
  hear(*answered.to);
  const auto query = std::move(answered.query);
  const auto code = static_cast<errc>(reply.code);
  if (code == errc::shutting_down || code == errc::not_served) {
    if (code == errc::shutting_down) answered.to->leaving = true;
    const auto again = clock::now() + back_off(query->attempts);
    if (query->retry && (can_connect() || code == errc::not_served) && again < query->deadline) {
      query->last = {code, std::move(reply.message)};
      return rest({nullptr, query}, again);
    }
  }
  tell(query->done, std::move(reply));
}

// What went to a node and will not be answered any more, or not in time.
void requester::go_unanswered(attempt& lost) {
  if (lost.query) {
    if (lost.deadline <= clock::now()) return end(*lost.query, unanswered(*lost.query, no_answer_query));
    if (!can_connect() || !lost.query->retry) return end(*lost.query, unanswered(*lost.query, node_lost_query));
    return try_again({nullptr, std::move(lost.query)});
  }
  lost.command->in_doubt = true;
  lost.command->open_until = std::max(lost.command->open_until, lost.expires + settle_time);
  if (!lost.command->retry || (!can_connect() && !lost.to->gateway)) return end(*lost.command);
  try_again({std::move(lost.command), nullptr});
}

// At once, as somebody else may answer; but it may also be what we ask that ends our connections.
void requester::try_again(pending each) {
  const int attempts = each.command ? each.command->attempts : each.query->attempts;
  if (attempts <= 1) return dispatch(std::move(each));
  rest(std::move(each), clock::now() + back_off(attempts));
}

void requester::rest(pending each, clock::time_point until) {
  if (until >= each.deadline()) return end_waiting(each);
  resting_.emplace(until, std::move(each));
  keep_ticking();
}

// Answers a command for which there is no more time, or no more node.
void requester::end(outgoing_command& command) {
  if (!command.in_doubt) return tell(command.done, failed<command_reply>(command.last ? command.last : not_sent()));
  error failure = clock::now() >= command.deadline ? no_answer_command : node_lost_command;
  if (command.last) failure.message += " (the last answer was " + to_string(command.last) + ")";
  tell(command.done, failed<command_reply>(failure));
}

void requester::end(outgoing_query& query, const error& why) { tell(query.done, failed<query_reply>(why)); }

// Has the node drop what was handed on to it.
void requester::withdraw(const peer& at, const std::vector<std::uint64_t>& requests) {
  constexpr auto most = static_cast<std::ptrdiff_t>(query_withdrawal::most_requests);
  if (!at.gateway) return;
  for (auto begin = requests.begin(); begin != requests.end();) {
    const auto end = begin + std::min(most, requests.end() - begin);
    send(at.gateway, query_withdrawal{{begin, end}});
    begin = end;
  }
}

void requester::end_waiting(const pending& each) {
  if (each.command) end(*each.command);
  else end(*each.query, unanswered(*each.query, each.query->attempts > 0 ? node_lost_query : not_sent()));
}

// Doubles with each attempt, give or take a half, so that those who were refused together do not come back together.
auto requester::back_off(int attempts) const -> std::chrono::milliseconds {
  const auto pause = std::min<std::chrono::milliseconds>(settings_.retry_backoff * (1LL << std::clamp(attempts - 1, 0, 20)),
                                                         settings_.max_retry_backoff);
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::milliseconds(std::uniform_int_distribution<std::chrono::milliseconds::rep>(pause.count() / 2, pause.count())(random));
}

// --- where to ----------------------------------------------------------------------------------------------------------

// The owner, if there is a connection to it, or else whoever can hand it on; null when there is nobody.
auto requester::pick(std::string_view aggregate_type, const aggregate_id& id) -> peer* {
  if (settings_.follow_members) ask_for_members();
  if (!owners_.empty()) {
    if (auto* owner = owner_of(aggregate_type, id)) {
      if (is_well(*owner)) return owner;
      connect(*owner);
    }
  }
  return any_node();
}

// Null when it is the one that we are connected to by another address.
auto requester::owner_of(std::string_view aggregate_type, const aggregate_id& id) -> peer* {
  const auto index = owner_index(aggregate_type, id);
  const auto& name = owners_.names()[index];
  peer* at_address = nullptr;
  for (const auto& each : peers_) {
    if (each->name == name && each->gateway) return each.get();
    if (each->address == addresses_[index]) at_address = each.get();
  }
  return at_address != nullptr ? at_address : &add(addresses_[index]);
}

auto requester::owner_index(std::string_view aggregate_type, const aggregate_id& id) const -> std::size_t {
  const auto key = placement_key(aggregate_type, id);
  const auto of_type = placements_.find(aggregate_type);
  if (of_type == placements_.end()) return owners_.owner(key);
  const auto& all = owners_.names();
  const auto& name = of_type->second.names()[of_type->second.owner(key)];
  return static_cast<std::size_t>(std::find(all.begin(), all.end(), name) - all.begin());
}

auto requester::any_node() -> peer* {
  if (home_ != nullptr && is_well(*home_)) return home_;
  peer* last_resort = nullptr;
  for (const auto& each : peers_) {
    if (!each->gateway) continue;
    if (is_well(*each)) return home_ = each.get();
    if (last_resort == nullptr || !each->leaving) last_resort = each.get();
  }
  if (last_resort != nullptr) search();
  return last_resort;
}

auto requester::is_well(const peer& node) const -> bool {
  return node.gateway && !node.leaving && clock::now() >= node.unwell_until;
}

void requester::leave_alone(peer& unwell) { unwell.unwell_until = clock::now() + rest_of_who_is_unwell; }

auto requester::can_connect() const -> bool {
  return std::any_of(peers_.begin(), peers_.end(), [](const auto& each) { return each->address.has_value(); });
}

// Whose message we are looking at; null for a stranger's.
auto requester::sender() -> peer* {
  for (const auto& each : peers_)
    if (each->gateway && each->gateway == current_sender()) return each.get();
  return nullptr;
}

// --- connections -------------------------------------------------------------------------------------------------------

auto requester::add(const node_address& address) -> peer& {
  peers_.push_back(std::make_unique<peer>());
  peers_.back()->address = address;
  return *peers_.back();
}

void requester::use(peer& at, const node_link& link) {
  at.gateway = link.gateway;
  at.name = link.greeting.node;
  at.max_message_bytes = link.greeting.max_message_bytes;
  if (store_.empty()) store_ = link.greeting.store;
  at.time = link.clock;
  at.newest_part = link.newest_part;
  at.leaving = false;
  if (std::exchange(at.failures, 0) > 0 && settings_.reached) settings_.reached(nullptr);
  why_not_found_ = {};
  hear(at);
  if (home_ == nullptr || !home_->gateway || home_->leaving) home_ = &at;
  learn(link.greeting);
}

// An address may be out of date, or have come along with a copy of the database, and lead to a node of another cluster.
// No error when it is the right one.
auto requester::wrong_with(const peer& at, const hello_reply& greeting) const -> error {
  const auto who = [&] { return "the node at " + (at.address ? at.address->text() : std::string("no address")); };
  if (settings_.incarnation && greeting.incarnation != *settings_.incarnation)
    return {errc::node_unavailable, who() + " is not the one that the table of members has there: it was started since, or is of another cluster"};
  if (!store_.empty() && greeting.store != store_)
    return {errc::node_unavailable, who() + " has another store than the node that was connected first: it is of another cluster, or "
                                            "its store was restored from a copy (then make a new client)"};
  return {};
}

void requester::hear(peer& from, clock::time_point when) {
  from.heard = when;
  from.knocked.reset();
}

// A peer whose message takes its time is not silent, though all else that it says waits behind that.
void requester::hear_parts(peer& from) {
  const auto newest = from.newest_part ? from.newest_part() : clock::time_point();
  if (newest > from.heard) hear(from, newest);
}

void requester::greet(peer& whom) {
  whom.greeting = ++last_request_;
  whom.greeted = clock::now();
  send(whom.gateway, hello{whom.greeting});
}

// In the milliseconds of `of`. As long as something is sent to it, what we know of its clock is renewed.
auto requester::node_time(peer& of, clock::time_point when) -> std::int64_t {
  const auto now = clock::now();
  if (of.address && now - of.time.heard() >= clocks_are_fresh && now - of.greeted >= clocks_are_fresh) greet(of);
  return of.time.at(when);
}

// Questions have no attempts that would time out, and may rightly take long.
void requester::knock_where_it_is_silent() {
  const auto now = clock::now();
  std::vector<peer*> lost;  // To lose one may make another known.
  for (const auto& each : peers_) {
    if (!each->gateway || !each->address) continue;
    hear_parts(*each);
    if (each->knocked && now - *each->knocked > settings_.attempt_timeout) {
      lost.push_back(each.get());
      continue;
    }
    if (each->knocked || now - each->heard <= longest_silence) continue;
    const bool is_late = std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& waits) {
      return waits.second.to == each.get() && now - waits.second.sent > longest_silence;
    });
    if (!is_late) continue;
    each->knocked = now;
    greet(*each);
  }
  for (auto* each : lost) lose(*each);
}

void requester::lose(peer& lost) {
  demonitor(lost.gateway);
  std::vector<attempt> unanswered;
  std::vector<std::uint64_t> handed_on;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (at->second.to != &lost) {
      ++at;
      continue;
    }
    if (at->second.query && at->second.query->is_unwanted) handed_on.push_back(at->first);
    unanswered.push_back(std::move(at->second));
    at = waiting_.erase(at);
  }
  withdraw(lost, handed_on);  // It may only have been slow.
  lost.gateway = nullptr;
  lost.leaving = false;
  lost.knocked.reset();
  asked_for_members_ = {};
  if (settings_.keep_searching) connect(lost);
  for (auto& each : unanswered) go_unanswered(each);
}

// Also for the members that nothing was sent to so far: no other node may be well.
void requester::search() {
  for (std::size_t i = 0; i < addresses_.size(); ++i) {
    const auto& name = owners_.names()[i];
    const auto is_known = [&](const auto& each) { return each->name == name || each->address == addresses_[i]; };
    if (std::none_of(peers_.begin(), peers_.end(), is_known)) (void)add(addresses_[i]);
  }
  for (const auto& each : peers_) connect(*each);
}

void requester::connect(peer& to) {
  if (stopped_ || !to.address || to.gateway || to.searching) return;
  const bool alone = std::none_of(peers_.begin(), peers_.end(), [](const auto& each) { return each->gateway && !each->leaving; });
  const auto longer = std::min<clock::duration>(pause_between_searches * (1 << std::min(to.failures, 6)), longest_pause_between_searches);
  if (to.failures > 0 && clock::now() < to.failed + (alone ? pause_between_searches : longer)) return;
  if (!to.connector) {
    try {
      to.connector = settings_.make_connector(system(), *to.address);
    } catch (const std::exception& problem) {  // There are no threads left: perhaps later.
      return not_found(to, {errc::node_unavailable, problem.what()});
    }
    connectors_.push_back(to.connector);
    monitor(to.connector);
  }
  to.searching = true;
  send(to.connector, find_node{});
}

void requester::not_found(peer& at, error why) {
  why_not_found_ = std::move(why);
  at.failed = clock::now();
  if (++at.failures == 1 && settings_.reached) settings_.reached(&why_not_found_);
}

auto requester::not_sent() const -> error {
  return {errc::node_unavailable,
          "no node is connected" + (why_not_found_ ? " (" + why_not_found_.message + ")" : std::string()) + "; nothing was sent"};
}

void requester::found(const found_node_ptr& answer) {
  const auto at = std::find_if(peers_.begin(), peers_.end(), [this](const auto& each) {
    return each->connector && each->connector == current_sender();
  });
  if (at == peers_.end()) return;
  peer& whom = **at;
  whom.searching = false;
  if (const auto why = *answer ? wrong_with(whom, (**answer).greeting) : answer->failure()) {
    not_found(whom, why);
    if (settings_.keep_searching) return;
    for (const auto& each : std::exchange(stranded_, {})) end_waiting(each);
    return;
  }
  use(whom, **answer);
  monitor(whom.gateway);
  for (auto& each : std::exchange(stranded_, {})) dispatch(std::move(each));
}

void requester::one_is_down(const caf::down_msg& down) {
  std::vector<peer*> lost;  // One node may be known by two addresses; and to lose one may make another known.
  for (const auto& each : peers_)
    if (each->gateway && down.source == each->gateway) lost.push_back(each.get());
  for (auto* each : lost) lose(*each);
  std::erase_if(connectors_, [&](const caf::actor& each) { return down.source == each; });
  if (stopped_ && connectors_.empty()) quit();
}

// --- the cluster's members ---------------------------------------------------------------------------------------------

void requester::greeted(const hello_reply& reply) {
  auto* from = sender();
  if (from == nullptr) return;
  hear(*from);
  if (from->address && wrong_with(*from, reply)) return lose(*from);
  if (reply.request == from->greeting) from->time.learn(reply.milliseconds, from->greeted, clock::now());
  if (from == home_) learn(reply);
}

void requester::learn(const hello_reply& reply) {
  if (!settings_.follow_members || reply.members.empty()) return;
  asked_for_members_ = clock::now();
  std::vector<std::string> names;
  std::vector<node_address> addresses;
  for (const auto& each : reply.members) {
    auto address = node_address::parse(each.address);
    if (!address) continue;
    names.push_back(each.name);
    addresses.push_back(std::move(*address));
  }
  placements_.clear();
  for (const auto& each : reply.placements) {
    std::vector<std::string> some;
    for (const auto index : each.members)
      if (index < reply.members.size() && node_address::parse(reply.members[index].address))
        some.push_back(reply.members[index].name);
    if (!some.empty()) placements_.insert_or_assign(each.aggregate_type, placement(std::move(some)));
  }
  if (names == owners_.names() && addresses == addresses_) return;
  owners_ = placement(std::move(names));
  addresses_ = std::move(addresses);
  // Who is no member any more takes nothing new, and is forgotten when it is gone.
  for (std::size_t i = 0; i < peers_.size();) {
    peer& each = *peers_[i];
    const auto& members = owners_.names();
    const bool by_name = std::find(members.begin(), members.end(), each.name) != members.end();
    const bool by_address = each.address && std::find(addresses_.begin(), addresses_.end(), *each.address) != addresses_.end();
    if (each.gateway) {
      if (!by_name && !each.leaving) hurry(each);
      each.leaving = !by_name;
    }
    if (each.gateway || each.given || by_address) ++i;
    else forget(each);
  }
}

// What it has not answered soon is sent to another.
void requester::hurry(const peer& gone) {
  const auto until = clock::now() + last_words;
  for (auto& [request, each] : waiting_)
    if (each.to == &gone && each.command && each.command->retry) each.deadline = std::min(each.deadline, until);
}

// Now and then, along with a request, or while one waits: who is connected to one node hears of the others in time.
void requester::ask_for_members() {
  const auto now = clock::now();
  if (now - asked_for_members_ < members_are_fresh || home_ == nullptr || !home_->gateway) return;
  asked_for_members_ = now;
  greet(*home_);
}

void requester::forget(const peer& whom) {
  if (whom.connector) send(whom.connector, stop_connector{});
  if (home_ == &whom) home_ = nullptr;
  std::erase_if(peers_, [&](const auto& each) { return each.get() == &whom; });
}

// --- time --------------------------------------------------------------------------------------------------------------

void requester::keep_ticking() {
  if (!std::exchange(ticking_, true)) delayed_send(this, tick_interval, deadline_tick{});
}

void requester::tick() {
  ticking_ = false;
  if (stopped_) return;
  const auto now = clock::now();
  std::vector<attempt> late;
  std::vector<attempt> unwanted;
  std::unordered_map<const peer*, std::vector<std::uint64_t>> withdrawn;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    auto& each = at->second;
    const bool is_dropped = each.query && is_unwanted(*each.query);
    if (!is_dropped && each.deadline > now) {
      ++at;
      continue;
    }
    if (is_dropped) withdrawn[each.to].push_back(at->first);
    (is_dropped ? unwanted : late).push_back(std::move(each));
    at = waiting_.erase(at);
  }
  for (const auto& [from, requests] : withdrawn) withdraw(*from, requests);
  for (const auto& each : unwanted) end(*each.query, unwanted_query);
  for (const auto& each : late) {
    if (!each.command) continue;
    hear_parts(*each.to);
    leave_alone(*each.to);
    // A node that has said nothing all the while is as good as lost.
    if (each.to->heard < each.sent && each.to->gateway && each.to->address) lose(*each.to);
  }
  for (auto& each : late) go_unanswered(each);
  knock_where_it_is_silent();

  while (!resting_.empty() && resting_.begin()->first <= now) dispatch(std::move(resting_.extract(resting_.begin()).mapped()));
  const auto is_late = [&](const pending& each) { return each.deadline() <= now; };
  for (const auto& each : stranded_)
    if (is_late(each)) end_waiting(each);
  std::erase_if(stranded_, is_late);
  if (!stranded_.empty()) search();
  if (settings_.follow_members && !waiting_.empty()) ask_for_members();
  if (!waiting_.empty() || !resting_.empty() || !stranded_.empty()) keep_ticking();
}

// --- the end -----------------------------------------------------------------------------------------------------------

void requester::end_everybody() {
  for (auto& [request, each] : std::exchange(waiting_, {})) {
    if (each.query) end(*each.query, node_lost_query);
    if (!each.command) continue;
    each.command->in_doubt = true;
    end(*each.command);
  }
  for (const auto& [until, each] : std::exchange(resting_, {})) end_waiting(each);
  for (const auto& each : std::exchange(stranded_, {})) end_waiting(each);
}

void requester::stop() {
  stopped_ = true;
  end_everybody();
  for (const auto& each : connectors_) send(each, stop_connector{});
  // What we are may be held for longer than we live, by a message that CAF never delivers to a dead node; and an actor system does
  // not end before its connectors are gone.
  peers_.clear();
  home_ = nullptr;
  if (connectors_.empty()) quit();
}

// What we are lives on for as long as somebody has a handle to us.
void requester::on_exit() {
  stopped_ = true;
  for (auto& [request, each] : std::exchange(waiting_, {})) each = {};
  resting_.clear();
  stranded_.clear();
}

}  // namespace maestro
