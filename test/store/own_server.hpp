// A PostgreSQL server that a test may hurt: a cluster of its own in a temporary folder, on a free port of this machine.
#pragma once

#include "conformance.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <sys/types.h>

namespace maestro::test {

/// One per program. It ends with the program, however that ends: the kernel tells it. As root it runs as the user postgres.
/// Start and stop it on the program's first thread.
class own_server {
 public:
  /// The server, made and started when it is first asked for.
  static auto get() -> own_server&;
  /// Said before that: the address of this machine that it listens on, in place of 127.0.0.1. It trusts that address's network.
  static void listen_on(const std::string& address);
  own_server(const own_server&) = delete;
  auto operator=(const own_server&) -> own_server& = delete;
  ~own_server();

  [[nodiscard]] auto port() const noexcept -> int { return port_; }
  [[nodiscard]] auto uri(const std::string& database = "postgres", const std::string& parameters = {}, int port = 0) const
      -> std::string;

  /// Starts it unless it runs. Returns when it takes connections.
  void start();
  /// Starts it to stay in recovery, where it takes no connections until `promote`. Returns when it got there.
  void start_in_recovery();
  void promote();
  /// Rolls back what runs, ends every connection, and waits for the end.
  void stop_fast();
  /// Ends at once, as in a crash, but in an orderly row.
  void stop_immediately();
  /// `kill -9` for the server process that all others are children of.
  void kill();
  /// `kill -9` for the process that serves one connection: the server ends all others, and recovers.
  static void kill_backend(std::int64_t process);

  /// The server and all its processes stand still, connections up, until `thaw`.
  void freeze();
  void thaw();

  /// Runs `sql`, once there is a connection.
  auto run(const std::string& sql, const std::string& database = "postgres") -> std::vector<sql_row>;
  /// The server processes that serve connections to `database`.
  auto backends(const std::string& database) -> std::vector<std::int64_t>;
  /// How often the server has reported `sqlstate` since it was made.
  [[nodiscard]] auto reported(const std::string& sqlstate) const -> std::size_t;

 private:
  own_server();
  void launch(const std::string& setting);
  [[nodiscard]] auto await_status(const std::string& status) -> bool;
  void stop(int signal);
  void signal_all(int signal) const;
  [[nodiscard]] auto has_ended() -> bool;
  [[nodiscard]] auto file(const std::string& name) const -> std::string { return (folder_ / name).string(); }

  std::filesystem::path binaries_;
  std::filesystem::path folder_;
  int port_ = 0;
  pid_t process_ = 0;
};

/// A fresh database on the own server, which runs and has its first settings again. Gone with the object.
class own_place : public place {
 public:
  own_place();
  own_place(const own_place&) = delete;
  auto operator=(const own_place&) -> own_place& = delete;
  ~own_place() override;

  [[nodiscard]] auto open(const store_settings& settings) -> std::shared_ptr<database> override;
  [[nodiscard]] auto is_shared() const -> bool override { return true; }
  [[nodiscard]] auto uri(const std::string& parameters = {}, int port = 0) const -> std::string {
    return own_server::get().uri(name_, parameters, port);
  }
  [[nodiscard]] auto name() const -> const std::string& { return name_; }

 private:
  std::string name_;
};

/// Waits until `condition` holds; the test ends here when it does not within a minute.
template <class Condition>
void await(const std::string& what, Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) BOOST_FAIL("in vain waited for " << what);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace maestro::test
