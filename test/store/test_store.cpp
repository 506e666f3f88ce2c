#include "test_store.hpp"

#include <maestro/store/sqlite/sqlite_store.hpp>

#include <cstdlib>
#include <string_view>

namespace maestro::test {

test_store::test_store() {
  const char* given = std::getenv("MAESTRO_TEST_STORE");
  const std::string_view kind = given != nullptr ? given : "file";
  if (kind == "file") {
    folder_ = std::make_unique<temporary_folder>();
    uri_ = "sqlite:" + folder_->path("store.db");
  } else if (kind == "memory") {
    uri_ = "sqlite::memory:";
  } else if (kind == "postgres") {
    require_server();
    schema_ = std::make_unique<postgres_place>();
    uri_ = schema_->uri();
  } else {
    BOOST_FAIL("MAESTRO_TEST_STORE is memory, file or postgres, not " << kind);
  }
}

auto stranger_at(const std::string& uri) -> std::unique_ptr<store> {
  const std::string scheme = "sqlite:";
  if (!uri.starts_with(scheme)) return open_database(uri).value()->open_writer();
  // Past the lock, which keeps other stores away.
  auto file = std::make_shared<sqlite::source>();
  file->file = uri.substr(scheme.size());
  return std::make_unique<sqlite::sqlite_store>(std::move(file));
}

}  // namespace maestro::test
