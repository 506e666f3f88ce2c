// A node: one process that runs aggregates, from the store's connections up to the published gateway. `run_node` is a whole
// program; `node::start` is for programs that embed one, and for tests.
#pragma once

#include <maestro/aggregates/bind.hpp>
#include <maestro/runtime/client.hpp>
#include <maestro/runtime/node_control.hpp>
#include <maestro/runtime/settings.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace maestro {

/// Called at most once, on a thread of the runtime, when a node cannot serve any more, with the reason for people: somebody connected
/// has ended its gateway (CAF's protocol lets everybody do so, which is why a node listens on loopback), or the other members of
/// the cluster have declared it dead. What is left is to stop it.
using failure_handler = std::function<void(const std::string& reason)>;

/// Any thread may call any member but `stop` and the destructor, which are for the owner, when nobody else uses the node.
class node {
 public:
  /// Opens the store, migrates it unless switched off, and serves `types` on the settings' host and port. Returns when clients
  /// can connect, and it has joined the cluster of those that share the store. A program has one log for all its nodes:
  /// `log_level` and `log_file` set it up for the whole of it (`set_up_logging`), unless both are as by default, which leaves it as
  /// it is. Errors: as `check_settings`, `set_up_logging`, `open_database`, `database::check` and `member_table::join`, and
  /// `address_in_use`; `name_in_use` where a node of that name is a member and lives; `invalid_setting` or `internal_error` where it cannot listen for another reason;
  /// `shutting_down` when `control`, which may be null, cancels it.
  [[nodiscard]] static auto start(const node_settings& settings, std::vector<definition_ptr> types,
                                  failure_handler on_failure = {}, std::shared_ptr<node_control> control = {})
      -> result<std::unique_ptr<node>>;

  /// Stops, if `stop` was not called.
  ~node();
  node(const node&) = delete;
  auto operator=(const node&) -> node& = delete;

  /// Leaves the cluster, takes no new requests, answers those in flight, lets go of what accompanies the node, has the aggregates store
  /// the snapshots that they store when they leave memory, all within the drain timeout, and ends everything. When that time is over, what
  /// still waits for the store's server is given up. Returns how many requests were still unanswered then: of those that the store may have
  /// taken up the callers are told that they are in doubt, of the others that the node is shutting down. What has no end of its own, such as an `eval` that never returns, is waited for. Later calls do nothing.
  auto stop() -> std::size_t;

  /// Keeps `beside` for as long as the node takes requests: `stop` lets go of it after the last answer. For what lives from the node,
  /// and uses a `local_client`. For the owner.
  void accompany(std::shared_ptr<void> beside);

  /// The address that clients connect to; the port is the real one where 0 was asked for.
  [[nodiscard]] auto address() const -> const node_address&;
  [[nodiscard]] auto store_name() const -> std::string;
  [[nodiscard]] auto name() const -> const std::string&;

  /// A client of this node, in this process, without the network. It must be gone before the node is.
  [[nodiscard]] auto local_client() -> std::unique_ptr<client>;
  /// A new connection to the node's store for reading, for tools in the same process; it writes nothing. One thread at
  /// a time.
  [[nodiscard]] auto open_reader() -> std::unique_ptr<store>;

 private:
  struct parts;
  explicit node(std::unique_ptr<parts> parts);
  std::unique_ptr<parts> parts_;
};

/// What runs beside the aggregates of a node, in its process: called once the node serves. The object that it returns is let go when the
/// node takes no more requests and has answered the last one, before its store is closed. An exception ends the node.
using node_companion = std::function<std::shared_ptr<void>(node&)>;

/// The whole of a node program: reads the arguments and the file they name, serves until SIGTERM or SIGINT, drains, and
/// returns the process's exit status: 0 done, 1 a fault of our own, or output that cannot be written, 2 wrong arguments, file or
/// limit of the system, 4 a store that cannot be reached or a port that is taken. Prints one line `ready ...` on stdout once it
/// serves, errors as one line on stderr. SIGHUP opens the log file anew; SIGUSR1 and SIGUSR2 are ignored. Tells systemd when it
/// serves and when it stops, where NOTIFY_SOCKET says so. Call it from `main`, with nothing before it (`prepare_program`).
/// SIGTERM and SIGINT end it whatever it waits for: 2 s after the signal while it starts, and 2 s after node.drain-timeout once it serves.
/// What has not ended by itself then is ended with the process, and named in the log's last line; the status is 0 for a start, 4 with
/// `--migrate`, and 1 otherwise. After a fault of our own it is 1 whenever that was.
[[nodiscard]] auto run_node(int argc, char** argv, std::vector<definition_ptr> types,
                            const node_companion& companion = {}) -> int;

template <class... Aggregates>
  requires(sizeof...(Aggregates) > 0)
[[nodiscard]] auto run_node(int argc, char** argv, const node_companion& companion = {}) -> int {
  return run_node(argc, argv, {define<Aggregates>()...}, companion);
}

/// The exit status that stands for `failure` on a client's command line: 1 broken, 2 usage, 3 rejected, 4 retryable, 5 in
/// doubt.
[[nodiscard]] auto exit_status(const error& failure) -> int;

/// Creates or upgrades the tables of the store at `uri` and of the projections of `types`. Returns what was applied, a line
/// `{"applied":"COMPONENT NUMBER"}` for each step.
[[nodiscard]] auto migrate_store(const std::string& uri, const std::vector<definition_ptr>& types,
                                 const store_settings& settings = {}) -> result<std::string>;

}  // namespace maestro
