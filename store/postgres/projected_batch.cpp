#include <maestro/store/postgres/projected_batch.hpp>

#include <maestro/store/postgres/commit_transaction.hpp>

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

namespace maestro::postgres {

namespace {

// So many units are taken back together, and written again without the one that fails.
constexpr std::size_t units_of_a_part = 16;

class batch {
 public:
  batch(connection& connection, commit_transaction& transaction, std::span<const write_unit> units)
      : connection_(connection), transaction_(transaction), units_(units), left_out_(units.size()) {}

  // The outcome when there is nothing to commit.
  auto write_at_once() -> std::optional<write_outcome> { return write(wanted(0, units_.size())); }

  auto write_in_parts() -> std::optional<write_outcome> {
    for (std::size_t from = 0; from < units_.size(); from += units_of_a_part) {
      const std::size_t to = std::min(from + units_of_a_part, units_.size());
      for (auto part = wanted(from, to); !part.empty(); part = wanted(from, to)) {
        transaction_.begin_part();
        auto failed = write(part);
        if (!failed) break;
        if (failed->status != write_status::failed || !failed->culprit || !connection_.is_usable()) return failed;
        transaction_.drop_part();
        leave_out(*failed->culprit, std::move(failed->failure));
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] auto refused() -> std::vector<refusal>& { return refused_; }

 private:
  using indexes = std::vector<std::size_t>;

  [[nodiscard]] auto wanted(std::size_t from, std::size_t to) const -> indexes {
    indexes found;
    for (; from < to; ++from)
      if (!left_out_[from]) found.push_back(from);
    return found;
  }

  // What follows a refused unit of the same request is left out with it.
  void leave_out(std::size_t index, error why) {
    const commit_request* of = units_[index].request;
    refused_.push_back({index, std::move(why)});
    for (; index < units_.size() && units_[index].request == of; ++index) left_out_[index] = true;
  }

  // The events of all of `part`, then their projections.
  auto write(const indexes& part) -> std::optional<write_outcome> {
    std::vector<write_unit> chosen;
    chosen.reserve(part.size());
    for (const auto index : part) chosen.push_back(units_[index]);
    const event_insert events(chosen);
    std::optional<write_outcome> refused;
    try {
      transaction_.insert(events);
      for (const auto index : part)
        if ((refused = project(index))) break;
      transaction_.settle();
    } catch (const failure& problem) {
      refused = outcome_of(problem, transaction_.failed_at(), connection_.is_spread());
      refused->culprit = transaction_.culprit();
      if (refused->culprit && refused->failure.code == errc::program_failed) refused->failure = fault(*refused->culprit, problem.what());
    }
    // A projection that fails beside events that do not fit has seen a state that is not the log's.
    const bool by_projection = refused && refused->status == write_status::failed && transaction_.failed_at() != stage::events;
    if (refused && !by_projection) return refused;
    if (transaction_.inserted() != events.rows()) return write_outcome{write_status::conflict, {}, {}};
    return refused;
  }

  // The outcome when the projection itself throws. What PostgreSQL refuses of all that was sent before goes through instead,
  // also when the projection threw on account of it.
  auto project(std::size_t index) -> std::optional<write_outcome> {
    const commit_unit& unit = *units_[index].unit;
    if (unit.projector == nullptr) return std::nullopt;
    auto failed = [&](std::string_view why) -> write_outcome { return {write_status::failed, fault(index, why), index}; };
    transaction_.enter(index);
    try {
      for (const auto& event : unit.events) unit.projector->project(transaction_, event);
      return std::nullopt;
    } catch (const failure&) {
      throw;
    } catch (const std::exception& problem) {
      transaction_.settle();
      return failed(problem.what());
    } catch (...) {
      transaction_.settle();
      return failed("an exception of unknown type");
    }
  }

  [[nodiscard]] auto fault(std::size_t index, std::string_view why) const -> error {
    return projection_fault(transaction_.projection(), units_[index].request->aggregate_type, transaction_.statement(), why);
  }

  connection& connection_;
  commit_transaction& transaction_;
  const std::span<const write_unit> units_;
  std::vector<bool> left_out_;
  std::vector<refusal> refused_;
};

}  // namespace

auto write_with_projections(connection& connection, std::span<const write_unit> units,
                            std::optional<std::chrono::milliseconds> lock_wait, careful_mode& careful) -> write_outcome {
  std::optional<commit_transaction> transaction;
  try {
    transaction.emplace(connection);
    if (lock_wait) transaction->wait_for_locks(*lock_wait);
    batch batch(connection, *transaction, units);
    auto ended = careful.begin_batch() ? batch.write_in_parts() : batch.write_at_once();
    if (!batch.refused().empty() || (ended && ended->status == write_status::failed)) careful.saw_failure();
    if (ended) return *std::move(ended);
    transaction->commit();
    return {write_status::committed, {}, {}, std::move(batch.refused())};
  } catch (const failure& problem) {
    return outcome_of(problem, transaction ? transaction->failed_at() : stage::begin, connection.is_spread());
  }
}

}  // namespace maestro::postgres
