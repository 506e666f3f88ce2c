// What every program of ours does first and last, whatever it is for: the descriptors, signals and limits that it
// finds, and output that could not be written.
#pragma once

#include <maestro/store/error.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace maestro {

/// Called first thing in `main`, before any thread starts and any file is opened; `run_node` does it by itself. Returns
/// the program's name, the last part of `argv[0]`, which lives as long as `argv`.
///
/// - Descriptors 0, 1 and 2 that are closed are opened on /dev/null, so that no file or connection gets their number
/// and with it
///   what is meant for the log. Reading or writing them goes on to fail.
/// - A file that must not grow any more (`ulimit -f`) refuses, as a full disk does: SIGXFSZ is ignored.
/// - Where no memory or thread is to be had, and with any other exception that is not caught, the program ends with one
/// line on
///   stderr and status 1.
auto prepare_program(int argc, const char* const* argv) -> std::string_view;

/// `message` with the passwords that this program's arguments hold hidden wherever it repeats one of them, or the value of an option: for
/// messages of others, which repeat what they were given. Any thread, after `prepare_program`.
[[nodiscard]] auto without_passwords(std::string message) -> std::string;

/// Flushes stdout. Errors: `internal_error`, with the system's reason, where something that was printed so far could
/// not be written, then and later.
[[nodiscard]] auto flush_output() -> result<void>;

/// Lets the process have as many open files as the system allows without being asked. Errors: `invalid_setting` where
/// these are fewer than `needed`.
[[nodiscard]] auto use_all_descriptors(std::size_t needed) -> result<void>;

}  // namespace maestro
