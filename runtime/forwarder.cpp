#include <maestro/runtime/forwarder.hpp>

#include <maestro/runtime/requester.hpp>
#include <maestro/store/watched.hpp>

#include <caf/send.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string_view>
#include <utility>

namespace maestro {

namespace {

using steady_clock = std::chrono::steady_clock;

// For requests that do not say how long somebody waits for them.
constexpr std::chrono::seconds longest_wait{30};
constexpr std::uint64_t most_milliseconds = 24 * 3'600'000;  // What a stranger says may be anything.

// Answers that say that nothing was done, and that somebody else may do it.
auto was_declined(std::uint16_t code) -> bool {
  const auto why = static_cast<errc>(code);
  return why == errc::node_unavailable || why == errc::shutting_down || why == errc::not_the_owner;
}

auto is_alive_or_has_just_left(const cluster_view& view, const incarnation_id& incarnation) -> bool {
  const auto& all = view.list.members;
  const auto found = std::find_if(all.begin(), all.end(), [&](const member& each) { return each.incarnation == incarnation; });
  if (found == all.end() || found->status == member_status::dead) return false;
  if (found->status == member_status::alive) return true;
  return std::none_of(view.alive.begin(), view.alive.end(), [&](const member& each) { return each.name == found->name; });
}

// A number for the sender of a question: the same for all questions of one client, and without a meaning elsewhere. Two
// clients that get the same number share their turns.
auto asker_of(const taken_request<query_request>& taken) -> std::uint64_t {
  static const std::uint64_t salt = std::uint64_t{std::random_device{}()} << 32U | std::random_device{}();
  const auto client = reinterpret_cast<std::uintptr_t>(key_of(taken.client));
  const std::array<std::uint64_t, 3> parts{salt, client, taken.request.asker};
  return std::hash<std::string_view>{}({reinterpret_cast<const char*>(parts.data()), sizeof parts});
}

// Sent once only, and only while the owner can be reached.
void prepare(outgoing_command& sending, const taken_request<command_request>&) {
  sending.retry = false;
  sending.wait_for_node = true;
}
void prepare(outgoing_query& sending, const taken_request<query_request>& taken) {
  sending.retry = false;
  sending.request.asker = asker_of(taken);
  sending.is_unwanted = [caller = question_caller{taken.client, taken.withdrawn}] { return caller.is_gone(); };
}

// A registry that has ended does not read what comes back to it: then the request answers for itself, as nothing was
// done for it.
template <class Reply, class Request>
auto keep(taken_request<Request> taken) -> std::shared_ptr<taken_request<Request>> {
  return {new taken_request<Request>(std::move(taken)), [](taken_request<Request>* kept) {
            const std::unique_ptr<taken_request<Request>> last(kept);
            if (!last->client) return;
            give_at_last([&last] {
              Reply reply;
              reply.request = last->request.request;
              set_failure(
                  reply, {errc::shutting_down,
                          "the node has ended before it placed the request: nothing was done; send it to another one"});
              caf::anon_send(last->client, std::move(reply));
            });
          }};
}

template <class Outgoing, class Reply, class Request>
auto outgoing(const caf::actor& registry, const incarnation_id& owner, steady_clock::time_point deadline,
              taken_request<Request> taken) {
  auto sending = std::make_shared<Outgoing>();
  sending->request = taken.request;
  ++sending->request.hops;
  sending->deadline = deadline;
  prepare(*sending, taken);
  auto kept = keep<Reply>(std::move(taken));
  sending->done = [registry, owner, kept](Reply reply) {
    if (was_declined(reply.code)) {
      kept->declined.push_back(owner);
      return caf::anon_send(registry, place_here<Request>{kept});
    }
    reply.request = kept->request.request;
    // Where there is no memory for it the client goes by its own clock: what is dropped here says that nothing was done.
    caf::anon_send(std::exchange(kept->client, nullptr), std::move(reply));
  };
  return sending;
}

}  // namespace

void forwarder::pass_on(const member& owner, taken_request<command_request> taken) {
  const auto deadline = deadline_of(taken.request.expires_at);
  caf::anon_send(way_to(owner),
                 outgoing<outgoing_command, command_reply>(caf::actor_cast<caf::actor>(&registry_), owner.incarnation,
                                                           deadline, std::move(taken)));
}

void forwarder::pass_on(const member& owner, taken_request<query_request> taken) {
  const auto deadline = deadline_of(taken.request.expires_at);
  caf::anon_send(way_to(owner), outgoing<outgoing_query, query_reply>(caf::actor_cast<caf::actor>(&registry_),
                                                                      owner.incarnation, deadline, std::move(taken)));
}

void forwarder::keep_only(const cluster_view& view) {
  store_ = view.list.store;
  std::erase_if(ways_, [&](const auto& way) {
    const bool may_answer = is_alive_or_has_just_left(view, way.first);
    if (!may_answer) caf::anon_send(way.second, requester_stop{});
    return !may_answer;
  });
}

void forwarder::stop() {
  for (const auto& [incarnation, way] : std::exchange(ways_, {})) caf::anon_send(way, requester_stop{});
}

auto forwarder::way_to(const member& owner) -> const caf::actor& {
  auto& way = ways_[owner.incarnation];
  if (way) return way;
  requester_settings settings;
  settings.follow_members = false;
  settings.keep_searching = false;
  settings.make_connector = make_connector_;
  settings.store = store_;
  settings.incarnation = owner.incarnation;
  settings.name = "what hands requests on to " + owner.name;
  settings.died = died_;
  settings.reached = [log = log_, who = owner.name + " at " + owner.address](const error* why) {
    if (!log) return;
    if (why != nullptr) log->warn("{} cannot be reached; what belongs to it is carried out here: {}", who, why->message);
    else log->info("{} can be reached again", who);
  };
  // An address that is none leads to nobody, as one where nobody answers.
  const auto address = node_address::parse(owner.address);
  std::vector<node_address> addresses;
  if (address) addresses.push_back(*address);
  way = caf::actor_cast<caf::actor>(registry_.system().spawn<requester>(std::move(addresses), std::nullopt, std::move(settings)));
  return way;
}

auto forwarder::deadline_of(std::uint64_t expires_at) const -> steady_clock::time_point {
  const auto now = clock_.expiry_milliseconds();
  if (expires_at == 0) return steady_clock::now() + longest_wait;
  return steady_clock::now() + std::chrono::milliseconds(expires_at > now ? std::min(expires_at - now, most_milliseconds) : 0);
}

}  // namespace maestro
