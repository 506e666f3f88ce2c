#include <maestro/runtime/registry.hpp>

#include <maestro/runtime/caller.hpp>
#include <maestro/store/json.hpp>
#include <maestro/store/page_sizer.hpp>
#include <maestro/store/scheduling.hpp>
#include <maestro/store/watched.hpp>

#include <caf/actor_system.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <span>
#include <utility>

namespace maestro {

namespace {

// A request's place in the count of what is in flight, given back when the last holder lets go.
auto make_ticket(flight_counter* flight, flight_counter::client_key client) -> std::shared_ptr<void> {
  return {flight, [client](flight_counter* counted) { counted->leave(client); }};
}

// Has the gateway find another member for a request of which `why` came here.
template <class Request>
void hand_back(const aggregate_environment& on, taken_request<Request> taken, error why) {
  try {
    caf::anon_send(on.registry, std::make_shared<unserved<Request>>(std::move(taken), std::move(why)));
  } catch (const std::bad_alloc&) {  // `taken` has moved when there was memory for the first of the two, and has answered.
    if (!taken.client) return;
    typename unserved<Request>::reply_type reply;
    reply.request = taken.request.request;
    set_failure(reply, {errc::overloaded, "there is no memory to hand it on; nothing was done, try again later"});
    give(taken.client, taken.ticket, std::move(reply));
  }
}

// What becomes of a request that is dropped unanswered. A node that ends has turned away what it had only queued.
auto dropped_command(bool may_be_committed, bool node_ends) -> error {
  if (node_ends && !may_be_committed)
    return {errc::shutting_down,
            "the node has ended before it took the command up: nothing was done; send it to another one"};
  return {errc::in_doubt, std::string(node_ends ? "the node has ended while the store had the command"
                                                : "the node met a fault of its own (see its log)") +
                              "; ask again with the same command id"};
}
auto dropped_query(bool node_ends) -> error {
  if (node_ends) return {errc::shutting_down, "the node has ended before it answered; ask another one"};
  return {errc::internal_error, "the node gave the question up, it met a fault of its own (see its log)"};
}

// About how long an event is in an answer.
auto bytes_of(const event& row) -> std::size_t {
  constexpr std::size_t all_else = 200;  // Ids, numbers, lengths.
  return row.body.size() + row.metadata.size() + row.type.size() + row.aggregate_type.size() + all_else;
}

// About how long that is which the answer shows.
auto bytes_of(const command_answer& answer, return_mode returns) -> std::size_t {
  if (returns == return_mode::state) return answer.state.size();
  std::size_t bytes = 0;
  if (returns == return_mode::events)
    for (const auto& row : answer.events) bytes += bytes_of(row);
  return bytes;
}

auto too_long_an_answer(std::size_t bytes, std::size_t longest) -> error {
  return {errc::invalid_argument, "the answer is " + std::to_string(bytes) + " bytes long; on its way from the aggregate's node no message "
                                      "may be longer than " + std::to_string(longest) + " (node.max-message-bytes)"};
}

// A command from a client, here or across the network.
class client_command final : public command_job {
 public:
  client_command(const aggregate_environment& on, taken_request<command_request>& taken, std::size_t longest_answer)
      : on_(on),
        longest_answer_(longest_answer),
        caller_(taken.client),
        client_(std::move(taken.client)),
        ticket_(std::move(taken.ticket)),
        declined_(std::move(taken.declined)),
        request_(taken.request.request),
        hops_(taken.request.hops),
        aggregate_type_(std::move(taken.request.aggregate_type)) {
    auto& request = taken.request;
    aggregate_id = request.aggregate_id;
    command_id = request.command_id;
    command = std::move(request.command);
    payload = std::move(request.payload);
    metadata = std::move(request.metadata);
    correlation_id = std::move(request.correlation_id);
    causation_id = std::move(request.causation_id);
    first_send = request.first_send;
    expires_at = request.expires_at;
    if (request.expect_sequence >= 0) expect_sequence = static_cast<sequence_number>(request.expect_sequence);
    returns = static_cast<return_mode>(request.returns);
  }
  ~client_command() override {
    if (!client_) return;
    give_at_last([this] { client_command::answer({dropped_command(may_be_committed, on_.stopping), 0, 0, false, {}, {}}); });
  }
  void answer(command_answer answer) override {
    if (may_be_served_elsewhere(answer.failure) && !on_.single_owner)
      return hand_back(on_, take_back(), std::move(answer.failure));
    command_reply reply;
    reply.request = request_;
    // What it has done stands, and is said without what it was to show.
    if (bytes_of(answer, returns) > longest_answer_) returns = return_mode::sequences;
    set_failure(reply, std::move(answer.failure));
    reply.first = answer.first;
    reply.last = answer.last;
    reply.repeated = answer.repeated;
    if (returns == return_mode::events) reply.events = std::move(answer.events);
    if (returns == return_mode::state) reply.state = std::move(answer.state);
    const hand_on thread;
    give(client_, ticket_, std::move(reply));
  }
  [[nodiscard]] auto caller_is_gone() const -> bool override { return has_ended(caller_); }
  [[nodiscard]] auto caller() const -> const void* override { return key_of(caller_); }

