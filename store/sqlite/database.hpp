// The embedded adapter: one SQLite file that one process owns, or a database in memory for tests.
#pragma once

#include <maestro/store/store.hpp>

#include <memory>
#include <string>

namespace maestro::sqlite {

/// Opens `sqlite:FILE` or `sqlite::memory:`. The file is created when it is not there, put into WAL mode, and locked, by itself and through
/// `FILE.lock`, until the database and every store it handed out are gone. Each connection to a file is its own; what is in
/// memory has a single connection that all stores share and take turns on. Errors: as `open_database`.
[[nodiscard]] auto open(const std::string& uri, const store_settings& settings) -> result<std::shared_ptr<database>>;

}  // namespace maestro::sqlite
