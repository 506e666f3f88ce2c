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

auto encode_members(const void* value, write_members write, json_limits limits) -> result<std::string> {
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

auto decode_members(std::string_view text, void* value, read_members read, json_limits limits) -> result<void> {
  if (auto checked = json_check(text, limits); !checked) return checked.failure();
  try {
    view_buffer buffer(text);
    std::istream stream(&buffer);
    cereal::JSONInputArchive archive(stream);
    read(value, archive);
    return {};
  } catch (...) {
    return error{errc::malformed_payload, readable(what_in_flight())};
  }
}

}  // namespace maestro::detail