 private:
  // The request as it came: nothing was done for it.
  auto take_back() -> taken_request<command_request> {
    taken_request<command_request> taken;
    auto& request = taken.request;
    request.request = request_;
    request.aggregate_type = std::move(aggregate_type_);
    request.aggregate_id = aggregate_id;
    request.command_id = command_id;
    request.command = std::move(command);
    request.payload = std::move(payload);
    request.metadata = std::move(metadata);
    request.correlation_id = std::move(correlation_id);
    request.causation_id = std::move(causation_id);
    request.first_send = first_send;
    request.expires_at = expires_at;
    if (expect_sequence) request.expect_sequence = *expect_sequence;
    request.returns = static_cast<std::uint8_t>(returns);
    request.hops = hops_;
    taken.client = std::exchange(client_, nullptr);
    taken.ticket = std::exchange(ticket_, nullptr);
    taken.declined = std::move(declined_);
    return taken;
  }

  const aggregate_environment& on_;
  const std::size_t longest_answer_;
  const caf::actor caller_;  // Stays, for whichever thread asks whether it has gone.
  caf::actor client_;
  std::shared_ptr<void> ticket_;
  std::vector<incarnation_id> declined_;
  std::uint64_t request_;
  std::uint8_t hops_;
  std::string aggregate_type_;
};

auto moment_of(sequence_number sequence, std::uint64_t time) -> moment {
  return {sequence, time == query_request::any_time ? std::nullopt : std::optional(time)};
}

// A question from a client.
class client_query final : public query_job {
 public:
  client_query(const aggregate_environment& on, taken_request<query_request>& taken, std::size_t longest_answer)
      : on_(on),
        longest_answer_(longest_answer),
        caller_{taken.client, std::move(taken.withdrawn)},
        client_(std::move(taken.client)),
        ticket_(std::move(taken.ticket)),
        declined_(std::move(taken.declined)),
        request_(std::move(taken.request)) {
    auto& request = request_;
    expires_at = request.expires_at;
    kind = static_cast<query_kind>(request.verb);
    aggregate_id = request.aggregate_id;
    at_least = request.at_least;
    up_to = moment_of(request.up_to, request.up_to_time);
    from = moment_of(request.from, request.from_time);
    name = request.name;
    payload = std::move(request.payload);
  }
  ~client_query() override {
    if (client_) give_at_last([this] { client_query::answer({dropped_query(on_.stopping), 0, {}}); });
  }
  void answer(query_answer answer) override {
    if (may_be_served_elsewhere(answer.failure) && !on_.single_owner) {
      request_.payload = std::move(payload);
      return hand_back<query_request>(
          on_,
          {std::move(request_), std::exchange(client_, nullptr), std::exchange(ticket_, nullptr), std::move(declined_),
           caller_.withdrawn},
          std::move(answer.failure));
    }
    query_reply reply;
    reply.request = request_.request;
    if (answer.state.size() > longest_answer_) {
      answer.failure = too_long_an_answer(answer.state.size(), longest_answer_);
      answer.state.clear();
    }
    set_failure(reply, std::move(answer.failure));
    reply.sequence = answer.sequence;
    reply.state = std::move(answer.state);
    const hand_on thread;
    give(client_, ticket_, std::move(reply));
  }
  [[nodiscard]] auto caller_is_gone() const -> bool override { return caller_.is_gone(); }
  [[nodiscard]] auto caller() const -> const void* override { return key_of(caller_.actor); }
  [[nodiscard]] auto asker() const -> std::uint64_t override { return request_.asker; }

