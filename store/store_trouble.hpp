// Whether commits succeed: what a store's writer remembers of its batches, so that an outage is told once, and the commands that it
// costs are told the reason.
#pragma once

#include <maestro/store/error.hpp>
#include <maestro/store/store.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace maestro {

class store_trouble {
 public:
  using clock = std::chrono::steady_clock;
  using warn = std::function<void(const std::string&)>;
  static constexpr std::chrono::seconds pause{10};  ///< Between two lines that say that it begins.

  /// Whether the store can write, if `outcome` tells: something was committed, or refused on its own account. What is damaged tells
  /// nothing: it may be what all need.
  [[nodiscard]] static auto shows_a_working_store(const commit_outcome& outcome) noexcept -> bool {
    if (outcome.committed > 0 || !outcome.failure) return true;
    return !is_of_the_store(outcome.failure.code) && outcome.failure.code != errc::timed_out;
  }

  /// A batch showed it.
  void end(const warn& say, clock::time_point now = clock::now()) {
    if (!reason_) return;
    reason_ = {};
    if (!std::exchange(told_, false) || !say) return;
    say("commits go on, after " + std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(now - since_).count()) + " ms");
  }

  /// A batch showed nothing of the kind; `outcome` is one of it, and learns the reason where it has none.
  void note(commit_outcome& outcome, const warn& say, clock::time_point now = clock::now()) {
    if (!outcome.trouble && is_of_the_store(outcome.failure.code)) outcome.trouble = outcome.failure;
    if (outcome.trouble) return begin(outcome.trouble, say, now);
    if (!reason_ || !outcome.failure) return;
    // It waited behind those that could not be written.
    outcome.trouble = reason_;
    outcome.failure.message += "; nothing could be written: " + reason_.message;
  }

 private:
  [[nodiscard]] static auto is_of_the_store(errc code) noexcept -> bool { return code == errc::store_unavailable || code == errc::in_doubt; }

  void begin(const error& why, const warn& say, clock::time_point now) {
    if (!reason_) since_ = now;
    reason_ = why;
    if (told_ || (told_at_ && now - *told_at_ < pause)) return;
    told_ = true;
    told_at_ = now;
    if (say) say("commits fail: " + why.message);
  }

  error reason_;  // Why nothing can be written; empty while commits succeed.
  clock::time_point since_;
  bool told_ = false;
  std::optional<clock::time_point> told_at_;
};

}  // namespace maestro
