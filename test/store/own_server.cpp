#include "own_server.hpp"

#include "free_port.hpp"
#include "server_process.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include <sys/wait.h>
#include <unistd.h>

namespace maestro::test {

namespace {

// Small, so that connections can run out; the log says which SQLSTATE each message has.
constexpr const char* settings = R"(
unix_socket_directories = ''
max_connections = 20
shared_buffers = 16MB
fsync = on
autovacuum = off
lc_messages = 'C'
log_line_prefix = '%e '
log_min_messages = warning
)";

std::string listens_on = "127.0.0.1";

auto said_by(const char* command) -> std::string {
  std::string said;
  FILE* pipe = ::popen(command, "r");
  if (pipe == nullptr) return said;
  for (int character = std::fgetc(pipe); character != EOF; character = std::fgetc(pipe))
    if (character != '\n') said.push_back(static_cast<char>(character));
  ::pclose(pipe);
  return said;
}

auto has_server(const std::filesystem::path& binaries) -> bool {
  return ::access((binaries / "initdb").c_str(), X_OK) == 0 && ::access((binaries / "postgres").c_str(), X_OK) == 0;
}

// Debian's newest, or the one that pg_config knows.
auto find_binaries() -> std::filesystem::path {
  std::filesystem::path newest = said_by("pg_config --bindir 2>/dev/null");
  if (!has_server(newest)) newest.clear();
  int newest_version = 0;
  std::error_code ignored;
  for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
    const int number = std::atoi(version.path().filename().c_str());
    if (number <= newest_version || !has_server(version.path() / "bin")) continue;
    newest_version = number;
    newest = version.path() / "bin";
  }
  if (newest.empty()) skip_program("no PostgreSQL server is installed: neither pg_config nor /usr/lib/postgresql leads to an initdb");
  return newest;
}

auto text_of(const std::string& file) -> std::string {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

}  // namespace

auto own_server::get() -> own_server& {
  static own_server only;
  return only;
}

void own_server::listen_on(const std::string& address) { listens_on = address; }

own_server::own_server() : binaries_(find_binaries()), folder_(make_server_folder()), port_(free_port()) {
  const pid_t initdb = spawn_server({binaries_ / "initdb", "-D", file("data"), "-U", "postgres", "--auth=trust", "--encoding=UTF8",
                                     "--no-locale", "--no-sync"},
                                    folder_, file("log"));
  int status = 0;
  if (::waitpid(initdb, &status, 0) != initdb || status != 0)
    throw std::runtime_error("initdb failed: " + text_of(file("log")));
  std::ofstream(file("data/postgresql.conf"), std::ios::app)
      << settings << "listen_addresses = '" << listens_on << "'\nport = " << port_ << "\n";
  std::ofstream(file("data/pg_hba.conf"), std::ios::app) << "host all all samenet trust\n";
  start();
}

