// What the measuring programs share.
#pragma once

#include <maestro/store/store.hpp>

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace maestro::benchmark {

template <class T>
auto must(result<T> got) -> T {
  if (!got) throw std::runtime_error(to_string(got.failure()));
  if constexpr (!std::is_void_v<T>) return std::move(*got);
}

inline auto median(std::vector<double> values) -> double {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

/// "1 caller", "2 callers".
inline auto many(std::size_t count, const std::string& of) -> std::string { return std::to_string(count) + ' ' + of + (count == 1 ? "" : "s"); }

/// The URI of `server` with `options` for the server's process; %20 before another one.
inline auto with_options(const std::string& server, const std::string& options) -> std::string {
  return server + (server.find('?') == server.npos ? "?" : "&") + "options=" + options;
}

/// The URI of `server` for statements that may wait and take long: a table that autovacuum works on, say, is dropped a second later.
inline auto with_patience(const std::string& server) -> std::string {
  return with_options(server, "-clock_timeout%3D0%20-cstatement_timeout%3D0");
}

/// The URI of an empty schema on `server`, instead of what an earlier run may have left there. It ends as that of `with_options`.
inline auto fresh_schema(const std::string& server, const std::string& schema) -> std::string {
  const auto database = must(open_database(with_patience(server)));
  const auto connection = database->open_writer();
  (void)must(connection->query("DROP SCHEMA IF EXISTS " + schema + " CASCADE", {}));
  (void)must(connection->query("CREATE SCHEMA " + schema, {}));
  return with_options(server, "-csearch_path%3D" + schema);
}

}  // namespace maestro::benchmark
