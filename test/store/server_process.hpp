// Servers that a test starts: as root they run as the user postgres, and they end with the test program, however that ends.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

namespace maestro::test {

/// Ends the program; ctest counts it as skipped, with `reason`.
[[noreturn]] void skip_program(const std::string& reason);

/// A fresh folder that the servers' user can reach.
[[nodiscard]] auto make_server_folder() -> std::filesystem::path;
/// Makes `file` the servers' user's.
void give_to_server(const std::string& file);

/// Runs `arguments` as the servers' user, in `folder`, with what it says appended to `log`. It ends when this program does.
auto spawn_server(const std::vector<std::string>& arguments, const std::filesystem::path& folder, const std::string& log) -> pid_t;

}  // namespace maestro::test
