// Values on their way to PostgreSQL and back.
#pragma once

#include <maestro/store/projection.hpp>

#include <cstddef>
#include <cstdint>
#include <libpq-fe.h>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace maestro::postgres {

/// Parameters in the form that libpq takes: bytes in binary, everything else as text whose type the server infers from where
/// it stands. The values must live as long as this object. Throws `std::runtime_error` for what cannot be stored.
class parameter_list {
 public:
  explicit parameter_list(std::span<const sql_value> parameters);

  [[nodiscard]] auto count() const noexcept -> int { return static_cast<int>(values_.size()); }
  [[nodiscard]] auto values() const noexcept -> const char* const* { return values_.data(); }
  [[nodiscard]] auto lengths() const noexcept -> const int* { return lengths_.data(); }
  [[nodiscard]] auto formats() const noexcept -> const int* { return formats_.data(); }

 private:
  std::vector<std::string> texts_;
  std::vector<const char*> values_;
  std::vector<int> lengths_;
  std::vector<int> formats_;
};

/// The rows of `answer`, which is in text form: booleans, integers, floating point numbers, `bytea` and null as what they
/// are, everything else as its text.
[[nodiscard]] auto rows_from(const PGresult* answer) -> std::vector<sql_row>;

/// The bytes that `text` (`\x0123...`) denotes; empty when it is not of that form.
[[nodiscard]] auto unhex(std::string_view text) -> std::string;
/// The store's form of a JSON text that `jsonb` wrote: without its spaces. What a stranger stored beyond our limits stays as it is.
[[nodiscard]] auto json_from_jsonb(std::string_view text) -> std::string;
/// `limit` as a parameter of type `bigint`, however large it is.
[[nodiscard]] auto as_limit(std::size_t limit) -> std::int64_t;
/// `\x0123...`, as a parameter of type `bytea`.
[[nodiscard]] auto as_bytea(std::string_view bytes) -> std::string;

}  // namespace maestro::postgres
