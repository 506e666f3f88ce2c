// A fresh, empty store for one test, of the kind that ctest runs the program over.
#pragma once

#include "postgres_server.hpp"
#include "temporary_folder.hpp"

#include <maestro/store/store.hpp>

#include <memory>
#include <string>

namespace maestro::test {

/// A store of the kind that MAESTRO_TEST_STORE names: `memory` or `file` (SQLite; `file` is the default), or `postgres`, a
/// schema on the server of MAESTRO_TEST_POSTGRES, without which the program ends as skipped. Gone with the object.
class test_store {
 public:
  test_store();
  test_store(const test_store&) = delete;
  auto operator=(const test_store&) -> test_store& = delete;

  /// What a node or `open_database` takes. `sqlite::memory:` is another store each time it is opened.
  [[nodiscard]] auto uri() const -> const std::string& { return uri_; }

 private:
  std::unique_ptr<temporary_folder> folder_;
  std::unique_ptr<postgres_place> schema_;
  std::string uri_;
};

/// A connection that writes to the store at `uri` beside whoever uses it, also in the same process and to an embedded
/// file: a stranger's.
[[nodiscard]] auto stranger_at(const std::string& uri) -> std::unique_ptr<store>;

}  // namespace maestro::test
