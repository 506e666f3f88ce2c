#include <maestro/store/postgres/rebuild.hpp>

#include <maestro/store/postgres/rebuild_base.hpp>
#include <maestro/store/postgres/rights.hpp>

namespace maestro::postgres {

namespace {

auto advice_on_rights(const source& from) -> std::string {
  try {
    return ". " + advice_for_rebuilding(look_at_rights(*from.connect()));
  } catch (const failure&) {
    return {};
  }
}

}  // namespace

auto rebuild(const std::shared_ptr<const source>& from, const rebuild_plan& plan, const rebuild_watch& watch)
    -> result<rebuild_progress> {
  try {
    return plan.ordered_between_aggregates ? rebuild_in_order(from, plan, watch) : rebuild_by_aggregate(from, plan, watch);
  } catch (const rebuild_stopped& reason) {
    return reason.why;
  } catch (const failure& problem) {
    error said = error_of(problem, stage::migration);
    said.message = "rebuild of projection \"" + plan.projection + "\": " + said.message;
    if (said.code == errc::invalid_setting) said.message += advice_on_rights(*from);
    return said;
  } catch (const std::exception& problem) {
    return error{errc::internal_error, "rebuild of projection \"" + plan.projection + "\": " + problem.what()};
  }
}

}  // namespace maestro::postgres
