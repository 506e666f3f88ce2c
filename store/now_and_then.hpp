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
  static constexpr std::chrono::seconds pause{10};
  static constexpr std::size_t max_subjects = 64;

  /// Whether `subject` was not said within the last `pause`; then it is now. Of more than `max_subjects` some are not said at all.
  [[nodiscard]] auto may_say(const std::string& subject, clock::time_point now = clock::now()) -> bool {
    if (said_.size() >= max_subjects) std::erase_if(said_, [now](const auto& each) { return now - each.second >= pause; });
    const auto found = said_.find(subject);
    if (found != said_.end() ? now - found->second < pause : said_.size() >= max_subjects) return false;
    said_[subject] = now;
    return true;
  }

 private:
  std::unordered_map<std::string, clock::time_point> said_;
};

}  // namespace maestro