 private:
  const aggregate_environment& on_;
  const std::size_t longest_answer_;
  const question_caller caller_;  // Stays, for whichever thread asks whether it has gone.
  caf::actor client_;
  std::shared_ptr<void> ticket_;
  std::vector<incarnation_id> declined_;
  query_request request_;
};

// `events` and `list`: answered from the log by a reader, without waking the aggregate.
class log_query final : public question_task {
 public:
  log_query(const aggregate_environment& on, taken_request<query_request> taken, std::size_t longest_answer)
      : on_(on),
        on_its_way_(longest_answer),
        max_bytes_(std::min(page_sizer::page_bytes, longest_answer)),
        request_(std::move(taken.request)),
        caller_{taken.client, std::move(taken.withdrawn)},
        client_(std::move(taken.client)),
        ticket_(std::move(taken.ticket)) {
    reply_.request = request_.request;
  }
  ~log_query() override {
    if (client_) give_at_last([this] { send(dropped_query(on_.stopping)); });
  }
  auto give_up() -> bool override {
    auto why = on_.gives_up(request_.expires_at, caller_.is_gone());
    if (!why) return false;
    send(std::move(why));
    return true;
  }
  auto work(store& with) -> bool override {
    const auto wanted = std::clamp<std::size_t>(request_.limit, 1, max_rows);
    const auto complete = static_cast<query_verb>(request_.verb) == query_verb::list ? list(with, wanted) : events(with, wanted);
    if (complete && !*complete) return false;
    send(complete ? error{} : complete.failure());
    return true;
  }
  [[nodiscard]] auto caller() const -> const void* override { return key_of(caller_.actor); }
  [[nodiscard]] auto asker() const -> std::uint64_t override { return request_.asker; }

 private:
  static constexpr std::size_t max_rows = 1000;

  auto list(store& with, std::size_t wanted) -> result<bool> {
    auto heads = with.list_aggregates(request_.aggregate_type, request_.aggregate_id, wanted);
    if (!heads) return heads.failure();
    reply_.more = heads->size() == wanted;
    reply_.heads = std::move(*heads);
    return true;
  }
  // One page, of no more rows than still fit by the size of those before, and one. True when there is enough.
  auto events(store& with, std::size_t wanted) -> result<bool> {
    const auto read = reply_.events.size();
    const auto of_each = std::max<std::size_t>(bytes_ / std::max<std::size_t>(read, 1), 1);
    const auto limit = std::min({wanted - read, pages_.next(), (max_bytes_ - bytes_) / of_each + 1});
    const auto after = reply_.events.empty() ? request_.after : reply_.events.back().sequence;
    auto rows = with.get_events(request_.aggregate_id, {after, max_sequence(), limit});
    if (!rows) return rows.failure();
    pages_.saw(*rows);
    for (auto& row : *rows) {
      if (!row.aggregate_type.empty() && row.aggregate_type != request_.aggregate_type)
        return error{errc::wrong_aggregate_type, "id " + row.aggregate_id.text() + " belongs to aggregate type \"" +
                                                     row.aggregate_type + "\", not \"" + request_.aggregate_type + "\""};
      const auto bytes = bytes_of(row);
      bytes_ += bytes;
      if (bytes > on_its_way_ && reply_.events.empty()) return too_long_an_answer(bytes, on_its_way_);
      if (bytes_ > max_bytes_ && !reply_.events.empty()) {
        reply_.more = true;
        return true;
      }
      reply_.events.push_back(std::move(row));
    }
    reply_.more = rows->size() == limit;
    return !reply_.more || reply_.events.size() >= wanted || bytes_ >= max_bytes_;
  }
  void send(error failure) {
    set_failure(reply_, std::move(failure));
    give(client_, ticket_, std::move(reply_));
  }

