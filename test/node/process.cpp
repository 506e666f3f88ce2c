#include "process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace maestro::test {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

// A file without a name: a child that logs a lot never waits for a reader.
auto unnamed_file() -> int {
  char path[] = "/tmp/maestro_test_XXXXXX";
  const int file = ::mkostemp(path, O_CLOEXEC);
  if (file < 0) fail("no temporary file");
  ::unlink(path);
  return file;
}

}  // namespace

process::process(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const auto& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("no pipe");
  out_pipe_ = ends[0];
  error_file_ = unnamed_file();

  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    // Only what is safe between fork and exec in a program with threads.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(error_file_, STDERR_FILENO);
    ::execv(arguments.front(), arguments.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  if (pid_ < 0) fail("no process");
}

process::~process() {
  if (pid_ > 0 && !status_) {
    ::kill(pid_, SIGKILL);
    finish();
  }
  ::close(out_pipe_);
  ::close(error_file_);
}

auto process::wait_for_line(std::string_view start, std::chrono::milliseconds timeout) -> std::optional<std::string> {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::size_t at = 0;
  while (true) {
    for (auto end = out_.find('\n', at); end != std::string::npos; at = end + 1, end = out_.find('\n', at)) {
      auto line = out_.substr(at, end - at);
      if (line.starts_with(start)) return line;
    }
    if (!read_more(deadline)) return std::nullopt;
  }
}

void process::send_signal(int signal) const {
  if (!status_) ::kill(pid_, signal);
}

auto process::wait(std::chrono::milliseconds timeout) -> std::optional<int> {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (read_more(deadline)) {
  }
  if (out_ended_ && !status_) finish();
  return status_;
}

auto process::errors() const -> std::string {
  std::string text(static_cast<std::size_t>(::lseek(error_file_, 0, SEEK_END)), '\0');
  const auto got = ::pread(error_file_, text.data(), text.size(), 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

// Waits for more output: false at the deadline, and when the program has closed its end, which it does when it ends.
auto process::read_more(std::chrono::steady_clock::time_point deadline) -> bool {
  if (out_ended_) return false;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd waiting{out_pipe_, POLLIN, 0};
  const int found = ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
  if (found < 0 && errno == EINTR) return true;
  if (found <= 0) return false;
  char buffer[4096];
  const auto got = ::read(out_pipe_, buffer, sizeof buffer);
  if (got > 0) out_.append(buffer, static_cast<std::size_t>(got));
  else out_ended_ = true;
  return got > 0;
}

void process::finish() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

auto run(const std::vector<std::string>& command, std::chrono::milliseconds timeout) -> finished_process {
  process child(command);
  const auto status = child.wait(timeout);
  if (!status) throw std::runtime_error(command.front() + " did not end in time");
  return {*status, child.out(), child.errors()};
}

}  // namespace maestro::test
