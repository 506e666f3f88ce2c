// Transactions that tell why they were lost.
#pragma once

#include <maestro/store/postgres/connection.hpp>
#include <maestro/store/postgres/failure.hpp>

namespace maestro::postgres {

/// Calls `body` with a transaction of `with`, and returns what `body` returns. `body` commits it (`connection::commit`);
/// otherwise it is rolled back. Throws `failure` for whatever `body` throws. It is made before the transaction ends: over a
/// connection that was lost, libpqxx's ROLLBACK has libpq forget the server's last words.
template <class Body>
auto in_transaction(connection& with, Body body) {
  pqxx::work transaction(with.pqxx());
  try {
    return body(transaction);
  } catch (...) {
    throw failure_in_flight(with.raw());
  }
}

}  // namespace maestro::postgres
