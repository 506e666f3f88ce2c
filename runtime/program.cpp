#include <maestro/runtime/program.hpp>

#include <maestro/store/redaction.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <iostream>
#include <mutex>
#include <new>
#include <string>
#include <sys/resource.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace maestro {

namespace {

// Of the program that runs, for its last words. Set before there are other threads.
const char* program_name = "maestro";

// Those of the program's arguments, and of their options' values, that hold a password; the longest first, since one may hold another.
auto telling_arguments() -> std::vector<std::string>& {
  static std::vector<std::string> all;
  return all;
}

void learn_arguments(int argc, const char* const* argv) {
  auto& all = telling_arguments();
  const auto learn = [&all](std::string_view text) {
    if (redacted(text) != text) all.emplace_back(text);
  };
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    learn(argument);
    if (const auto equals = argument.find('='); argument.starts_with('-') && equals != argument.npos) learn(argument.substr(equals + 1));
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
}

// Memory may be what there is none of: nothing is allocated.
void write_last_words(const char* what, const char* detail) {
  static char line[512];
  const int size = std::snprintf(line, sizeof line - 1, "%s: %s%s", program_name, what, detail);
  auto length = size < 0 ? 0 : std::min(static_cast<std::size_t>(size), sizeof line - 2);
  for (std::size_t i = 0; i < length; ++i)
    if (line[i] == '\n' || line[i] == '\r') line[i] = ' ';
  line[length++] = '\n';
  (void)!::write(STDERR_FILENO, line, length);
}

// Threads that fail at one time end the program with one line.
[[noreturn]] void end_program() noexcept {
  static std::atomic_flag taken;
  if (taken.test_and_set())
    while (true) ::pause();
  constexpr auto no_memory =
      "internal_error: the system gives this process no more memory (see ulimit -v and the like)";
  constexpr auto no_thread =
      "internal_error: the system gives this process no more threads or memory (see ulimit -u, ulimit -v and the "
      "like): ";
  const auto current = std::current_exception();
  if (!current) {
    // An exception was on its way through what it made fall apart: a thread that could not be made beside others that
    // run.
    write_last_words(std::uncaught_exceptions() > 0 ? no_thread : "internal_error: the program cannot go on",
                     std::uncaught_exceptions() > 0 ? "it cannot start" : "");
    ::_exit(1);
  }
  try {
    std::rethrow_exception(current);
  } catch (const std::bad_alloc&) {
    write_last_words(no_memory, "");
  } catch (const std::system_error& problem) {
    const bool limit =
        problem.code() == std::errc::resource_unavailable_try_again || problem.code() == std::errc::not_enough_memory;
    write_last_words(limit ? no_thread : "internal_error: ", problem.what());
  } catch (const std::exception& problem) {
    write_last_words("internal_error: ", problem.what());
  } catch (...) {
    write_last_words("internal_error: ", "an exception of an unknown type");
  }
  ::_exit(1);
}

// The C library aborts where it has no memory for what belongs to a new thread, and has said so on stderr: that is no crash.
void end_where_memory_is_limited(int) {
  rlimit memory{};
  if (::getrlimit(RLIMIT_AS, &memory) == 0 && memory.rlim_cur != RLIM_INFINITY) ::_exit(1);
}

// /dev/null the wrong way round: a program that reads 0, or writes 1 or 2, is still told that it is not there.
void open_standard_descriptors() {
  for (int descriptor = 0; descriptor <= STDERR_FILENO; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest that is free is this one.
    if (::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY) != descriptor) ::_exit(1);
  }
}

}  // namespace

auto prepare_program(int argc, const char* const* argv) -> std::string_view {
  open_standard_descriptors();
  if (argc > 0) {
    const auto* slash = std::strrchr(argv[0], '/');
    program_name = slash != nullptr ? slash + 1 : argv[0];
  }
  (void)::signal(SIGXFSZ, SIG_IGN);
  (void)::signal(SIGABRT, end_where_memory_is_limited);
  std::set_terminate(end_program);
  learn_arguments(argc, argv);
  return program_name;
}

auto without_passwords(std::string message) -> std::string {
  for (const auto& each : telling_arguments()) message = redacted_in(std::move(message), each);
  return message;
}

auto flush_output() -> result<void> {
  static std::mutex mutex;
  static int reason = 0;  // The first one, which what fails afterwards does not tell any more.
  const std::lock_guard lock(mutex);
  if (std::cout) std::cout.flush();
  if (std::cout && std::fflush(stdout) == 0 && reason == 0) return {};
  if (reason == 0) reason = errno != 0 ? errno : EIO;
  return error{errc::internal_error, "the output could not be written: " + std::system_category().message(reason)};
}

auto use_all_descriptors(std::size_t needed) -> result<void> {
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return {};
  descriptors.rlim_cur = descriptors.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &descriptors);
  if (descriptors.rlim_max >= needed) return {};
  return error{errc::invalid_setting, "the system allows this process " + std::to_string(descriptors.rlim_max) +
                                          " open files, it needs at least " + std::to_string(needed) +
                                          ": raise the limit (ulimit -n, LimitNOFILE)"};
}

}  // namespace maestro
