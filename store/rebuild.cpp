#include <maestro/store/rebuild.hpp>

namespace maestro {

void tell_rebuild(const rebuild_plan& plan, const rebuild_watch& watch, const rebuild_progress& progress) {
  if (watch && !watch(progress))
    throw rebuild_stopped{{errc::shutting_down, "the rebuild of projection \"" + plan.projection + "\" was stopped"}};
}

auto rebuild_step_failed(const migration& step, std::string_view why) -> error {
  return {errc::invalid_argument,
          "migration " + step.component + " " + std::to_string(step.number) + " fails: " + std::string(why)};
}

auto rebuild_event_failed(const rebuild_plan& plan, const aggregate_id& id, sequence_number sequence,
                          std::string_view type, std::string_view why) -> error {
  return {errc::projection_failed, "projection \"" + plan.projection + "\", aggregate " + id.text() + " at sequence " +
                                       std::to_string(sequence) + ", event \"" + std::string(type) + "\": " + std::string(why)};
}

}  // namespace maestro
