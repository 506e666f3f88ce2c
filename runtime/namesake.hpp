// What a node does about another run of its own name when it joins a cluster. One that was killed gives way at once, so
// that a node can be started again fast; beside one that lives there is no room, since each would end the other.
#pragma once

#include <maestro/store/members.hpp>

#include <chrono>

namespace maestro {

/// Waits until no other run of the name of `self` lives, as far as `table` shows: at once when there is none, or none
/// of its sessions is connected; otherwise until its heartbeat has stood still for `suspicion_time`, or for two
/// heartbeat intervals while its address refuses connections. A sleeping wait, which ends after about twice the
/// suspicion time. Errors: `invalid_setting`, naming the other's address, when its heartbeat goes on; those of
/// `member_table::list`.
[[nodiscard]] auto wait_for_namesake(member_table& table, const member& self,
                                     std::chrono::milliseconds heartbeat_interval,
                                     std::chrono::milliseconds suspicion_time) -> result<void>;

}  // namespace maestro
