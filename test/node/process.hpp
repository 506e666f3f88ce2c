// Real programs for tests that need them: one child process, what it printed, and how it ended. A child never outlives its
// test, whatever becomes of the test.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace maestro::test {

/// How long a test waits for another process before it fails.
inline constexpr std::chrono::seconds patience{30};

/// How long a node may take to end after node.drain-timeout, or after the signal while it starts: two seconds are promised, and a busy
/// machine adds some.
#ifdef __SANITIZE_THREAD__
inline constexpr std::chrono::seconds longest_end{2 + 10};
#else
inline constexpr std::chrono::seconds longest_end{2 + 2};
#endif

/// A program that runs. Throws `std::runtime_error` where the test's own machinery fails. Use it from one thread; the child is
/// bound to the life of the thread that made it.
class process {
 public:
  /// Starts the program `command.front()` with the arguments that follow.
  explicit process(const std::vector<std::string>& command);
  /// Kills it, if it still runs.
  ~process();
  process(const process&) = delete;
  auto operator=(const process&) -> process& = delete;

  /// The first line on stdout that starts with `start`; nothing if it did not come in time or the program ended before.
  [[nodiscard]] auto wait_for_line(std::string_view start, std::chrono::milliseconds timeout = patience)
      -> std::optional<std::string>;
  void send_signal(int signal) const;
  [[nodiscard]] auto pid() const -> pid_t { return pid_; }
  /// How it ended: its exit status, or 128 and the signal's number as a shell has it; nothing if it still runs then.
  [[nodiscard]] auto wait(std::chrono::milliseconds timeout = patience) -> std::optional<int>;

  /// What it has printed so far.
  [[nodiscard]] auto out() const -> const std::string& { return out_; }
  [[nodiscard]] auto errors() const -> std::string;

 private:
  auto read_more(std::chrono::steady_clock::time_point deadline) -> bool;
  void finish();

  pid_t pid_ = -1;
  int out_pipe_ = -1;
  int error_file_ = -1;
  bool out_ended_ = false;
  std::string out_;
  std::optional<int> status_;
};

/// A program that has ended.
struct finished_process {
  int status = 0;
  std::string out;
  std::string errors;
};

/// Runs a program to its end.
[[nodiscard]] auto run(const std::vector<std::string>& command, std::chrono::milliseconds timeout = patience)
    -> finished_process;

}  // namespace maestro::test
