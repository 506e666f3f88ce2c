// What SQLite said when it said no, and what that means for whoever asked: by result code, in the two tables of failure.cpp.
#pragma once

#include <maestro/store/verdict.hpp>

#include <stdexcept>
#include <string>

namespace maestro::sqlite {

/// What SQLite refused, with its extended result code. Thrown within the adapter, and to projections.
class sql_error : public std::runtime_error {
 public:
  sql_error(int code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] auto code() const noexcept -> int { return code_; }

 private:
  int code_;
};

/// What `problem` means for the transaction that met it. For the stages up to `commit`.
[[nodiscard]] auto outcome_of(const sql_error& problem, stage stage) -> write_outcome;
/// What `problem` means for whoever asked. For any stage.
[[nodiscard]] auto error_of(const sql_error& problem, stage stage) -> error;

}  // namespace maestro::sqlite
