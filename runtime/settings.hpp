// The declared settings of a node. One table (setting_table.cpp) says of each: its key, type, default, bounds and
// meaning; from it come the check of the configuration file, the command line, the help text and config/node.conf.
#pragma once

#include <maestro/aggregates/aggregate_actor.hpp>
#include <maestro/runtime/membership.hpp>
#include <maestro/runtime/tls.hpp>
#include <maestro/runtime/transport.hpp>
#include <maestro/store/error.hpp>
#include <maestro/store/store.hpp>
#include <maestro/store/store_actor.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace caf {
class actor_system_config;
}

namespace maestro {

/// CAF's own settings, as far as a node hands them on; their keys are CAF's, without the prefix `maestro.`.
struct caf_settings {
  std::string scheduler_policy = "handing-on";  ///< store/scheduling.hpp
  std::size_t max_threads = 0;  ///< 0 = as many as the machine has cores.
  std::chrono::milliseconds heartbeat_interval{500};
  std::chrono::milliseconds connection_timeout{2'000};
  std::size_t max_consecutive_reads = 50;
  std::size_t middleman_workers = 1;
  std::string log_verbosity = "quiet";  ///< CAF's own log; Debian's CAF is built without it.
  std::string log_file = "caf_[PID].log";
};

/// Everything that can be set for a node. The comments are in the table, where the configuration file's come from.
struct node_settings {
  std::string host = "127.0.0.1";
  std::uint16_t port = 4242;
  std::string name;
  std::chrono::milliseconds drain_timeout{10'000};
  std::size_t max_commands_in_flight = 100'000;
  std::size_t max_commands_per_client = 20'000;
  std::size_t max_live_aggregates = 1'000'000;
  bool migrate = true;
  bool insecure_listen = false;
  transport_settings transport;

  tls_settings tls;

  std::string advertise;
  membership_settings membership;

  std::chrono::milliseconds idle_timeout{300'000};
  aggregate_settings aggregate;

  std::string store_uri = "sqlite:maestro.db";
  std::size_t store_writers = 1;
  std::size_t store_readers = 2;
  store_settings store;
  store_actor_settings store_actor;

  std::chrono::milliseconds max_clock_drift{300'000};
  std::chrono::milliseconds clock_offset{0};

  std::chrono::milliseconds client_timeout{10'000};

  std::string log_level = "info";  ///< Of the whole program; see `node::start`.
  std::string log_file;            ///< The same.

  caf_settings caf;
};

/// What the command line asked for.
struct parsed_arguments {
  node_settings settings;
  bool migrate = false;  ///< Create or upgrade the store's tables, and end (`--migrate`).
  /// What to print on stdout instead of running (`--help`, `--version`, `--dump-config`); empty when the node is to
  /// run.
  std::string text;
};

/// Reads the command line, and the file that its `--config-file` names. The command line beats the file, the file beats
/// the defaults. `program` names the program in the help text. Errors: `invalid_setting` (an unknown key, a value of
/// the wrong type or out of range, by file, line and key), `invalid_argument` (an unknown option or argument, a file
/// that cannot be read). No message ever holds a store URI's password.
[[nodiscard]] auto load_settings(int argc, const char* const* argv, std::string_view program)
    -> result<parsed_arguments>;

/// Sets `key` (`maestro.` may be left out) to `value` as the command line would. Errors: `invalid_setting`.
[[nodiscard]] auto set_setting(node_settings& settings, std::string_view key, std::string_view value) -> result<void>;

/// Sets everything that the configuration file `path` sets. Errors: as for `load_settings`.
[[nodiscard]] auto load_config_file(node_settings& settings, const std::string& path) -> result<void>;

/// Checks what no single setting can tell: a node listens beyond this machine with TLS only, or else has to say so twice. Errors:
/// `invalid_setting`.
[[nodiscard]] auto check_settings(const node_settings& settings) -> result<void>;

/// All settings with their values as a commented configuration file, which `load_config_file` reads back; the store's
/// URI without its password.
[[nodiscard]] auto render_settings(const node_settings& settings = {}) -> std::string;

/// Every key, in the table's order.
[[nodiscard]] auto setting_keys() -> std::vector<std::string>;

/// Whether `host` is reached from this machine only.
[[nodiscard]] auto is_loopback(std::string_view host) -> bool;

/// Hands CAF's part of the settings on; the names differ between CAF's releases. So many actors that wait for the database need threads
/// besides those that run actors.
void configure_caf(caf::actor_system_config& config, const caf_settings& settings, std::size_t waiting = 0);

/// `text` as a duration in CAF's notation: `500ms`, `2s`, `5min`, `1h`; also `us` and `ns` when they are whole
/// milliseconds. Errors: `invalid_setting`.
[[nodiscard]] auto parse_duration(std::string_view text) -> result<std::chrono::milliseconds>;

/// The shortest exact notation that `parse_duration` reads back, for example `5min`.
[[nodiscard]] auto render_duration(std::chrono::milliseconds duration) -> std::string;

}  // namespace maestro
