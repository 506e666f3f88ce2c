#include <maestro/store/codec.hpp>

#include <exception>
#include <istream>
#include <sstream>
#include <streambuf>

namespace maestro::detail {

namespace {

// Lets cereal read from a string_view without copying it.
class view_buffer : public std::streambuf {
 public:
  explicit view_buffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

// cereal's text names the missing member but speaks of its own classes.
auto readable(std::string_view what) -> std::string {
  constexpr std::string_view before = "JSON Parsing failed - provided NVP (";
  constexpr std::string_view after = ") not found";
  if (!what.starts_with(before) || !what.ends_with(after) || what.size() < before.size() + after.size()) return std::string(what);
  const auto name = what.substr(before.size(), what.size() - before.size() - after.size());
  return "member \"" + std::string(name) + "\" is missing";
}

// After rapidjson refused a value, the archive still stands at it.
auto mistyped(const cereal::JSONInputArchive& archive) -> std::string {
  const char* name = archive.getNodeName();
  return (name == nullptr ? "an element" : "member \"" + std::string(name) + "\"") + " has the wrong type or is out of range";
}

// What the exception in flight says. Only for use in a `catch` block.
auto what_in_flight() -> std::string {
  try {
    throw;
  } catch (const std::exception& problem) {
    return problem.what();
  } catch (...) {
    return "serialize threw something that is no std::exception";
  }
}

}  // namespace

auto written_members(const void* value, write_members write, json_limits limits) -> result<std::string> {
  try {
    std::ostringstream stream;
    {
      cereal::JSONOutputArchive archive(stream, cereal::JSONOutputArchive::Options::NoIndent());
      write(value, archive);
    }
    auto text = std::move(stream).str();
    if (text.find_first_not_of(" \n\r\t") == std::string::npos) return std::string("{}");
    return json_compact(text, limits);
  } catch (...) {
    return error{errc::malformed_payload, "cannot be written as JSON: " + what_in_flight()};
  }
}

auto encode_members(const void* value, write_members write, rewrite_members rewrite, json_limits limits)
    -> result<std::string> {
  auto text = written_members(value, write, limits);
  // cereal calls the members without a name value0, value1 ... in each object: without the first there is none.
  if (!text || text->find("\"value0\":") == std::string::npos) return text;
  const auto named = json_mixed_member(*text);
  if (!named) return text;
  const auto again = rewrite(json_in_stored_order(*text), limits);
  if (again && *again == *text) return text;
  return error{errc::malformed_payload, "member " + json_quote(*named) +
                                            " stands beside members without a name, which are read by their place and do not "
                                            "keep it in a database: give each a name, with CEREAL_NVP or cereal::make_nvp, a "
                                            "base class too"};
}

auto decode_members(std::string_view text, void* value, read_members read, json_limits limits) -> result<void> {
  if (auto checked = json_check(text, limits); !checked) return checked.failure();
  try {
    view_buffer buffer(text);
    std::istream stream(&buffer);
    cereal::JSONInputArchive archive(stream);
    try {
      read(value, archive);
    } catch (const cereal::RapidJSONException&) {
      return error{errc::malformed_payload, mistyped(archive)};
    }
    return {};
  } catch (...) {
    return error{errc::malformed_payload, readable(what_in_flight())};
  }
}

}  // namespace maestro::detail
