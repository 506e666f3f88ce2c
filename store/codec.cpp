#include <maestro/store/codec.hpp>

namespace maestro::detail {

namespace {

// cereal's text names the missing member but speaks of its own classes; rapidjson's quotes a C++ expression.
auto readable(std::string_view what) -> std::string {
  constexpr std::string_view before = "provided NVP (";
  constexpr std::string_view after = ") not found";
  const auto from = what.find(before);
  const auto to = what.rfind(after);
  if (from != std::string_view::npos && to != std::string_view::npos && from + before.size() <= to) {
    const auto name = what.substr(from + before.size(), to - from - before.size());
    return "member \"" + std::string(name) + "\" is missing";
  }
  if (what.find("rapidjson") != std::string_view::npos || what.find("assertion") != std::string_view::npos ||
      what.find("Is") != std::string_view::npos || what.find("flags") != std::string_view::npos)
    return "a member has the wrong type or is out of range";
  return std::string(what);
}

}  // namespace

auto decode_failure(std::string_view what) -> error { return {errc::malformed_payload, readable(what)}; }

auto encode_failure(std::string_view what) -> error {
  return {errc::malformed_payload, "cannot be written as JSON: " + std::string(what)};
}

}  // namespace maestro::detail
