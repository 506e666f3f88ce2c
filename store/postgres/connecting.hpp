// Connects to a server in steps. libpq's own way in one call waits for each host where nothing can end it.
#pragma once

#include <maestro/store/postgres/line_cutter.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

// libpq's own types.
typedef struct pg_conn PGconn;
extern "C" void PQfinish(PGconn* connection);

namespace maestro::postgres {

struct finish_connection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using connection_ptr = std::unique_ptr<PGconn, finish_connection>;

/// One of the hosts that an address names.
struct host_choice {
  std::string host;     ///< A name, an address or a socket's folder; empty: `address` alone counts.
  std::string address;  ///< In digits; empty: the name's.
  std::string port;
};

/// Begins a connection (PQconnectStartParams) to `hosts`, or, where there are none, to those of the parameters.
using begin_connection = std::function<PGconn*(const std::vector<host_choice>& hosts)>;

enum class wait_end {
  ready,
  late,  ///< The deadline has passed.
  cut,   ///< The lines are cut.
};

/// Waits until the socket of `connection` is ready for `events` (POLLIN, POLLOUT). Asks `lines` some 20 times a second.
[[nodiscard]] auto wait_for(PGconn* connection, short events, std::chrono::steady_clock::time_point deadline,
                            const line_cutter& lines) -> wait_end;

/// Completes what PQconnectStart has begun; no address of its hosts gets more than `each_address` (nothing: no bound), all of them
/// together no more than until `deadline`. `ready`: it is connected, or refused, as PQstatus tells.
[[nodiscard]] auto complete(PGconn* connection, std::optional<std::chrono::milliseconds> each_address,
                            std::chrono::steady_clock::time_point deadline, const line_cutter& lines) -> wait_end;

/// What `connect` came to.
struct attempt {
  connection_ptr connection;  ///< Connected, or the last one that was tried, or null.
  std::string late;           ///< What did not answer in time, in libpq's words, one line.
  bool is_cut = false;        ///< It was given up since the lines are cut.
};

/// Connects as PQconnectdb does: the hosts one after the other, `connect_timeout` seconds (of the address, the environment or a
/// service file; 0: no bound) for each of their addresses. Ends at once when `lines` are cut, but for a look-up of a name. Throws
/// `failure` for a connect_timeout that is none.
[[nodiscard]] auto connect(const begin_connection& begin, const line_cutter& lines) -> attempt;

}  // namespace maestro::postgres
