#include <maestro/store/verdict.hpp>

#include <utility>

namespace maestro {

namespace {

auto code_of(verdict said) -> errc {
  switch (said) {
    case verdict::unavailable:
    case verdict::in_doubt:
    case verdict::contention:
    case verdict::too_slow:
    case verdict::damaged: return errc::store_unavailable;
    case verdict::conflict: return errc::retry_command;
    case verdict::projection_failed: return errc::projection_failed;
    case verdict::program_failed: return errc::program_failed;
    case verdict::invalid_event: return errc::invalid_event;
    case verdict::internal_error: return errc::internal_error;
    case verdict::invalid_argument: return errc::invalid_argument;
    case verdict::invalid_setting: return errc::invalid_setting;
  }
  return errc::internal_error;
}

}  // namespace

auto error_from(verdict said, std::string message) -> error {
  error failure{code_of(said), std::move(message)};
  failure.is_damage = said == verdict::damaged;
  return failure;
}

auto status_of(verdict said) -> write_status {
  switch (said) {
    case verdict::unavailable: return write_status::unavailable;
    case verdict::in_doubt: return write_status::in_doubt;
    case verdict::contention: return write_status::contention;
    case verdict::conflict: return write_status::conflict;
    default: return write_status::failed;
  }
}

}  // namespace maestro
