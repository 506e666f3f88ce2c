#include <maestro/runtime/namesake.hpp>

#include <maestro/runtime/node_link.hpp>
#include <maestro/runtime/tcp.hpp>

#include <algorithm>
#include <string>
#include <thread>

namespace maestro {

namespace {

using steady_clock = std::chrono::steady_clock;

// One heartbeat may have been on its way to the store when the process was killed. A second one is a sign of life.
constexpr std::int64_t beats_of_the_living = 2;
constexpr int least_refusals = 2;
constexpr std::chrono::milliseconds longest_probe{50};
constexpr std::chrono::milliseconds longest_pause{50};

auto namesake_in(const member_list& list, const member& self) -> const member* {
  const auto found = std::find_if(list.members.begin(), list.members.end(), [&](const member& each) {
    return each.status == member_status::alive && each.name == self.name && each.incarnation != self.incarnation;
  });
  return found == list.members.end() ? nullptr : &*found;
}

auto name_is_taken(const member& by) -> error {
  return {errc::name_in_use, "the name \"" + by.name + "\" is taken: a node of that name runs at " + by.address +
                                     " (incarnation " + by.incarnation.text() +
                                     "). Give this node a node.name of its own, or end the other one first"};
}

auto refuses_connections(const member& each) -> bool {
  const auto address = node_address::parse(each.address);
  return address && refuses_tcp(address->host, address->port, longest_probe);
}

}  // namespace

auto wait_for_namesake(member_table& table, const member& self, std::chrono::milliseconds heartbeat_interval,
                       std::chrono::milliseconds suspicion_time) -> result<void> {
  const auto pause = std::min(heartbeat_interval / 2, longest_pause);
  member first;
  member last;
  steady_clock::time_point since;  // Its heartbeat has not moved.
  int refusals = 0;
  while (true) {
    const auto list = table.list();
    if (!list) return list.failure();
    const auto* other = namesake_in(*list, self);
    if (other == nullptr || !other->is_connected) return {};
    const auto now = steady_clock::now();
    if (other->incarnation != first.incarnation) first = last = *other, since = now;
    if (other->heartbeat != last.heartbeat) last = *other, since = now, refusals = 0;
    if (last.heartbeat - first.heartbeat >= beats_of_the_living) return name_is_taken(last);
    if (now - since >= suspicion_time) return {};
    if (now - since >= 2 * heartbeat_interval && refuses_connections(last) && ++refusals >= least_refusals) return {};
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace maestro
