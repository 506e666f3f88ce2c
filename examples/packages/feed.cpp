#include "feed.hpp"

#include "package.hpp"

#include <condition_variable>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>

namespace packages {

namespace {

constexpr std::size_t max_outstanding = 256;
constexpr int max_attempts = 5;

auto word(action what) -> std::string_view {
  switch (what) {
    case action::install: return "install";
    case action::upgrade: return "upgrade";
    case action::remove: return "remove";
    case action::purge: return "purge";
  }
  return "";
}

class feeder {
 public:
  feeder(maestro::client& client, const std::vector<log_line>& lines, const std::function<void(std::size_t)>& progress)
      : client_(client), lines_(lines), progress_(progress), attempts_(lines.size(), 0) {}

  auto run() -> fed {
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      while (busy_.size() >= max_outstanding || busy_.contains(lines_[i].name)) take_answers();
      busy_.insert(lines_[i].name);
      send(i);
    }
    while (!busy_.empty()) take_answers();
    return std::move(summary_);
  }

 private:
  void send(std::size_t i) {
    const auto& line = lines_[i];
    switch (line.action) {
      case action::install: return send(i, install{line.name, line.version});
      case action::upgrade: return send(i, upgrade{line.name, line.from, line.version});
      case action::remove: return send(i, remove{line.name, line.from});
      case action::purge: return send(i, purge{line.name, line.from});
    }
  }

  template <class Command>
  void send(std::size_t i, const Command& command) {
    ++attempts_[i];
    maestro::send_options options;
    options.command_id = lines_[i].command_id;
    client_.send_async(package::id::named(lines_[i].name), command, std::move(options), [this, i](maestro::receipt got) {
      // Notified under the lock: once the last answer is taken, this object may be gone.
      const std::lock_guard lock(mutex_);
      answers_.emplace_back(i, std::move(got.answer));
      answered_.notify_one();
    });
  }

  // Waits for at least one answer.
  void take_answers() {
    std::vector<std::pair<std::size_t, maestro::command_answer>> taken;
    {
      std::unique_lock lock(mutex_);
      answered_.wait(lock, [this] { return !answers_.empty(); });
      taken.swap(answers_);
    }
    for (auto& [i, answer] : taken) {
      const auto kind = answer.failure.kind();
      const bool again = kind == maestro::error_kind::retryable || kind == maestro::error_kind::in_doubt;
      if (answer.failure && again && attempts_[i] < max_attempts) {
        send(i);
        continue;
      }
      note(lines_[i], answer);
      busy_.erase(lines_[i].name);
      progress_(++done_);
    }
  }

  void note(const log_line& line, const maestro::command_answer& answer) {
    if (answer.failure) {
      summary_.refused.push_back(std::string(word(line.action)) + " " + line.name + ": " + to_string(answer.failure));
      return;
    }
    ++summary_.accepted;
    if (answer.repeated) ++summary_.repeated;
    else if (answer.first > 0) summary_.events += static_cast<std::size_t>(answer.last - answer.first + 1);
  }

  maestro::client& client_;
  const std::vector<log_line>& lines_;
  const std::function<void(std::size_t)>& progress_;
  std::vector<int> attempts_;
  std::set<std::string> busy_;  ///< Packages with a command on its way.
  std::size_t done_ = 0;
  fed summary_;

  std::mutex mutex_;
  std::condition_variable answered_;
  std::vector<std::pair<std::size_t, maestro::command_answer>> answers_;  ///< Guarded by `mutex_`.
};

}  // namespace

auto feed(maestro::client& client, const std::vector<log_line>& lines, const std::function<void(std::size_t)>& progress)
    -> fed {
  return feeder(client, lines, progress).run();
}

}  // namespace packages
