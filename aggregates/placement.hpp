// Which of a cluster's members an aggregate lives on: rendezvous hashing of its type and id over the members' names. Every node
// and every client comes to the same answer, and when a member comes or goes only what was or will be on that one moves.
#pragma once

#include <maestro/store/id.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace maestro {

/// What an aggregate is placed by. The same on every machine and in every release.
[[nodiscard]] auto placement_key(std::string_view aggregate_type, const aggregate_id& id) -> std::uint64_t;
/// For a placement of an author's own: whatever has the same text is placed together.
[[nodiscard]] auto placement_key(std::string_view text) -> std::uint64_t;

/// Members, and who of them owns what. Immutable; any thread may call any member.
class placement {
 public:
  /// Nobody.
  placement() = default;
  /// `names` in any order, each once.
  explicit placement(std::vector<std::string> names);

  [[nodiscard]] auto names() const noexcept -> const std::vector<std::string>& { return names_; }
  [[nodiscard]] auto empty() const noexcept -> bool { return names_.empty(); }
  /// Whose turn it is for what has this key: an index into `names`, which must not be empty.
  [[nodiscard]] auto owner(std::uint64_t key) const noexcept -> std::size_t;

 private:
  std::vector<std::string> names_;
  std::vector<std::uint64_t> hashes_;
};

/// The owner, an index into `members`, of what has this key; for a placement of an author's own. `members` must not be empty.
[[nodiscard]] auto rendezvous(std::uint64_t key, std::span<const std::string> members) noexcept -> std::size_t;

}  // namespace maestro
