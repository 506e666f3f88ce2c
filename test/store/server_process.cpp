#include "server_process.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace maestro::test {

void skip_program(const std::string& reason) {
  std::printf("skipped: %s\n", reason.c_str());
  std::fflush(stdout);
  std::_Exit(77);
}

namespace {

// Servers refuse to run as root.
auto server_user() -> const passwd* {
  if (::getuid() != 0) return nullptr;
  const passwd* user = ::getpwnam("postgres");
  if (user == nullptr) skip_program("a PostgreSQL server does not run as root, and there is no user postgres");
  return user;
}

}  // namespace

auto make_server_folder() -> std::filesystem::path {
  // The user postgres need not reach root's own temporary folder.
  const std::filesystem::path parent = server_user() != nullptr ? "/tmp" : std::filesystem::temp_directory_path();
  std::string pattern = (parent / "maestro_server_XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp");
  if (const auto* user = server_user(); user != nullptr && ::chown(pattern.c_str(), user->pw_uid, user->pw_gid) != 0)
    throw std::system_error(errno, std::generic_category(), "chown");
  return pattern;
}

void give_to_server(const std::string& file) {
  if (const auto* user = server_user(); user != nullptr && ::chown(file.c_str(), user->pw_uid, user->pw_gid) != 0)
    throw std::system_error(errno, std::generic_category(), "chown");
}

auto spawn_server(const std::vector<std::string>& arguments, const std::filesystem::path& folder, const std::string& log) -> pid_t {
  std::vector<char*> raw;
  for (const auto& argument : arguments) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);
  const auto* user = server_user();
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child > 0) return child;
  if (user != nullptr &&
      (::setgroups(0, nullptr) != 0 || ::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0))
    ::_exit(126);
  const int in = ::open("/dev/null", O_RDONLY);
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(out, 2);
  // SIGQUIT stops a server at once. Asked for last: a change of user would forget it.
  if (::chdir(folder.c_str()) != 0 || ::prctl(PR_SET_PDEATHSIG, SIGQUIT) != 0 || ::getppid() != parent) ::_exit(126);
  ::execv(raw[0], raw.data());
  ::_exit(127);
}

}  // namespace maestro::test
