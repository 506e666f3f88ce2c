// For what would be said with each command: it is said now and then.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <unordered_map>

namespace maestro {

/// For one thread at a time.
class now_and_then {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t max_subjects = 64;

  explicit now_and_then(std::chrono::seconds pause = std::chrono::seconds{10}) : pause_(pause) {}

  /// Whether `subject` was not said within the last pause; then it is now. Of more than `max_subjects` some are not said at all.
  [[nodiscard]] auto may_say(const std::string& subject, clock::time_point now = clock::now()) -> bool {
    if (said_.size() >= max_subjects) std::erase_if(said_, [this, now](const auto& each) { return now - each.second >= pause_; });
    const auto found = said_.find(subject);
    if (found != said_.end() ? now - found->second < pause_ : said_.size() >= max_subjects) return false;
    said_[subject] = now;
    return true;
  }

 private:
  std::chrono::seconds pause_;
  std::unordered_map<std::string, clock::time_point> said_;
};

}  // namespace maestro