own_server::~own_server() {
  stop(SIGQUIT);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

auto own_server::uri(const std::string& database, const std::string& parameters, int port) const -> std::string {
  return "postgresql://postgres@" + listens_on + ":" + std::to_string(port == 0 ? port_ : port) + "/" + database +
         "?sslmode=disable&gssencmode=disable" + (parameters.empty() ? "" : "&" + parameters);
}

void own_server::launch(const std::string& setting) {
  process_ = spawn_server({binaries_ / "postgres", "-D", file("data"), "-c", setting}, folder_, file("log"));
}

void own_server::start() {
  if (!has_ended()) return;
  // Processes of a server that was killed may still be about to notice, and a new one does not start beside them.
  await("the server to start", [this] {
    launch("hot_standby=on");
    return await_status("ready");
  });
}

void own_server::start_in_recovery() {
  std::ofstream(file("data/standby.signal")).flush();
  launch("hot_standby=off");
  BOOST_REQUIRE_MESSAGE(await_status("standby"), text_of(file("log")));
}

void own_server::promote() {
  std::ofstream(file("data/promote")).flush();
  BOOST_REQUIRE(!has_ended());
  ::kill(process_, SIGUSR1);
  BOOST_REQUIRE(await_status("ready"));
}

// Whether the server came to `status`, the eighth line of its own file. Otherwise it has ended.
auto own_server::await_status(const std::string& status) -> bool {
  bool reached = false;
  await("a server that is " + status, [&] {
    std::istringstream lines(text_of(file("data/postmaster.pid")));
    std::array<std::string, 8> line;
    for (auto& text : line) std::getline(lines, text);
    reached = line[0] == std::to_string(process_) && line[7].starts_with(status);
    return reached || has_ended();
  });
  return reached;
}

auto own_server::has_ended() -> bool {
  if (process_ > 0 && ::waitpid(process_, nullptr, WNOHANG) == process_) process_ = 0;
  return process_ == 0;
}

void own_server::stop(int signal) {
  if (has_ended()) return;
  ::kill(process_, signal);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!has_ended()) {
    if (std::chrono::steady_clock::now() > deadline) ::kill(process_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// The parent stops before its children, and goes on after them: it would start others.
void own_server::freeze() {
  ::kill(process_, SIGSTOP);
  signal_all(SIGSTOP);
}

void own_server::thaw() {
  signal_all(SIGCONT);
  ::kill(process_, SIGCONT);
}

void own_server::signal_all(int signal) const {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t id = std::atoi(entry.path().filename().c_str());
    if (id <= 0) continue;
    // "ID (NAME) STATE PARENT ...", where the name may hold anything.
    const auto text = text_of((entry.path() / "stat").string());
    const auto after_name = text.rfind(')');
    if (after_name == text.npos) continue;
    std::istringstream fields(text.substr(after_name + 1));
    std::string state;
    pid_t parent = 0;
    if (fields >> state >> parent && parent == process_) ::kill(id, signal);
  }
}

void own_server::stop_fast() { stop(SIGINT); }
void own_server::stop_immediately() { stop(SIGQUIT); }
void own_server::kill() { stop(SIGKILL); }
void own_server::kill_backend(std::int64_t process) { ::kill(static_cast<pid_t>(process), SIGKILL); }

auto own_server::run(const std::string& sql, const std::string& database) -> std::vector<sql_row> {
  const auto connection = value_of(open_database(uri(database, "target_session_attrs=any")))->open_writer();
  await("a connection", [&] { return connection->query("SELECT 1", {}).has_value(); });
  auto answer = connection->query(sql, {});
  // One whose backend was killed ends all sessions and begins anew a moment later.
  if (sql.starts_with("SELECT"))
    await("an answer", [&] {
      if (!answer && answer.failure().code == errc::store_unavailable) answer = connection->query(sql, {});
      return answer || answer.failure().code != errc::store_unavailable;
    });
  return value_of(std::move(answer));
}

auto own_server::backends(const std::string& database) -> std::vector<std::int64_t> {
  std::vector<std::int64_t> processes;
  for (const auto& row : run("SELECT pid FROM pg_stat_activity WHERE datname = '" + database + "'"))
    processes.push_back(row.at(0).as<std::int64_t>());
  return processes;
}

auto own_server::reported(const std::string& sqlstate) const -> std::size_t {
  std::istringstream lines(text_of(file("log")));
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);)
    count += line.starts_with(sqlstate + " ERROR") || line.starts_with(sqlstate + " FATAL") ? 1U : 0U;
  return count;
}

own_place::own_place() {
  static int count = 0;
  name_ = "test_" + std::to_string(++count);
  auto& server = own_server::get();
  server.start();
  server.run("CREATE DATABASE " + name_);
}

own_place::~own_place() {
  auto& server = own_server::get();
  try {
    server.start();
    server.run("ALTER SYSTEM RESET ALL");
    server.run("SELECT pg_reload_conf()");
    server.run("DROP DATABASE " + name_ + " WITH (FORCE)");
  } catch (...) {
    BOOST_WARN_MESSAGE(false, name_ << " stays behind");
  }
}

auto own_place::open(const store_settings& settings) -> std::shared_ptr<database> {
  return value_of(open_database(uri(), settings));
}

}  // namespace maestro::test
