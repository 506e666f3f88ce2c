#include <maestro/store/codec.hpp>

#include <exception>
#include <istream>
#include <memory>
#include <new>
#include <sstream>
#include <streambuf>
#include <utility>

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

// What cereal itself says, in words of ours. Its text names the missing member but speaks of its own classes.
auto readable(std::string_view what) -> std::string {
  constexpr std::string_view before = "JSON Parsing failed - provided NVP (";
  constexpr std::string_view after = ") not found";
  if (what == "No more objects in input" || what.starts_with("JSONInputArchive internal error: null or empty iterator"))
    return "an element, or a member without a name, is missing";
  if (!what.starts_with(before) || !what.ends_with(after) || what.size() < before.size() + after.size()) return std::string(what);
  const auto name = what.substr(before.size(), what.size() - before.size() - after.size());
  return "member \"" + std::string(name) + "\" is missing";
}

constexpr std::string_view mistyped = "has the wrong type or is out of range";

// What the exception in flight says. Only for use in a `catch` block.
auto what_in_flight() -> std::string {
  try {
    throw;
  } catch (const unfit_value& problem) {
    return problem.is_named() ? problem.what() : std::string("an element ") + problem.what();
  } catch (const cereal::RapidJSONException&) {
    return "an element " + std::string(mistyped);
  } catch (const cereal::Exception& problem) {
    return readable(problem.what());
  } catch (const std::exception& problem) {
    return problem.what();
  } catch (...) {
    return "serialize threw something that is no std::exception";
  }
}

// No matter of the value's.
auto no_memory() -> error {
  return {errc::overloaded, "there is no memory for it; try again later"};
}

thread_local bool must_be_defined = true;

// For as long as it lives.
class defined_values_scope {
 public:
  explicit defined_values_scope(bool wanted) : before_(std::exchange(must_be_defined, wanted)) {}
  defined_values_scope(const defined_values_scope&) = delete;
  auto operator=(const defined_values_scope&) -> defined_values_scope& = delete;
  ~defined_values_scope() { must_be_defined = before_; }

 private:
  const bool before_;
};

}  // namespace

auto values_must_be_defined() noexcept -> bool {
  return must_be_defined;
}

void refuse_range() {
  throw unfit_value(std::string(mistyped));
}

void refuse_undefined(std::string value) {
  throw unfit_value("has the value " + value + ", which its enum does not define");
}

void refuse_member(const char* name, bool is_list, const char* found) {
  const auto about = [&](bool is_element, std::string_view what) {
    return unfit_value(
        (is_element ? "an element of member \"" : "member \"") + std::string(name) + "\" " + std::string(what), true);
  };
  try {
    throw;
  } catch (const unfit_value& problem) {
    if (problem.is_named()) throw;
    throw about(is_list, problem.what());
  } catch (const cereal::RapidJSONException&) {
    // The archive still stands at the value that was refused: an element has no name.
    throw about(is_list && found == nullptr, mistyped);
  }
}

auto written_members(const void* value, write_members write, json_limits limits) -> result<compact_json> {
  try {
    const defined_values_scope scope(limits.values_defined);
    std::ostringstream stream;
    stream.exceptions(std::ios::badbit);  // It would keep a lack of memory to itself, and take no more of the text.
    auto archive = std::make_unique<cereal::JSONOutputArchive>(stream, cereal::JSONOutputArchive::Options::NoIndent());
    try {
      write(value, *archive);
    } catch (const std::bad_alloc&) {
      // Its end closes what it has begun, and ends the process where memory ran out between the two: better that it has none.
      (void)archive.release();
      throw;
    }
    stream.exceptions(std::ios::goodbit);  // Its end may not throw.
    archive.reset();
    if (!stream) throw std::bad_alloc();
    auto text = std::move(stream).str();
    if (text.find_first_not_of(" \n\r\t") == std::string::npos) return compact_json{"{}"};
    return json_compact_noting(text, limits);
  } catch (const std::bad_alloc&) {
    return no_memory();
  } catch (...) {
    return error{errc::malformed_payload, "cannot be written as JSON: " + what_in_flight()};
  }
}

auto encode_members(const void* value, write_members write, rewrite_members rewrite, json_limits limits)
    -> result<compact_json> {
  auto written = written_members(value, write, limits);
  // cereal calls the members without a name value0, value1 ... in each object: without the first there is none.
  if (!written || written->text.find("\"value0\":") == std::string::npos) return written;
  const auto& text = written->text;
  const auto named = json_mixed_member(text);
  if (!named) return written;
  const auto again = rewrite(json_in_stored_order(text), limits);
  if (again && *again == text) return written;
  return error{errc::malformed_payload, "member " + json_quote(*named) +
                                            " stands beside members without a name, which are read by their place and do not "
                                            "keep it in a database: give each a name, with CEREAL_NVP or cereal::make_nvp, a "
                                            "base class too"};
}

auto decode_members(std::string_view text, void* value, read_members read, json_limits limits) -> result<void> {
  auto checked = json_has_signed_zero(text, limits);
  if (!checked) return std::move(checked).failure();
  std::string unsigned_zeros;
  if (*checked) {
    auto compact = json_compact(text, limits);
    if (!compact) return std::move(compact).failure();
    unsigned_zeros = std::move(*compact);
    text = unsigned_zeros;
  }
  try {
    const defined_values_scope scope(limits.values_defined);
    view_buffer buffer(text);
    std::istream stream(&buffer);
    cereal::JSONInputArchive archive(stream);
    try {
      read(value, archive);
    } catch (const unfit_value&) {
      throw;
    } catch (const cereal::RapidJSONException&) {
      // A member without a name, where the archive still stands.
      if (const char* name = archive.getNodeName()) refuse_member(name, false, name);
      throw;
    }
    return {};
  } catch (const std::bad_alloc&) {
    return no_memory();
  } catch (...) {
    return error{errc::malformed_payload, what_in_flight()};
  }
}

}  // namespace maestro::detail
