// What a node knows of its cluster at one moment.
#pragma once

#include <maestro/aggregates/placement.hpp>
#include <maestro/store/members.hpp>

#include <caf/allowed_unsafe_message_type.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace maestro {

/// Immutable once it is shared.
struct cluster_view {
  cluster_view(member_list read, const incarnation_id& own) : list(std::move(read)), self(own) {
    std::vector<std::string> names;
    for (const auto& each : list.members) {
      if (each.status != member_status::alive || (!each.is_connected && each.incarnation != self)) continue;
      alive.push_back(each);
      names.push_back(each.name);
    }
    owners = placement(std::move(names));
  }

  member_list list;           ///< All that the table says.
  incarnation_id self;        ///< The node's own.
  std::vector<member> alive;  ///< By name; without those that have neither a session nor a heartbeat that moves.
  placement owners;           ///< Over `alive`.
};

using cluster_view_ptr = std::shared_ptr<const cluster_view>;

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::cluster_view_ptr)
