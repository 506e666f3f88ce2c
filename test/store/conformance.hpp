// The conformance suite: what every adapter promises (store/store.hpp), as tests. A new adapter joins with a `place`, a line
// in the `stores_under_test` of its program, and one in CMakeLists.txt that links that program with ${conformance}.
//
// The suite's random tests say their seed in what they report, and with --log_level=message in any case. MAESTRO_TEST_SEED
// replays one; MAESTRO_TEST_STEPS makes the histories longer, in search of what is rare.
#pragma once

#include "request_maker.hpp"

#include <maestro/store/store.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace maestro::test {

/// One fresh, empty store. Gone with the object.
class place {
 public:
  virtual ~place() = default;
  /// Opens it, each time as another process would.
  [[nodiscard]] virtual auto open(const store_settings& settings) -> std::shared_ptr<database> = 0;
  /// Whether it can be open twice at once.
  [[nodiscard]] virtual auto is_shared() const -> bool = 0;
};

/// A kind of store that the suite runs over.
struct store_under_test {
  std::string name;
  std::function<std::unique_ptr<place>()> make;
  /// Its log is in partitions by aggregate, and cannot tell that another partition holds a timestamp already.
  bool partitioned = false;
  friend auto operator<<(std::ostream& out, const store_under_test& store) -> std::ostream& { return out << store.name; }
};

/// Defined by each program: what to run the suite over.
[[nodiscard]] auto stores_under_test() -> std::vector<store_under_test>;

/// A projection written as a function.
class function_projector : public projector {
 public:
  using function = std::function<void(transaction&, const event&)>;
  explicit function_projector(function body) : function_(std::move(body)) {}
  void project(transaction& tx, const event& event) const override { function_(tx, event); }

 private:
  function function_;
};

inline auto with_projection(commit_request request, function_projector::function function) -> commit_request {
  auto projector = std::make_shared<function_projector>(std::move(function));
  for (auto& unit : request.units) unit.projector = projector;
  return request;
}

/// The value of `result`; the test ends here when it is an error.
template <class T>
auto value_of(result<T> result) -> T {
  if (!result) BOOST_FAIL(to_string(result.failure()));
  return std::move(*result);
}
inline void succeed(const result<void>& result) {
  if (!result) BOOST_FAIL(to_string(result.failure()));
}

/// An open, migrated store with one writer and one reader: where a test works.
struct workbench : request_maker {
  explicit workbench(const store_under_test& store, store_settings settings = {}, std::vector<migration> components = {})
      : where(store.make()), opened(where->open(settings)) {
    value_of(opened->migrate(components));
    writer = opened->open_writer();
    reader = opened->open_reader();
  }

  auto commit(const std::vector<const commit_request*>& requests) -> std::vector<commit_outcome> {
    return writer->commit_all(requests);
  }
  auto commit(const commit_request& request) -> commit_outcome { return commit(std::vector{&request}).front(); }
  void committed(const commit_request& request) {
    const auto outcome = commit(request);
    BOOST_TEST_REQUIRE(!outcome.failure, to_string(outcome.failure));
    BOOST_TEST(outcome.committed == request.units.size());
  }
  /// The first 1,000, unless `range` says otherwise.
  auto events(const aggregate_id& id, event_range range = {}) -> std::vector<event> {
    return value_of(reader->get_events(id, range));
  }
  auto sequences(const aggregate_id& id, event_range range = {}) -> std::vector<sequence_number> {
    std::vector<sequence_number> found;
    for (const auto& event : events(id, range)) found.push_back(event.sequence);
    return found;
  }
  /// Rows of `sql`, for a look past the contract.
  auto query(std::string_view sql, std::vector<sql_value> parameters = {}) -> std::vector<sql_row> {
    if (!hand) hand = opened->open_writer();
    return value_of(hand->query(sql, parameters));
  }
  auto count(const std::string& table) -> std::int64_t {
    return query("SELECT count(*) FROM " + table).at(0).at(0).as<std::int64_t>();
  }

  std::unique_ptr<place> where;
  std::shared_ptr<database> opened;
  std::unique_ptr<store> writer;
  std::unique_ptr<store> reader;
  std::unique_ptr<store> hand;  ///< For `query`, which may change something; a third connection.
};

/// What lets the rest of a transaction change events, and what ends that.
inline auto allow_rewrite(dialect dialect) -> std::string {
  return dialect == dialect::postgres ? "SET LOCAL maestro.allow_rewrite = 'on'" : "INSERT INTO maestro_allow_rewrite VALUES (1)";
}
inline auto forbid_rewrite(dialect dialect) -> std::string {
  return dialect == dialect::postgres ? "SET LOCAL maestro.allow_rewrite = 'off'" : "DELETE FROM maestro_allow_rewrite";
}

/// `{first, ..., last}`.
inline auto numbers(sequence_number first, sequence_number last) -> std::vector<sequence_number> {
  std::vector<sequence_number> range;
  for (; first <= last; ++first) range.push_back(first);
  return range;
}

}  // namespace maestro::test
