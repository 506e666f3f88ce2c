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

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace maestro::detail {

// cereal writes these as strings, by way of a stream that obeys the global locale.
template <class T, class Same>
inline constexpr bool is_written_as_text = !std::is_same_v<T, Same>;

template <bool Accepted>
constexpr void check_number_type() {
  static_assert(Accepted, "maestro: `long long`, `unsigned long long` and `long double` are not stored as numbers: use std::int64_t, "
                          "std::uint64_t or double");
}

}  // namespace maestro::detail

// More special than cereal's own for any arithmetic type, so these are chosen.
namespace cereal {

template <bool Accepted = !maestro::detail::is_written_as_text<long long, std::int64_t>>
void save(JSONOutputArchive& archive, const long long& value) {
  maestro::detail::check_number_type<Accepted>();
  archive.saveValue(static_cast<std::int64_t>(value));
}
template <bool Accepted = !maestro::detail::is_written_as_text<unsigned long long, std::uint64_t>>
void save(JSONOutputArchive& archive, const unsigned long long& value) {
  maestro::detail::check_number_type<Accepted>();
  archive.saveValue(static_cast<std::uint64_t>(value));
}
template <bool Accepted = false>
void save(JSONOutputArchive&, const long double&) {
  maestro::detail::check_number_type<Accepted>();
}

template <bool Accepted = !maestro::detail::is_written_as_text<long long, std::int64_t>>
void load(JSONInputArchive& archive, long long& value) {
  maestro::detail::check_number_type<Accepted>();
  std::int64_t read = 0;
  archive.loadValue(read);
  value = read;
}
template <bool Accepted = !maestro::detail::is_written_as_text<unsigned long long, std::uint64_t>>
void load(JSONInputArchive& archive, unsigned long long& value) {
  maestro::detail::check_number_type<Accepted>();
  std::uint64_t read = 0;
  archive.loadValue(read);
  value = read;
}
template <bool Accepted = false>
void load(JSONInputArchive&, long double&) {
  maestro::detail::check_number_type<Accepted>();
}

// cereal's own for a bitset names `unsigned long long`, without ever writing one where `unsigned long` has 64 bits. The form is
// the same.
template <std::size_t Size>
void save(JSONOutputArchive& archive, const std::bitset<Size>& bits) {
  constexpr std::uint8_t as_number = 0;
  constexpr std::uint8_t as_string = 2;
  const bool is_small = Size <= 64 || (bits >> (Size > 64 ? 64 : 0)).none();
  archive(make_nvp("type", is_small ? as_number : as_string));
  if (is_small) archive(make_nvp("data", static_cast<std::uint64_t>(bits.to_ullong())));
  else archive(make_nvp("data", bits.to_string()));
}
template <std::size_t Size>
void load(JSONInputArchive& archive, std::bitset<Size>& bits) {
  constexpr std::uint8_t as_string = 2;
  std::uint8_t kind = 0;
  archive(make_nvp("type", kind));
  if (kind == as_string) {
    std::string digits;
    archive(make_nvp("data", digits));
    bits = std::bitset<Size>(digits);
  } else {
    std::uint64_t number = 0;
    archive(make_nvp("data", number));
    bits = std::bitset<Size>(number);
  }
}

}  // namespace cereal

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

// cereal's parser and writer are large: with the archives behind a pointer to the members' own code they are compiled once, in
// codec.cpp, and not in every file that stores or sends something.
using write_members = void (*)(const void* value, cereal::JSONOutputArchive& archive);
using read_members = void (*)(void* value, cereal::JSONInputArchive& archive);
// Writes `value` a second time, by way of `text`: reads it, and writes what came of it.
using rewrite_members = result<std::string> (*)(std::string_view text, json_limits limits);
[[nodiscard]] auto encode_members(const void* value, write_members write, rewrite_members rewrite, json_limits limits)
    -> result<std::string>;
// What a type writes, without a look at the order of its members.
[[nodiscard]] auto written_members(const void* value, write_members write, json_limits limits) -> result<std::string>;
[[nodiscard]] auto decode_members(std::string_view text, void* value, read_members read, json_limits limits) -> result<void>;

}  // namespace detail

/// The `T` that the JSON object `text` denotes. Unknown members are ignored, a missing or mistyped one is an error. Errors:
/// `malformed_payload`, naming the member.
template <serializable T>
[[nodiscard]] auto decode(std::string_view text, json_limits limits = {}) -> result<T> {
  if constexpr (std::is_empty_v<T>) {
    if (auto checked = json_check(text, limits); !checked) return checked.failure();
    return T();
  } else {
    std::optional<T> value;
    const auto read = [](void* into, cereal::JSONInputArchive& archive) {
      static_cast<std::optional<T>*>(into)->emplace().serialize(archive);
    };
    if (auto done = detail::decode_members(text, &value, read, limits); !done) return done.failure();
    return std::move(*value);
  }
}

/// `value` as one compact JSON object without a wrapper; `{}` for a type without members. Errors: `malformed_payload` when
/// the value holds something that JSON or jsonb cannot (NaN, Infinity, NUL, text that is no UTF-8), or exceeds `limits`,
/// when two members have one name, when members without a name stand beside named ones and do not read back in jsonb's order,
/// or when its `serialize` throws. -0.0 is written as 0.0, which is what jsonb makes of it.
template <serializable T>
[[nodiscard]] auto encode(const T& value, json_limits limits = {}) -> result<std::string> {
  if constexpr (std::is_empty_v<T>) {
    return std::string("{}");
  } else {
    static constexpr auto write = [](const void* from, cereal::JSONOutputArchive& archive) {
      const_cast<T*>(static_cast<const T*>(from))->serialize(archive);  // cereal's contract: writing leaves the value as it is
    };
    const auto rewrite = [](std::string_view text, json_limits bounds) -> result<std::string> {
      auto again = decode<T>(text, bounds);
      if (!again) return again.failure();
      return detail::written_members(&*again, write, bounds);
    };
    return detail::encode_members(&value, write, rewrite, limits);
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
