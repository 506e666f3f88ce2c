// What differs between libpqxx 6.4 (Debian 12, Ubuntu 22.04) and 7.x (Debian 13, Ubuntu 24.04), and how both share a connection with libpq.
//
// # Why libpq beside libpqxx?
// libpqxx keeps to itself what a commit needs: which constraint was violated, parameters for statements in a pipeline, and
// binary arrays. The connection is therefore opened by libpq and handed to libpqxx, which owns it and serves everything else.
#pragma once

#include <libpq-fe.h>
#include <memory>
#include <pqxx/pqxx>

namespace maestro::postgres {

#if PQXX_VERSION_MAJOR >= 7

using pqxx_connection = pqxx::connection;

/// Hands the open connection `raw` to libpqxx, which closes it at its end.
[[nodiscard]] inline auto adopt(PGconn* raw) -> std::unique_ptr<pqxx_connection> {
  return std::unique_ptr<pqxx_connection>(new pqxx_connection(pqxx_connection::seize_raw_connection(raw)));
}

#else

// A connection that is open already and is never opened again: when it is lost, a new object takes its place.
class adopted_connection : public pqxx::connection_base {
 public:
  explicit adopted_connection(PGconn* raw) : pqxx::connection_base(policy_), policy_(raw) { init(); }
  ~adopted_connection() noexcept { close(); }

 private:
  class policy : public pqxx::connectionpolicy {
   public:
    explicit policy(PGconn* raw) : pqxx::connectionpolicy(std::string()), raw_(raw) {}
    // Asked twice: when the object is made, and when it is activated.
    auto do_startconnect(handle open) -> handle override {
      if (open != nullptr) return open;
      if (raw_ == nullptr) throw pqxx::broken_connection();
      return std::exchange(raw_, nullptr);
    }
    auto do_completeconnect(handle open) -> handle override { return open; }
    [[nodiscard]] auto is_ready(handle open) const noexcept -> bool override { return open != nullptr; }

   private:
    PGconn* raw_;
  };
  policy policy_;
};

using pqxx_connection = adopted_connection;

/// Hands the open connection `raw` to libpqxx, which closes it at its end.
[[nodiscard]] inline auto adopt(PGconn* raw) -> std::unique_ptr<pqxx_connection> {
  return std::make_unique<adopted_connection>(raw);
}

#endif

/// Runs the prepared statement `name`.
template <class... Parameters>
auto run_prepared(pqxx::transaction_base& transaction, const char* name, const Parameters&... parameters) -> pqxx::result {
#if PQXX_VERSION_MAJOR > 7 || (PQXX_VERSION_MAJOR == 7 && PQXX_VERSION_MINOR >= 10)
  return transaction.exec(pqxx::prepped{name}, pqxx::params{parameters...});
#else
  return transaction.exec_prepared(name, parameters...);
#endif
}

}  // namespace maestro::postgres
