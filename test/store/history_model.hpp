// What a store must be like after a history of calls: plain containers, one request after the other, and no notion of
// transactions, batches or connections. The history check (history.hpp) holds a store against it.
#pragma once

#include <maestro/store/store.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace maestro::test {

/// A request, and what its maker knows about it.
struct planned_request {
  commit_request request;
  std::size_t sound =
      SIZE_MAX;  ///< The unit of this index is the first that no store may take, whatever the log holds.
};

/// A unit with this expiry expired long ago.
inline constexpr std::uint64_t long_expired = 1;

/// What must become of a request.
struct verdict {
  std::size_t committed = 0;
  errc failure = errc::none;
  friend auto operator==(const verdict&, const verdict&) -> bool = default;
};

/// The tables of the projection that histories use.
[[nodiscard]] auto history_tables() -> std::vector<migration>;
/// It counts each aggregate's events. What else it does, an event's type says.
[[nodiscard]] auto history_projector() -> std::shared_ptr<const projector>;

/// The types of events, by what their projection does.
namespace event_types {
inline constexpr std::string_view counted = "counted";    ///< Nothing else.
inline constexpr std::string_view asked = "asked";        ///< Queries the count, and keeps the answer.
inline constexpr std::string_view claimed = "claimed ";   ///< Followed by a name, which only one event may claim.
inline constexpr std::string_view thrown = "thrown";      ///< Throws.
inline constexpr std::string_view nulled = "nulled";      ///< Violates a constraint.
inline constexpr std::string_view orphaned = "orphaned";  ///< Violates a constraint that is checked at COMMIT.
}  // namespace event_types

class history_model {
 public:
  /// A row of the projection.
  struct count {
    std::int64_t events = 0;
    std::int64_t newest = 0;  ///< Sequence of the newest event.
    std::int64_t answer = 0;  ///< Of the newest query.
  };

  [[nodiscard]] auto commit(const planned_request& planned) -> verdict;
  void commit_snapshot(const snapshot& snapshot);

  [[nodiscard]] auto get_events(const aggregate_id& id, const event_range& range) const -> std::vector<event>;
  [[nodiscard]] auto get_snapshot(const aggregate_id& id, sequence_number after, sequence_number up_to) const
      -> std::optional<snapshot>;
  [[nodiscard]] auto get_head(const aggregate_id& id) const -> std::optional<aggregate_head>;
  [[nodiscard]] auto list_aggregates(std::string_view type, const aggregate_id& after, std::size_t limit) const
      -> std::vector<aggregate_head>;
  [[nodiscard]] auto find_command(const aggregate_id& id, const command_id& command, const timestamp& not_before) const
      -> std::vector<event>;
  [[nodiscard]] auto newest_timestamp() const -> timestamp;

  /// All events of `id`, in sequence order.
  [[nodiscard]] auto events_of(const aggregate_id& id) const -> const std::vector<event>&;
  [[nodiscard]] auto size() const -> std::size_t { return timestamps_.size(); }
  [[nodiscard]] auto counts() const -> const std::map<aggregate_id, count>& { return counts_; }
  [[nodiscard]] auto claims() const -> const std::map<std::string, aggregate_id>& { return claims_; }

 private:
  [[nodiscard]] auto judge(const planned_request& planned, std::size_t index, bool in_doubt) const -> errc;
  [[nodiscard]] auto is_stored(const commit_unit& unit) const -> bool;
  [[nodiscard]] auto fits(const commit_request& request, std::size_t index) const -> bool;
  [[nodiscard]] auto judge_projection(const commit_unit& unit) const -> errc;
  void append(const commit_unit& unit);

  std::map<aggregate_id, std::vector<event>> log_;
  std::set<timestamp> timestamps_;
  std::map<aggregate_id, snapshot> snapshots_;
  std::map<aggregate_id, count> counts_;
  std::map<std::string, aggregate_id> claims_;
};

}  // namespace maestro::test
