#include <maestro/runtime/unserved_requests.hpp>

#include <algorithm>
#include <optional>

namespace maestro {

namespace {

// Members that a request is handed to before it is given up, one after the other.
constexpr std::size_t most_tries = 4;

const error draining{errc::shutting_down, "the node is stopping; send the request to another one"};

auto quoted(std::string_view name) -> std::string {
  return "\"" + std::string(name) + "\"";
}

auto described(const service_need& need) -> std::string {
  if (!need.command.empty()) return "command " + quoted(need.command) + " of aggregate type " + quoted(need.type);
  if (!need.call.empty()) return "call " + quoted(need.call) + " of aggregate type " + quoted(need.type);
  return "aggregate type " + quoted(need.type);
}

// A member that `fits`, by what it serves, other than the node itself: one that is alive rather than one that was.
// Null: none.
template <class Fits>
auto known_member(const cluster_view& view, Fits fits) -> const member* {
  const member* found = nullptr;
  for (std::size_t i = 0; i < view.list.members.size(); ++i) {
    const auto& each = view.list.members[i];
    if (each.incarnation == view.self || !fits(*view.served_by[i])) continue;
    if (each.status == member_status::alive) return &each;
    found = &each;
  }
  return found;
}

// What keeps `each`, a member that serves what is wanted, or one like it, from doing so.
auto absence_of(const member& each) -> std::string {
  return each.name + (each.status == member_status::alive ? ", which could not be reached now,"
                                                          : ", which was a member within the last day,");
}

// Whether the program behind `by` reads events of the type that `own` does not.
auto reads_what_is_unknown_to(const served& own, const served& by, std::string_view type) -> bool {
  const auto* theirs = by.find(type);
  const auto* ours = own.find(type);
  if (theirs == nullptr) return false;
  return ours == nullptr ||
         !std::includes(ours->events.begin(), ours->events.end(), theirs->events.begin(), theirs->events.end());
}

}  // namespace

auto may_be_served_elsewhere(const error& failure) -> bool {
  switch (failure.code) {
    case errc::unknown_command:
    case errc::unknown_call:
    case errc::cannot_hydrate:
      return true;
    default:
      return false;
  }
}

auto need_of(const command_request& request) -> service_need {
  return {request.aggregate_type, request.command, {}};
}

auto need_of(const query_request& request) -> service_need {
  const bool is_call = request.verb == static_cast<std::uint8_t>(query_verb::call);
  return {request.aggregate_type, {}, is_call ? std::string_view(request.name) : std::string_view()};
}

auto owner_among(const cluster_view& view, const std::vector<std::size_t>& candidates, const definition* type,
                 std::string_view type_name, const aggregate_id& id) -> const member& {
  std::vector<std::string> names;
  for (const auto each : candidates) names.push_back(view.alive[each].name);
  const placement over(std::move(names));
  return view.alive[candidates[type != nullptr ? type->place(id, over) : over.owner(placement_key(type_name, id))]];
}

auto judge_unserved(const cluster_view& view, const service_need& need, const served& own, const error& why) -> error {
  if (why.code == errc::cannot_hydrate) {
    const auto reads = [&](const served& by) { return reads_what_is_unknown_to(own, by, need.type); };
    const std::string other = " reads other events of aggregate type " + quoted(need.type);
    const std::string advice = ": a node of that release is needed, send the request again when one is up";
    if (const auto* able = known_member(view, [&](const served& by) { return reads(by) && need.is_met_by(by); }))
      return {errc::not_served, why.message + "; " + absence_of(*able) + other + advice};
    if (const auto* reader = known_member(view, reads))
      return {errc::not_served, why.message + "; " + reader->name + other + ", but does not serve " + described(need) +
                                    ": no member does both"};
    return why;
  }
  if (const auto* other = known_member(view, [&](const served& by) { return need.is_met_by(by); }))
    return {errc::not_served,
            "no member that is up serves " + described(need) + "; " + absence_of(*other) +
                " serves it: a node of that release is needed, send the request again when one is up"};
  const bool differs =
      view.placement_of(need.type) != nullptr || (own.find(need.type) == nullptr && !view.placements.empty());
  if (!differs) return why;
  return {
      errc::not_served,
      "no member serves " + described(need) +
          ", and the members are of different releases: when an upgrade is under way, send the request again later (" +
          why.message + ")"};
}

template <class Request>
void unserved_requests::take(unserved_ptr<Request> request) {
  if (on_.single_owner) return request->answer(request->why);
  if (hand_on(*request)) return;
  if (draining_) return request->answer(draining);
  if (view_ && view_->read_at >= request->since)
    return request->answer(judge_unserved(*view_, need_of(request->taken.request), own_, request->why));
  const auto patience = patience_with(*request);
  if (patience <= std::chrono::milliseconds(0)) return answer_unread(*request);
  held<Request>().emplace(cluster_view::clock::now() + patience, std::move(request));
  look_again();
}
template void unserved_requests::take(unserved_ptr<command_request> request);
template void unserved_requests::take(unserved_ptr<query_request> request);

// To another member that can, by what is known now. True when it is on its way, or answered.
template <class Request>
auto unserved_requests::hand_on(unserved<Request>& request) -> bool {
  auto& taken = request.taken;
  if (!view_ || taken.declined.size() >= most_tries) return false;
  const auto need = need_of(taken.request);
  const bool is_unreadable = request.why.code == errc::cannot_hydrate;
  const auto candidates = view_->able(need, [&](std::size_t index) {
    const auto& who = view_->alive[index].incarnation;
    return who != view_->self && std::find(taken.declined.begin(), taken.declined.end(), who) == taken.declined.end() &&
           (!is_unreadable || reads_what_is_unknown_to(own_, *view_->alive_serve[index], need.type));
  });
  if (candidates.empty()) return false;
  if (taken.request.hops >= most_hops) {
    request.answer({errc::not_the_owner,
                    "the members do not agree yet on where " + described(need) + " is served; send the request again"});
    return true;
  }
  const auto& to = owner_among(*view_, candidates, find_(need.type), need.type, taken.request.aggregate_id);
  ways_.pass_on(to, std::exchange(taken, {}));
  return true;
}

void unserved_requests::see(cluster_view_ptr view) {
  view_ = std::move(view);
  for (auto& [due, each] : std::exchange(held<command_request>(), {})) take(std::move(each));
  for (auto& [due, each] : std::exchange(held<query_request>(), {})) take(std::move(each));
}

// How much longer it may be held. Half of the time that its caller still waits is for the answer's way back.
template <class Request>
auto unserved_requests::patience_with(const unserved<Request>& request) const -> std::chrono::milliseconds {
  const auto now = on_.clock->expiry_milliseconds();
  const auto expires = request.taken.request.expires_at;
  const auto held_for =
      std::chrono::duration_cast<std::chrono::milliseconds>(cluster_view::clock::now() - request.since);
  auto whole = patience_;
  if (expires != 0 && expires < now + 24 * 3'600'000) {
    const auto from_arrival = static_cast<std::int64_t>(expires) - static_cast<std::int64_t>(now) + held_for.count();
    whole = std::min(whole, std::chrono::milliseconds(from_arrival / 2));
  }
  return whole - held_for;
}

// The table was not read since it came.
template <class Request>
void unserved_requests::answer_unread(unserved<Request>& request) {
  const auto need = need_of(request.taken.request);
  auto said = view_ ? judge_unserved(*view_, need, own_, request.why) : request.why;
  if (said.code != errc::not_served)
    said = {errc::not_served,
            "the table of the cluster's members was not read in time to tell whether another one serves " +
                described(need) + "; send the request again (" + request.why.message + ")"};
  request.answer(std::move(said));
}

void unserved_requests::give_up_late() {
  is_looking_ = false;
  give_up_late(held<command_request>());
  give_up_late(held<query_request>());
  look_again();
}

template <class Request>
void unserved_requests::give_up_late(waiting<Request>& all) {
  const auto now = cluster_view::clock::now();
  while (!all.empty() && all.begin()->first <= now) answer_unread(*all.extract(all.begin()).mapped());
}

// As long as something is held, however much it is.
void unserved_requests::look_again() {
  constexpr std::chrono::milliseconds pause{20};
  const bool none = held<command_request>().empty() && held<query_request>().empty();
  if (none || std::exchange(is_looking_, true)) return;
  registry_.delayed_send(&registry_, pause, give_up{});
}

void unserved_requests::drain() {
  draining_ = true;
  for (auto& [due, each] : std::exchange(held<command_request>(), {})) each->answer(draining);
  for (auto& [due, each] : std::exchange(held<query_request>(), {})) each->answer(draining);
}

}  // namespace maestro
