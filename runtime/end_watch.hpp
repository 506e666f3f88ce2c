// The end of a node's process: takes the signals that ask for it, and sees to it that it comes, whatever waits for what.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace maestro {

/// Takes SIGTERM, SIGINT and SIGHUP for the whole process, on a thread of its own: make it before any other thread, on the program's first one,
/// and let it go when there is nothing left that could wait. Any thread may call any member.
class end_watch {
 public:
  /// What happens when a signal comes. The functions run on the watch's thread and must not wait.
  struct plan {
    std::function<void()> at_once = {};
    std::chrono::milliseconds soon{0};      ///< From the signal on: when `if_not_soon` is called, unless the process has ended.
    std::function<void()> if_not_soon = {};
    std::chrono::milliseconds at_last{0};   ///< From the signal on: when the watch ends the process itself.
    std::function<int()> status = {};       ///< The exit status then, 1 where it is not said,
    std::function<std::string()> left = {};  ///< and what was left undone, for the log's last line.
  };

  /// `hung_up` is called after a SIGHUP before the end, on a thread of its own: it may wait, as for a file, and signals are taken all
  /// the while. Several that come meanwhile are one. It does not throw.
  end_watch(plan first, std::function<void()> hung_up);
  /// Waits for a `hung_up` that is on, while the plan still holds.
  ~end_watch();
  end_watch(const end_watch&) = delete;
  auto operator=(const end_watch&) -> end_watch& = delete;

  /// From now on `next` holds. Once a signal has come, the plan of that moment stays.
  void change(plan next);
  /// The signal that has come; 0: none so far.
  [[nodiscard]] auto signal() const -> int;
  /// Waits for a signal, and says which.
  auto wait() -> int;

 private:
  void run();
  void serve_hang_ups();
  [[noreturn]] static void end_process(const plan& by, int signal);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  plan plan_;
  const std::function<void()> hung_up_;
  bool has_hung_up_ = false;
  bool hears_no_more_ = false;
  int signal_ = 0;
  bool over_ = false;
  std::thread thread_;
  std::thread hang_ups_;
};

}  // namespace maestro
