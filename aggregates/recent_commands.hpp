// Which commands an aggregate's log has lately taken in, as far as its owner read them there. It lets the owner skip the search of
// the log for a command that comes for the first time, and still notice one that another node has carried out meanwhile: its
// client gave the first attempt up and sent another one there.
#pragma once

#include <maestro/store/event.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <unordered_set>

namespace maestro {

/// Times are milliseconds since the Unix epoch; `drift` is how far clocks may be apart.
class recent_commands {
 public:
  /// An id that was made longer ago than this is searched for in any case, so that older rows need not be remembered.
  static constexpr std::uint64_t fresh_milliseconds = 10'000;
  static constexpr std::size_t max_ids = 65'536;

  /// Whether a row of this time still matters to a command that comes `now`.
  [[nodiscard]] static auto matters(std::uint64_t row, std::uint64_t now, std::uint64_t drift) -> bool {
    return row + drift + fresh_milliseconds >= now;
  }

  /// The log holds `command` since about `time`.
  void note(const command_id& command, std::uint64_t time) {
    newest_ = std::max(newest_, time);
    if (ids_.size() >= max_ids) note_unread(newest_);
    ids_.insert(command);
  }
  /// It turned out not to hold it.
  void forget(const command_id& command) { ids_.erase(command); }
  [[nodiscard]] auto holds(const command_id& command) const -> bool { return ids_.contains(command); }
  /// Rows up to `time` are not known by their commands: a snapshot stood for them.
  void note_unread(std::uint64_t time) {
    newest_ = std::max(newest_, time);
    unread_until_ = newest_;
    ids_.clear();
    epoch_ = ++last_epoch;
  }

  /// What a search of the log that begins now will know: hand it to `may_hold` after one that found nothing.
  [[nodiscard]] auto epoch() const noexcept -> std::uint64_t { return epoch_; }
  /// Whether the log may hold `command`, as far as is known here. `searched`: the epoch of the search that found nothing; 0: none.
  [[nodiscard]] auto may_hold(const command_id& command, std::uint64_t searched, std::uint64_t drift) const -> bool {
    if (holds(command)) return true;
    return searched != epoch_ && unread_until_ != 0 && command.milliseconds() <= unread_until_ + drift;
  }
  /// Whether nothing of this matters to a command that comes `now`.
  [[nodiscard]] auto is_past(std::uint64_t now, std::uint64_t drift) const -> bool { return !matters(newest_, now, drift); }

 private:
  std::unordered_set<command_id> ids_;
  std::uint64_t newest_ = 0;
  std::uint64_t unread_until_ = 0;
  std::uint64_t epoch_ = 0;  // Of the process, so that a search is not taken for one of another life of the aggregate.
  static inline std::atomic<std::uint64_t> last_epoch{0};
};

}  // namespace maestro