  const aggregate_environment& on_;
  const std::size_t on_its_way_;  // More does not get there.
  const std::size_t max_bytes_;   // Of a page.
  query_request request_;
  query_reply reply_;
  std::size_t bytes_ = 0;
  page_sizer pages_{max_rows};
  const question_caller caller_;
  caf::actor client_;
  std::shared_ptr<void> ticket_;
};

// Any node that has the type can read the log.
auto is_read_from_log(const query_request& request) -> bool {
  const auto verb = static_cast<query_verb>(request.verb);
  return verb == query_verb::events || verb == query_verb::list;
}
auto is_read_from_log(const command_request&) -> bool {
  return false;
}

auto rebuild_mode_of(std::string_view word) -> std::optional<rebuild_mode> {
  if (word == "resume") return rebuild_mode::resume;
  if (word == "restart") return rebuild_mode::restart;
  if (word == "abandon") return rebuild_mode::abandon;
  return std::nullopt;
}

template <class Reply, class Request>
void refuse(const caf::actor& client, const Request& request, error failure) {
  Reply reply;
  reply.request = request.request;
  set_failure(reply, std::move(failure));
  caf::anon_send(client, std::move(reply));
}

}  // namespace

auto flight_counter::enter(client_key client) -> admission {
  const std::lock_guard lock(mutex_);
  if (count_ >= limit_) return admission::node_is_full;
  if (client != nullptr) {
    auto& of_client = by_client_[client];
    if (of_client >= limit_per_client_) return admission::client_is_full;
    ++of_client;
  }
  ++count_;
  return admission::granted;
}

void flight_counter::leave(client_key client) {
  const std::lock_guard lock(mutex_);
  if (const auto at = by_client_.find(client); at != by_client_.end() && --at->second == 0) by_client_.erase(at);
  if (--count_ == 0) none_left_.notify_all();
}

auto flight_counter::count() const -> std::size_t {
  const std::lock_guard lock(mutex_);
  return count_;
}

auto flight_counter::wait_until_none(std::chrono::milliseconds timeout) const -> bool {
  std::unique_lock lock(mutex_);
  return none_left_.wait_for(lock, timeout, [this] { return count_ == 0; });
}

registry::registry(caf::actor_config& config, const aggregate_environment* environment,
                   std::vector<definition_ptr> types, flight_counter* flight, rebuild_service* rebuilds,
                   registry_settings settings)
    : caf::event_based_actor(config),
      environment_(environment),
      flight_(flight),
      rebuilds_(rebuilds),
      settings_(std::move(settings)),
      forwarder_(*this, *environment->clock, settings_.make_connector, environment_->log, settings_.died),
      unserved_(
          *this, *environment, forwarder_, served(types),
          [this](std::string_view name) {
            const auto* type = find_type(name);
            return type == nullptr ? nullptr : type->definition.get();
          },
          settings_.heartbeat_interval) {
  for (auto& type : types) {
    const auto idle = idle_timeout(*type);
    shortest_idle_timeout_ = std::min(shortest_idle_timeout_, idle);
    types_.push_back({std::move(type), std::chrono::ceil<tick>(idle).count(), {}, {}, nullptr});
  }
}

auto registry::make_behavior() -> caf::behavior {
  ignore_strangers(*this);
  be_watched(*this, "the gateway", settings_.died);
  sweep();
  return {
      [this](command_request& request) { take(request); },
      [this](query_request& request) { take(request); },
      [this](const query_withdrawal& notice) { take(notice); },
      [this](const hello& greeting) { greet(caf::actor_cast<caf::actor>(current_sender()), greeting); },
      [this](cluster_view_ptr& view) { see(std::move(view)); },
      [this](const place_here<command_request>& back) { start_here(std::move(*back.taken)); },
      [this](const place_here<query_request>& back) { start_here(std::move(*back.taken)); },
      [this](unserved_ptr<command_request>& request) { unserved_.take(std::move(request)); },
      [this](unserved_ptr<query_request>& request) { unserved_.take(std::move(request)); },
      [this](unserved_requests::give_up) { unserved_.give_up_late(); },
      [this](const aggregate_retired& notice) { retired(notice); },
      [this](const aggregate_empty& notice) { release_empty(notice); },
      [this](sweep_idle) { sweep(); },
      [this](const start_draining& order) {
        draining_ = true;
        unserved_.drain();
        order.done->set_value();
      },
      [this](retire_with_snapshots& order) { retire_all_with_snapshots(std::move(order.done)); },
      [this](retire_again) {
        will_retire_again_ = false;
        if (all_retired_) retire_those_with_snapshots();
      },
      [this](const let_go_of_aggregates& order) {
        draining_ = true;
        let_go();
        order.done->set_value();
      },
      [this](stop_registry) { quit(); },
  };
}

// The network layer holds a handle to us for as long as it runs, so the handles to the aggregates must not wait for our
// destructor.
void registry::on_exit() { let_go(); }

void registry::let_go() {
  unserved_.drain();
  forwarder_.stop();
  held_greetings_.clear();
  types_.clear();
}

// Before it has joined its cluster the node cannot say which store it has, and says nothing.
void registry::greet(caf::actor client, const hello& greeting) {
  constexpr std::size_t most_held = 1'000;
  if (!client) return;
  if (view_) return send(client, greeting_for(greeting));
  if (held_greetings_.size() < most_held) held_greetings_.emplace_back(std::move(client), greeting);
}

auto registry::greeting_for(const hello& greeting) const -> hello_reply {
  hello_reply reply;
  reply.request = greeting.request;
  reply.milliseconds = environment_->clock->expiry_milliseconds();
  reply.max_message_bytes = settings_.max_message_bytes;
  for (const auto& type : types_) reply.aggregate_types.emplace_back(type.definition->type());
  auto& types = reply.aggregate_types;
  for (const auto& [type, placed] : view_->placements) {
    if (std::find(types.begin(), types.end(), type) == types.end()) types.push_back(type);
    if (placed.members.size() < view_->alive.size())
      reply.placements.push_back({type, std::vector<std::uint32_t>(placed.members.begin(), placed.members.end())});
  }
  reply.incarnation = view_->self;
  reply.store = view_->list.store;
  for (const auto& each : view_->alive) {
    reply.members.push_back({each.name, each.address});
    if (each.incarnation == view_->self) reply.node = each.name;
  }
  return reply;
}

// --- requests ----------------------------------------------------------------------------------------------------------

void registry::take(command_request& request) {
  auto client = caf::actor_cast<caf::actor>(current_sender());
  if (!client) return;
  if (environment_->single_owner && !draining_ && find_type(request.aggregate_type) == nullptr)
    return refuse<command_reply>(client, request, unknown_type(request.aggregate_type));
  if (request.returns > static_cast<std::uint8_t>(return_mode::state) || request.expect_sequence > max_sequence())
    return refuse<command_reply>(client, request, {errc::invalid_argument, "the request asks for what this node does not know"});
  if (!request.command_id || !request.aggregate_id)
    return refuse<command_reply>(client, request, {errc::invalid_argument, std::string(request.command_id ? "the aggregate" : "the command") +
                                                                               " id is all zeros, which stands for none; see maestro new"});
  auto [ticket, refusal] = admit(client, request.hops > 0);
  if (refusal) return refuse<command_reply>(client, request, std::move(refusal));
  place(taken_request<command_request>{std::move(request), std::move(client), std::move(ticket)});
}

void registry::take(query_request& request) {
  auto client = caf::actor_cast<caf::actor>(current_sender());
  if (!client) return;
  if (request.verb == static_cast<std::uint8_t>(query_verb::rebuild)) return answer_rebuild(client, request);
  if (request.verb == static_cast<std::uint8_t>(query_verb::members)) return answer_members(client, request);
  if (environment_->single_owner && !draining_ && find_type(request.aggregate_type) == nullptr)
    return refuse<query_reply>(client, request, unknown_type(request.aggregate_type));
  if (request.verb > static_cast<std::uint8_t>(query_verb::diff) || request.at_least < 0 || request.up_to < 0 ||
      request.from < 0 || request.after < 0)
    return refuse<query_reply>(client, request, {errc::invalid_argument, "the request asks for what this node does not know"});
  const auto latest = environment_->clock->expiry_milliseconds() + static_cast<std::uint64_t>(environment_->settings.max_question_time.count());
  request.expires_at = request.expires_at == 0 ? latest : std::min(request.expires_at, latest);
  if (auto why = environment_->gives_up(request.expires_at, has_ended(client))) return refuse<query_reply>(client, request, std::move(why));
  const bool is_handed_on = request.hops > 0;
  auto [ticket, refusal] = admit(client, is_handed_on);
  if (refusal) return refuse<query_reply>(client, request, std::move(refusal));
  if (!is_handed_on) request.asker = 0;  // A client asks for itself alone.
  auto withdrawn = is_handed_on ? handed_on_.note(client, request.request) : nullptr;
  taken_request<query_request> taken{std::move(request), std::move(client), std::move(ticket)};
  taken.withdrawn = std::move(withdrawn);
  place(std::move(taken));
}

void registry::take(const query_withdrawal& notice) {
  const auto count = std::min(notice.requests.size(), query_withdrawal::most_requests);
  handed_on_.withdraw(caf::actor_cast<caf::actor>(current_sender()), std::span(notice.requests).first(count));
}

// What was handed on goes back to a node, which takes no more than its settings say, and these are taken to be like ours. A client takes
// any answer.
auto registry::longest_answer(std::uint8_t hops) const -> std::size_t {
  constexpr std::size_t all_else = 4096;
  if (hops == 0 || settings_.max_message_bytes == 0) return SIZE_MAX;
  return settings_.max_message_bytes - std::min(settings_.max_message_bytes, all_else);
}

// To the owner, unless that is us, or the members cannot agree who it is.
template <class Request>
void registry::place(taken_request<Request> taken) {
  const auto* type = find_type(taken.request.aggregate_type);
  if (type != nullptr && taken.request.hops < most_hops && !is_read_from_log(taken.request))
    if (const auto* owner = place_of(*type, taken.request)) return forwarder_.pass_on(*owner, std::move(taken));
  start_here(std::move(taken));
}

// Null: here. The owner of the aggregate, or where that does not know the command or call, one that does, if there is
// one.
template <class Request>
auto registry::place_of(const registered_type& type, const Request& request) const -> const member* {
  const auto* owner = owner_elsewhere(type, request.aggregate_id);
  if (type.placed == nullptr) return owner;
  const auto need = need_of(request);
  if (need.is_met_by(owner == nullptr ? unserved_.own() : *view_->alive_serve[owner_of(type, request.aggregate_id)]))
    return owner;
  const auto able = view_->able(need);
  if (able.empty()) return owner;
  const auto& chosen = owner_among(*view_, able, type.definition.get(), need.type, request.aggregate_id);
  return chosen.incarnation == view_->self ? nullptr : &chosen;
}

template <class Request>
void registry::start_here(taken_request<Request> taken) {
  auto* type = find_type(taken.request.aggregate_type);
  if (type == nullptr) {
    auto why = unknown_type(taken.request.aggregate_type);
    return unserved_.take(std::make_shared<unserved<Request>>(std::move(taken), std::move(why)));
  }
  if constexpr (std::is_same_v<Request, command_request>) {
    hand_over<command_job>(*type, std::make_shared<client_command>(*environment_, taken, longest_answer(taken.request.hops)));
  } else {
    if (is_read_from_log(taken.request)) return answer_from_log(std::move(taken));
    hand_over<query_job>(*type, std::make_shared<client_query>(*environment_, taken, longest_answer(taken.request.hops)));
  }
}

void registry::answer_from_log(taken_request<query_request> taken) {
  const auto& readers = environment_->readers;
  const auto& reader = readers[std::hash<maestro::aggregate_id>{}(taken.request.aggregate_id) % readers.size()];
  const auto longest = longest_answer(taken.request.hops);
  caf::anon_send(reader, store_task_ptr(std::make_shared<log_query>(*environment_, std::move(taken), longest)));
}

void registry::answer_rebuild(const caf::actor& client, const query_request& request) {
  if (!request.payload.empty()) {
    if (draining_) return refuse<query_reply>(client, request, {errc::shutting_down, "the node is stopping"});
    const auto mode = rebuild_mode_of(request.payload);
    if (!mode)
      return refuse<query_reply>(client, request, {errc::invalid_argument, "the request asks for what this node does not know"});
    if (auto started = rebuilds_->start(request.name, *mode); !started)
      return refuse<query_reply>(client, request, started.failure());
  }
  auto report = rebuilds_->report(request.name);
  if (!report) return refuse<query_reply>(client, request, report.failure());
  query_reply reply;
  reply.request = request.request;
  set_failure(reply, report->failure);
  reply.state = report->text();
  reply.more = report->running;
  caf::anon_send(client, std::move(reply));
}

// A line for each row of the table.
void registry::answer_members(const caf::actor& client, const query_request& request) const {
  query_reply reply;
  reply.request = request.request;
  const auto& members = view_ ? view_->list.members : std::vector<member>{};
  for (const auto& each : members) {
    reply.state += "{\"name\":" + json_quote(each.name) + ",\"address\":" + json_quote(each.address) + ",\"status\":\"" +
                   std::string(to_string(each.status)) + "\",\"incarnation\":\"" + each.incarnation.text() +
                   "\",\"heartbeat\":" + std::to_string(each.heartbeat);
    if (!each.serves.empty()) reply.state += ",\"serves\":" + json_quote(each.serves);
    if (each.incarnation == view_->self) reply.state += ",\"self\":true";
    reply.state += "}\n";
  }
  caf::anon_send(client, std::move(reply));
}

auto registry::find_type(std::string_view name) -> registered_type* {
  for (auto& type : types_)
    if (type.definition->type() == name) return &type;
  return nullptr;
}

auto registry::unknown_type(const std::string& name) const -> error {
  std::string known;
  for (const auto& type : types_) known.append(known.empty() ? "" : ", ").append(type.definition->type());
  return {errc::unknown_aggregate_type, "this node has no aggregate type \"" + name + "\"; it has: " + known};
}

// A ticket for one more request, or why there is none.
auto registry::admit(const caf::actor& client, bool is_handed_on) -> std::pair<std::shared_ptr<void>, error> {
  if (draining_) return {nullptr, {errc::shutting_down, "the node is stopping; send the request to another one"}};
  // What another node hands on comes from many clients, whom that one has counted.
  const auto* key = is_handed_on ? nullptr : key_of(client);
  switch (flight_->enter(key)) {
    case flight_counter::admission::granted: return {make_ticket(flight_, key), {}};
    case flight_counter::admission::client_is_full:
      return {nullptr, {errc::overloaded, "this client has " + std::to_string(flight_->limit_per_client()) +
                                              " requests in flight at the node, its limit (node.max-commands-per-client); try again later"}};
    case flight_counter::admission::node_is_full: break;
  }
  return {nullptr, {errc::overloaded, "the node has " + std::to_string(flight_->limit()) +
                                          " requests in flight, its limit (node.max-commands-in-flight); try again later"}};
}

template <class Job>
void registry::hand_over(registered_type& type, std::shared_ptr<Job> job) {
  auto& entry = route(type, job->aggregate_id);
  if (!entry.retiring) {
    const hand_on thread;
    return send(entry.actor, std::move(job));
  }
  auto& held = type.held[job->aggregate_id];
  if constexpr (std::is_same_v<Job, command_job>) held.commands.push_back(std::move(job));
  else held.queries.push_back(std::move(job));
}

auto registry::route(registered_type& type, const aggregate_id& id) -> live_aggregate& {
  auto [at, is_new] = type.live.try_emplace(id);
  auto& entry = at->second;
  entry.last_used = now();
  if (is_new) {
    entry.actor = caf::actor_cast<caf::actor>(
        home_system().spawn<aggregate_actor>(environment_, type.definition.get(), id));
    if (++live_count_ > settings_.max_live_aggregates) make_room(entry);
  }
  return entry;
}

void registry::ask_to_retire(live_aggregate& entry) {
  if (std::exchange(entry.retiring, true)) return;
  send(entry.actor, retire_aggregate{});
}

// An aggregate has ended, or has work after all. Either way what was held for it goes on.
void registry::retired(const aggregate_retired& notice) {
  for (auto& type : types_) {
    if (type.definition.get() != notice.type) continue;
    const auto at = type.live.find(notice.id);
    if (at == type.live.end()) return;
    if (notice.done) {
      type.live.erase(at);
      --live_count_;
    } else {
      at->second.retiring = false;
      at->second.last_used = now();
      if (all_retired_) retire_again_soon();  // What it does is not asked for by anybody, and ends soon.
    }
    note_that_one_has_retired();
    auto held = type.held.extract(notice.id);
    if (held.empty()) return;
    for (auto& query : held.mapped().queries) hand_over<query_job>(type, std::move(query));
    for (auto& command : held.mapped().commands) hand_over<command_job>(type, std::move(command));
    return;
  }
}

void registry::release_empty(const aggregate_empty& notice) {
  for (auto& type : types_)
    if (type.definition.get() == notice.type)
      if (const auto at = type.live.find(notice.id); at != type.live.end()) ask_to_retire(at->second);
}

auto registry::idle_timeout(const definition& type) const -> std::chrono::milliseconds {
  const auto own = type.lifecycle().idle_timeout;
  return own.count() > 0 ? own : settings_.idle_timeout;
}

// --- the cluster -------------------------------------------------------------------------------------------------------

void registry::see(cluster_view_ptr view) {
  const bool has_changed = !view_ || view_->list.version != view->list.version || !view_->places_as(*view);
  view_ = std::move(view);
  for (auto& type : types_) type.placed = view_->placement_of(type.definition->type());
  for (auto& [client, greeting] : std::exchange(held_greetings_, {})) send(client, greeting_for(greeting));
  unserved_.see(view_);
  if (!has_changed) return;
  forwarder_.keep_only(*view_);
  retire_what_moved();
}

// An index into the members that are alive, of which there must be one.
auto registry::owner_of(const registered_type& type, const aggregate_id& id) const -> std::size_t {
  if (type.placed == nullptr) return type.definition->place(id, view_->owners);
  return type.placed->members[type.definition->place(id, type.placed->owners)];
}

// Null: we are, or nobody else is known.
auto registry::owner_elsewhere(const registered_type& type, const aggregate_id& id) const -> const member* {
  if (!view_ || view_->owners.empty()) return nullptr;
  const auto& owner = view_->alive[owner_of(type, id)];
  return owner.incarnation == view_->self ? nullptr : &owner;
}

// Each finishes what it has in flight; one that is not done yet is asked again with the next sweep.
void registry::retire_what_moved() {
  some_have_moved_ = false;
  for (auto& type : types_)
    for (auto& [id, entry] : type.live) {
      if (owner_elsewhere(type, id) == nullptr) continue;
      some_have_moved_ = true;
      ask_to_retire(entry);
    }
}

void registry::retire_all_with_snapshots(std::shared_ptr<std::promise<void>> waiting) {
  all_retired_ = std::move(waiting);
  retire_those_with_snapshots();
  note_that_one_has_retired();
}

void registry::retire_those_with_snapshots() {
  for (auto& type : types_)
    if (type.definition->lifecycle().snapshot_on_passivation)
      for (auto& [id, entry] : type.live) ask_to_retire(entry);
}

// One that has work is not asked again before it can have changed anything.
void registry::retire_again_soon() {
  constexpr std::chrono::milliseconds pause{20};
  if (!std::exchange(will_retire_again_, true)) delayed_send(this, pause, retire_again{});
}

void registry::note_that_one_has_retired() {
  if (!all_retired_) return;
  for (const auto& type : types_)
    if (type.definition->lifecycle().snapshot_on_passivation && !type.live.empty()) return;
  std::exchange(all_retired_, nullptr)->set_value();
}

// --- who stays in memory -----------------------------------------------------------------------------------------------

void registry::sweep() {
  const auto interval = std::clamp<std::chrono::milliseconds>(shortest_idle_timeout_ / 4, std::chrono::milliseconds(100),
                                                              std::chrono::seconds(30));
  delayed_send(this, interval, sweep_idle{});
  const auto current = now();
  for (auto& type : types_)
    for (auto& [id, entry] : type.live)
      if (current - entry.last_used > type.idle_ticks) ask_to_retire(entry);
  if (some_have_moved_) retire_what_moved();
}

// Asks the least recently used twentieth to end. Aggregates with work decline, so the bound is exceeded by at most what is
// in flight.
void registry::make_room(const live_aggregate& newest) {
  std::vector<std::uint32_t> ages;
  for (const auto& type : types_)
    for (const auto& [id, entry] : type.live)
      if (!entry.retiring && &entry != &newest) ages.push_back(entry.last_used);
  const std::size_t goal = settings_.max_live_aggregates - settings_.max_live_aggregates / 20 - 1;
  if (ages.size() <= goal) return;
  std::size_t excess = ages.size() - goal;
  const auto nth = ages.begin() + static_cast<std::ptrdiff_t>(excess - 1);
  std::nth_element(ages.begin(), nth, ages.end());
  const auto oldest = *nth;
  for (auto& type : types_)
    for (auto& [id, entry] : type.live) {
      if (excess == 0) return;
      if (entry.retiring || &entry == &newest || entry.last_used > oldest) continue;
      ask_to_retire(entry);
      --excess;
    }
}

auto registry::now() const -> std::uint32_t {
  return std::chrono::duration_cast<tick>(std::chrono::steady_clock::now() - started_).count();
}

}  // namespace maestro
