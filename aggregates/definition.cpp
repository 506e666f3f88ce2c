#include <maestro/aggregates/definition.hpp>

#include <map>

namespace maestro {

auto check_definitions(std::span<const definition_ptr> types) -> result<void> {
  std::map<std::string_view, const definition*> known;
  for (const auto& each : types) {
    if (!each)
      return error{errc::invalid_argument, "one of the aggregate types is null: register what maestro::define returns"};
    const auto [place, is_new] = known.emplace(each->type(), each.get());
    if (is_new) continue;
    const std::string type = "\"" + std::string(each->type()) + "\"";
    const std::string first(place->second->class_name());
    const std::string second(each->class_name());
    if (first == second)
      return error{errc::invalid_argument, "the aggregate " + first + ", of type " + type + ", is registered twice"};
    return error{errc::invalid_argument, "two aggregates have the type " + type + ", " + first + " and " + second +
                                             ": each needs a type of its own, by which the log knows it"};
  }
  return {};
}

}  // namespace maestro
