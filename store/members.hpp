// Who takes part in a cluster: the contract of the table in the shared store that says so. Nodes join it, count up a heartbeat in
// it, read the others there, and declare those dead that have stopped (runtime/membership.hpp says when).
#pragma once

#include <maestro/store/error.hpp>
#include <maestro/store/id.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace maestro {

enum class member_status : std::uint8_t {
  alive,  ///< Takes part. The only status that ever changes.
  left,   ///< Has left by itself.
  dead,   ///< Was declared dead by another member, or superseded by a later run of the same name.
};

[[nodiscard]] auto to_string(member_status status) noexcept -> std::string_view;

inline constexpr std::size_t max_served_text = 1024 * 1024;

/// One run of a node.
struct member {
  std::string name;                    ///< Stays the same from one run to the next; 1 to 256 bytes.
  maestro::incarnation_id incarnation;  ///< This run's own.
  std::string address;                 ///< Where the others and clients reach it: HOST:PORT, at most 256 bytes.
  member_status status = member_status::alive;
  std::int64_t heartbeat = 0;          ///< Counted up by the member itself for as long as it lives.
  /// False when no session of this run is connected to the store, as `join` and `list` find it: the run was killed, or
  /// its row came along with a copy of the database. A heartbeat that moves tells otherwise.
  bool is_connected = true;
  /// Names what its program serves: 16 hexadecimal digits, or empty where it has not said so. Members with the same
  /// serve the same.
  std::string serves{};
  /// The text that `serves` names (runtime/served.hpp), at most `max_served_text` bytes. For `join` alone: lists leave
  /// it empty, and `served_text` reads it.
  std::string served{};

  friend auto operator==(const member&, const member&) -> bool = default;
};

/// What the table says at one moment.
struct member_list {
  std::int64_t version = 0;     ///< Goes up with every change but heartbeats.
  std::string store;            ///< Tells this store from every other one and from its copies; only from `join`. Empty: not known.
  std::uint64_t milliseconds = 0;  ///< The store's clock, since the Unix epoch; 0: it has none of its own.
  std::vector<member> members;  ///< By name, then by incarnation. Those that are not alive any more stay for about a day.
};

/// One connection to the table. Used by one thread at a time; connects when first needed, and again after a loss. No member throws. Any
/// call can fail with `store_unavailable` or `internal_error`: then it may have been carried out, or not, and can be repeated.
class member_table {
 public:
  virtual ~member_table() = default;

  /// Enters `self` as alive, and declares earlier incarnations of its name dead. Does nothing for one that is there.
  /// Errors: `invalid_argument` (a name or an address that is empty or too long, or a text of what it serves that is
  /// too long).
  [[nodiscard]] virtual auto join(const member& self) -> result<member_list> = 0;

  /// Counts up the heartbeat of `self` if it is alive, and reads the table.
  [[nodiscard]] virtual auto beat(const incarnation_id& self) -> result<member_list> = 0;

  /// Reads the table.
  [[nodiscard]] virtual auto list() -> result<member_list> = 0;

  /// The text that `serves`, of a member in the table, names. Empty where no row has one, or it is longer than a text
  /// may be. What stands there may be anything.
  [[nodiscard]] virtual auto served_text(const std::string& serves) -> result<std::string> = 0;

  /// Ends the membership of `self`, if it is alive.
  [[nodiscard]] virtual auto leave(const incarnation_id& self) -> result<void> = 0;

  /// Declares `suspect` dead: only if the table's version is still `version` and the member's heartbeat still the one in `suspect`.
  /// True when that was so. False: it is alive after all, or somebody else has changed the table; read it again.
  [[nodiscard]] virtual auto declare_dead(const member& suspect, std::int64_t version) -> result<bool> = 0;
};

/// Whether `self` can be entered in a table. Errors: `invalid_argument`.
[[nodiscard]] auto check_member(const member& self) -> result<void>;

/// The table of a store that has a single owner: it holds this process alone, in memory. `store` is what `member_list` says of it.
[[nodiscard]] auto make_lone_member_table(std::string store) -> std::unique_ptr<member_table>;

}  // namespace maestro
