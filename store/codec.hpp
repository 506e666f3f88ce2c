// Between C++ structs and the JSON objects that are stored and sent: cereal does the work, this file adds the guards that
// cereal lacks. An author's type needs a `serialize` member (or free function) as cereal defines it, nothing else.
#pragma once

#include <maestro/store/error.hpp>
#include <maestro/store/json.hpp>

#include <cereal/archives/json.hpp>
#include <cereal/types/array.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/set.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/unordered_map.hpp>
#include <cereal/types/vector.hpp>

#include <exception>
#include <istream>
#include <sstream>
#include <streambuf>
#include <string>
#include <string_view>
#include <type_traits>

namespace maestro {

/// A type that can be stored and sent: default constructible, copyable, and with cereal's `serialize` as a member. A type
/// without any members needs no `serialize`.
template <class T>
concept serializable =
    std::is_default_constructible_v<T> && std::is_copy_constructible_v<T> &&
    (std::is_empty_v<T> || requires(T value, cereal::JSONOutputArchive& out, cereal::JSONInputArchive& in) {
      value.serialize(out);
      value.serialize(in);
    });

namespace detail {

// Lets cereal read from a string_view without copying it.
class view_buffer : public std::streambuf {
 public:
  explicit view_buffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

[[nodiscard]] auto decode_failure(std::string_view what) -> error;
[[nodiscard]] auto encode_failure(std::string_view what) -> error;

}  // namespace detail

/// `value` as one compact JSON object without a wrapper; `{}` for a type without members. Errors: `malformed_payload` when
/// the value holds something that JSON or jsonb cannot (NaN, Infinity, NUL, text that is no UTF-8), or exceeds `limits`,
/// or when its `serialize` throws.
template <serializable T>
[[nodiscard]] auto encode(const T& value, json_limits limits = {}) -> result<std::string> {
  if constexpr (std::is_empty_v<T>) {
    return std::string("{}");
  } else {
    try {
      std::ostringstream stream;
      {
        cereal::JSONOutputArchive archive(stream, cereal::JSONOutputArchive::Options::NoIndent());
        const_cast<T&>(value).serialize(archive);  // cereal's contract: writing leaves the value as it is
      }
      auto text = std::move(stream).str();
      if (text.find_first_not_of(" \n\r\t") == std::string::npos) return std::string("{}");
      return json_compact(text, limits);
    } catch (const std::exception& problem) {
      return detail::encode_failure(problem.what());
    } catch (...) {
      return detail::encode_failure("serialize threw something that is no std::exception");
    }
  }
}

/// The `T` that the JSON object `text` denotes. Unknown members are ignored, a missing or mistyped one is an error. Errors:
/// `malformed_payload`, saying which.
template <serializable T>
[[nodiscard]] auto decode(std::string_view text, json_limits limits = {}) -> result<T> {
  if (auto checked = json_check(text, limits); !checked) return checked.failure();
  try {
    T value;
    if constexpr (!std::is_empty_v<T>) {
      detail::view_buffer buffer(text);
      std::istream stream(&buffer);
      cereal::JSONInputArchive archive(stream);
      value.serialize(archive);
    }
    return value;
  } catch (const std::exception& problem) {
    return detail::decode_failure(problem.what());
  } catch (...) {
    return detail::decode_failure("serialize threw something that is no std::exception");
  }
}

/// Reads or writes the member `name`, leaving `value` as it is (its default) when the text has no such member. A member that
/// is there with the wrong type is still an error. Use inside `serialize`: `maestro::optional_member(archive, "note", note);`
template <class Archive, class T>
void optional_member(Archive& archive, const char* name, T& value) {
  if constexpr (Archive::is_loading::value) {
    try {
      archive.setNextName(name);
      archive.startNode();
      archive.finishNode();
    } catch (const cereal::RapidJSONException&) {
      // The member is there and is a scalar, which cannot be entered as a node.
    } catch (const cereal::Exception&) {
      return;  // There is no such member.
    }
  }
  archive(cereal::make_nvp(name, value));
}

}  // namespace maestro
