#include <maestro/aggregates/bind.hpp>

#include <exception>

namespace maestro::detail {

auto unknown_name(errc code, std::string_view type, std::string_view kind, std::string_view name, std::span<const std::string_view> known)
    -> error {
  std::string names;
  for (const auto each : known) (names += names.empty() ? "" : ", ") += each;
  return {code, "aggregate type \"" + std::string(type) + "\" has no " + std::string(kind) + " \"" + std::string(name) +
                    "\"; it has: " + (names.empty() ? "none" : names)};
}

auto failure_of(errc code, std::string_view kind, std::string_view name, const error& why) -> error {
  // A lack of memory says nothing of it.
  return {why.code == errc::overloaded ? why.code : code, std::string(kind) + " \"" + std::string(name) + "\": " + why.message};
}

auto thrown(errc code, std::string_view what) -> error {
  try {
    throw;
  } catch (const std::exception& problem) {
    return {code, std::string(what) + " threw: " + problem.what()};
  } catch (...) {
    return {code, std::string(what) + " threw something that is no std::exception"};
  }
}

auto too_many_events(const event_bounds& bounds, std::size_t bytes) -> error {
  const bool too_large = bytes > bounds.bytes;
  return {errc::invalid_event,
          too_large ? "the command records events of more than " + std::to_string(bounds.bytes) +
                          " bytes, the limit of aggregate.max-event-bytes-per-command: record less, or raise the limit"
                    : "the command records more than " + std::to_string(bounds.events) +
                          " events, the limit of aggregate.max-events-per-command: record fewer, or raise the limit"};
}

void add_step(std::vector<migration>& steps, std::string_view component, schema_step step) {
  const auto number = static_cast<int>(steps.size()) + 1;
  steps.push_back({std::string(component), number, std::move(step.postgres), std::move(step.sqlite)});
}

}  // namespace maestro::detail
