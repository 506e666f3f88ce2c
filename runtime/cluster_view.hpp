// What a node knows of its cluster at one moment: which members are alive, what each serves, and so where the aggregates of each
// type live.
#pragma once

#include <maestro/aggregates/placement.hpp>
#include <maestro/runtime/served.hpp>
#include <maestro/store/members.hpp>

#include <caf/allowed_unsafe_message_type.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace maestro {

/// What a request needs of the member that carries it out: the type, and the command or call, if it is one. The texts
/// are the request's.
struct service_need {
  std::string_view type;
  std::string_view command{};
  std::string_view call{};

  [[nodiscard]] auto is_met_by(const served& by) const -> bool;
};

/// Where the aggregates of one type live.
struct type_placement {
  std::vector<std::size_t> members;  ///< Indices into the members that are alive, ascending.
  placement owners;                  ///< Over their names.
};

/// What the digests in the table of members stand for, as far as it is known.
using known_served = std::unordered_map<std::string, served_ptr>;

/// Immutable once it is shared.
struct cluster_view {
  using clock = std::chrono::steady_clock;

  /// `read` is what the table says, `own` the node's run, `serves` what that serves, whatever the table says, and
  /// `began` when the read began. A member with a digest that `known` does not hold is taken to serve nothing.
  cluster_view(member_list read, const incarnation_id& own, const known_served& known, const served_ptr& serves,
               clock::time_point began);

  /// Where the aggregates of `type` live: on the members that serve it and are not dominated by another that does.
  /// Null: on all that are alive, which all serve the same of it, or nothing.
  [[nodiscard]] auto placement_of(std::string_view type) const -> const type_placement*;

  /// The members that are alive, meet `need`, and are let pass by `admits` (null: all): those on which the type's
  /// aggregates live, or where none of these does, the undominated ones among all others. Indices into `alive`,
  /// ascending.
  [[nodiscard]] auto able(const service_need& need, const std::function<bool(std::size_t)>& admits = {}) const
      -> std::vector<std::size_t>;

  /// Whether aggregates are placed otherwise than by `other`.
  [[nodiscard]] auto places_as(const cluster_view& other) const -> bool;

  member_list list;                   ///< All that the table says.
  std::vector<served_ptr> served_by;  ///< What each of these serves; never null.
  incarnation_id self;                ///< The node's own.
  clock::time_point read_at;
  std::vector<member> alive;  ///< By name; without those that have neither a session nor a heartbeat that moves.
  std::vector<served_ptr> alive_serve;  ///< What each of these serves; never null.
  placement owners;                     ///< Over `alive`.
  /// Of the types of which not all of `alive` serve the same.
  std::map<std::string, type_placement, std::less<>> placements;
};

using cluster_view_ptr = std::shared_ptr<const cluster_view>;

}  // namespace maestro

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(maestro::cluster_view_ptr)
