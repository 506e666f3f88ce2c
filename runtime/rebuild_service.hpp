// The rebuilds of projections that a node runs, one at a time, on a thread and connections of their own.
#pragma once

#include <maestro/aggregates/definition.hpp>
#include <maestro/store/store.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace maestro {

/// What `database::rebuild` needs to know of `projection`, from those of `types` that feed it. Errors: `invalid_argument`, for a
/// name that nobody has.
[[nodiscard]] auto plan_rebuild(const std::vector<definition_ptr>& types, std::string_view projection)
    -> result<rebuild_plan>;

/// How a rebuild stands.
struct rebuild_report {
  std::string projection;
  rebuild_progress progress;
  std::chrono::duration<double> elapsed{0};  ///< In this attempt.
  bool running = false;
  error failure;  ///< Why it ended, unless it ended well.

  /// One JSON object: `projection`, `events`, `total`, `resumed`, `rate` (events per second in this attempt), `seconds_left` (null while
  /// nobody can tell), `paused` (commands wait), `running`.
  [[nodiscard]] auto text() const -> std::string;
};

/// Any thread may call any member.
class rebuild_service {
 public:
  rebuild_service(database& with, std::vector<definition_ptr> types) : database_(with), types_(std::move(types)) {}
  rebuild_service(const rebuild_service&) = delete;
  auto operator=(const rebuild_service&) -> rebuild_service& = delete;
  ~rebuild_service() { stop(); }

  /// Begins to rebuild `projection`; `mode` says what becomes of an earlier attempt. Does nothing when it runs already. Errors: `invalid_argument` (no such projection), `overloaded` (another one is being rebuilt, or there is no thread for it), `shutting_down`.
  [[nodiscard]] auto start(const std::string& projection, rebuild_mode mode) -> result<void>;
  /// The newest rebuild of `projection` in this process. Errors: `invalid_argument` when there was none.
  [[nodiscard]] auto report(const std::string& projection) const -> result<rebuild_report>;
  /// Takes nothing more, and what runs ends after its transaction, or when the store is cut off. Waits for nothing.
  void refuse_more() noexcept { stopping_ = true; }
  /// The same, and waits until it has ended.
  void stop();

 private:
  void run(const rebuild_plan& plan);

  database& database_;
  const std::vector<definition_ptr> types_;
  mutable std::mutex mutex_;
  std::optional<rebuild_report> newest_;
  std::chrono::steady_clock::time_point began_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
};

}  // namespace maestro
