// Between C++ structs and the JSON objects that are stored and sent: cereal does the work, this file adds the guards
// that cereal lacks. An author's type needs `serialize`, or `save` and `load`, as cereal defines them: a member (a
// private one with `friend class cereal::access`) or a free function in the type's namespace. cereal's class versions
// are not supported: a member that old texts lack is read with `optional_member`. All members have names, a base class, too:
// PostgreSQL keeps them in an order of its own. archive(cereal::make_nvp("item", cereal::base_class<item>(this)), CEREAL_NVP(price));
// An enum is written as its number. Its author can say which values it has, by a function beside it (a friend, for an
// enum inside of a class):
//   enum class color : std::uint8_t { red, green };
//   constexpr auto defined_values(color) { return std::array{color::red, color::green}; }
// Then another value is refused, by the member's name: in a command, in a call, and in an event that is to be recorded.
// What is stored already reads as it is, also a value that the enum has no more, and so do states and snapshots.
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
#include <cfloat>
#include <concepts>
#include <cstdint>
#include <iterator>
#include <limits>
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

// A value that does not fit its type. For others that use cereal it is an exception of cereal's.
class unfit_value : public cereal::RapidJSONException {
 public:
  explicit unfit_value(const std::string& what, bool named = false)
      : RapidJSONException(what.c_str()), is_named_(named) {}
  [[nodiscard]] auto is_named() const noexcept -> bool { return is_named_; }

 private:
  bool is_named_;
};

[[noreturn]] void refuse_range();
[[noreturn]] void refuse_undefined(std::string value);
// The refusal in flight, with the name of the member that it is about. Only for use in a `catch` block.
[[noreturn]] void refuse_member(const char* name, bool is_list, const char* found = nullptr);

// Whether enums with `defined_values` are held to them by what this thread encodes or decodes now.
[[nodiscard]] auto values_must_be_defined() noexcept -> bool;

template <class T>
concept any_type = true;
template <class T>
inline constexpr bool is_list = requires(T& value) {
  std::begin(value);
};

template <class T>
concept has_defined_values = std::is_enum_v<T> && requires(T value) {
  std::begin(defined_values(value));
};

template <class T>
void check_defined(T value) {
  if (!values_must_be_defined()) return;
  const auto known = defined_values(value);
  for (const auto each : known)
    if (each == value) return;
  refuse_undefined(std::to_string(static_cast<std::underlying_type_t<T>>(value)));
}

// cereal reads what is narrower than an int as an int, and cuts it off.
template <class T>
void load_narrow(cereal::JSONInputArchive& archive, T& value) {
  std::conditional_t<std::is_signed_v<T>, std::int32_t, std::uint32_t> read = 0;
  archive.loadValue(read);
  if (read < std::numeric_limits<T>::min() || read > std::numeric_limits<T>::max()) refuse_range();
  value = static_cast<T>(read);
}

}  // namespace maestro::detail

// More special than cereal's own for any arithmetic type, so these are chosen.
namespace cereal {

inline void load(JSONInputArchive& archive, char& value) {
  maestro::detail::load_narrow(archive, value);
}
inline void load(JSONInputArchive& archive, signed char& value) {
  maestro::detail::load_narrow(archive, value);
}
inline void load(JSONInputArchive& archive, unsigned char& value) {
  maestro::detail::load_narrow(archive, value);
}
inline void load(JSONInputArchive& archive, char8_t& value) {
  maestro::detail::load_narrow(archive, value);
}
inline void load(JSONInputArchive& archive, char16_t& value) {
  maestro::detail::load_narrow(archive, value);
}
inline void load(JSONInputArchive& archive, short& value) {
  maestro::detail::load_narrow(archive, value);
}
inline void load(JSONInputArchive& archive, unsigned short& value) {
  maestro::detail::load_narrow(archive, value);
}
inline void load(JSONInputArchive& archive, float& value) {
  double read = 0;
  archive.loadValue(read);
  if (read > FLT_MAX || read < -FLT_MAX) maestro::detail::refuse_range();
  value = static_cast<float>(read);
}

// A member: what is refused in it is told by its name.
template <class T>
requires maestro::detail::any_type<T>
void load(JSONInputArchive& archive, NameValuePair<T>& member) {
  try {
    archive.setNextName(member.name);
    archive(member.value);
  } catch (const RapidJSONException&) {
    maestro::detail::refuse_member(member.name, maestro::detail::is_list<std::remove_reference_t<T>>,
                                   archive.getNodeName());
  }
}
template <class T>
requires maestro::detail::any_type<T>
void save(JSONOutputArchive& archive, const NameValuePair<T>& member) {
  try {
    archive.setNextName(member.name);
    archive(member.value);
  } catch (const maestro::detail::unfit_value&) {
    maestro::detail::refuse_member(member.name, maestro::detail::is_list<std::remove_reference_t<T>>);
  }
}

template <class T>
requires maestro::detail::has_defined_values<T>
auto save_minimal(const JSONOutputArchive&, const T& value) -> std::underlying_type_t<T> {
  maestro::detail::check_defined(value);
  return static_cast<std::underlying_type_t<T>>(value);
}
template <class T>
requires maestro::detail::has_defined_values<T>
void load_minimal(const JSONInputArchive&, T& value, const std::underlying_type_t<T>& read) {
  maestro::detail::check_defined(static_cast<T>(read));
  value = static_cast<T>(read);
}

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
    if (digits.size() > Size || digits.find_first_not_of("01") != std::string::npos) maestro::detail::refuse_range();
    bits = std::bitset<Size>(digits);
  } else {
    std::uint64_t number = 0;
    archive(make_nvp("data", number));
    if (Size < 64 && number >> (Size < 64 ? Size : 0) != 0) maestro::detail::refuse_range();
    bits = std::bitset<Size>(number);
  }
}

}  // namespace cereal

namespace maestro {

namespace detail {

// cereal's free functions for the standard library's types write lists and single values, which are no objects.
template <class T>
constexpr auto is_of_the_standard_library() -> bool {
  const std::string_view text =
      __PRETTY_FUNCTION__;  // g++ writes "[with T = std::vector<int>; ...]", clang "[T = std::vector<int>]".
  return text.substr(text.find("T = ") + 4).starts_with("std::");
}

template <class T>
concept may_have_free_functions = std::is_class_v<T> && !is_of_the_standard_library<T>();

using cereal_out = cereal::JSONOutputArchive;
using cereal_in = cereal::JSONInputArchive;

template <class T>
concept writes_members = cereal::traits::has_member_serialize<T, cereal_out>::value ||
    cereal::traits::has_member_save<T, cereal_out>::value ||
    (may_have_free_functions<T> && (cereal::traits::has_non_member_serialize<T, cereal_out>::value ||
                                    cereal::traits::has_non_member_save<T, cereal_out>::value));
template <class T>
concept reads_members = cereal::traits::has_member_serialize<T, cereal_in>::value ||
    cereal::traits::has_member_load<T, cereal_in>::value ||
    (may_have_free_functions<T> && (cereal::traits::has_non_member_serialize<T, cereal_in>::value ||
                                    cereal::traits::has_non_member_load<T, cereal_in>::value));

/// Whether what `T` has of cereal's functions takes a class version.
template <class T>
inline constexpr bool is_versioned = cereal::traits::has_member_versioned_serialize<T, cereal_out>::value ||
                                     cereal::traits::has_member_versioned_save<T, cereal_out>::value ||
                                     cereal::traits::has_non_member_versioned_serialize<T, cereal_out>::value ||
                                     cereal::traits::has_non_member_versioned_save<T, cereal_out>::value;

// What cereal would do with a part, but without a name or an object around it.
template <class T>
void write_object(cereal_out& archive, const T& value) {
  // cereal's contract: writing with `serialize` leaves the value as it is.
  if constexpr (cereal::traits::has_member_serialize<T, cereal_out>::value)
    cereal::access::member_serialize(archive, const_cast<T&>(value));
  else if constexpr (cereal::traits::has_member_save<T, cereal_out>::value)
    cereal::access::member_save(archive, value);
  else if constexpr (cereal::traits::has_non_member_serialize<T, cereal_out>::value)
    serialize(archive, const_cast<T&>(value));
  else
    save(archive, value);
}
template <class T>
void read_object(cereal_in& archive, T& value) {
  if constexpr (cereal::traits::has_member_serialize<T, cereal_in>::value)
    cereal::access::member_serialize(archive, value);
  else if constexpr (cereal::traits::has_member_load<T, cereal_in>::value)
    cereal::access::member_load(archive, value);
  else if constexpr (cereal::traits::has_non_member_serialize<T, cereal_in>::value)
    serialize(archive, value);
  else
    load(archive, value);
}

}  // namespace detail

/// A type that can be stored and sent: default constructible, copyable, and with cereal's `serialize`, or `save` and
/// `load`, as members or as free functions. A type without any members needs none.
template <class T>
concept serializable = std::is_default_constructible_v<T> && std::is_copy_constructible_v<T> &&
    (std::is_empty_v<T> || (detail::writes_members<T> && detail::reads_members<T>));

namespace detail {

// cereal's parser and writer are large: with the archives behind a pointer to the members' own code they are compiled once, in
// codec.cpp, and not in every file that stores or sends something.
using write_members = void (*)(const void* value, cereal::JSONOutputArchive& archive);
using read_members = void (*)(void* value, cereal::JSONInputArchive& archive);
// Writes `value` a second time, by way of `text`: reads it, and writes what came of it.
using rewrite_members = result<std::string> (*)(std::string_view text, json_limits limits);
[[nodiscard]] auto encode_members(const void* value, write_members write, rewrite_members rewrite, json_limits limits)
    -> result<compact_json>;
// What a type writes, without a look at the order of its members.
[[nodiscard]] auto written_members(const void* value, write_members write, json_limits limits) -> result<compact_json>;
[[nodiscard]] auto decode_members(std::string_view text, void* value, read_members read, json_limits limits) -> result<void>;

}  // namespace detail

/// The `T` that the JSON object `text` denotes. Unknown members are ignored, -0.0 is read as 0.0. Errors:
/// `malformed_payload`, naming the member, where one is missing, has the wrong type, is beyond its type's range, or is
/// none of its enum's `defined_values`.
template <serializable T>
[[nodiscard]] auto decode(std::string_view text, json_limits limits = {}) -> result<T> {
  if constexpr (std::is_empty_v<T>) {
    if (auto checked = json_check(text, limits); !checked) return checked.failure();
    return T();
  } else {
    std::optional<T> value;
    const auto read = [](void* into, cereal::JSONInputArchive& archive) {
      detail::read_object(archive, static_cast<std::optional<T>*>(into)->emplace());
    };
    if (auto done = detail::decode_members(text, &value, read, limits); !done) return done.failure();
    return std::move(*value);
  }
}

/// `encode`, and whether the text denotes another value than `value`: it holds 0.0 for -0.0.
template <serializable T>
[[nodiscard]] auto encode_noting(const T& value, json_limits limits = {}) -> result<compact_json> {
  if constexpr (std::is_empty_v<T>) {
    return compact_json{"{}"};
  } else {
    static constexpr auto write = [](const void* from, cereal::JSONOutputArchive& archive) {
      detail::write_object(archive, *static_cast<const T*>(from));
    };
    const auto rewrite = [](std::string_view text, json_limits bounds) -> result<std::string> {
      auto again = decode<T>(text, bounds);
      if (!again) return again.failure();
      auto written = detail::written_members(&*again, write, bounds);
      if (!written) return written.failure();
      return std::move(written->text);
    };
    return detail::encode_members(&value, write, rewrite, limits);
  }
}

/// `value` as one compact JSON object without a wrapper; `{}` for a type without members. Errors: `malformed_payload`
/// when the value holds something that JSON or jsonb cannot (NaN, Infinity, NUL, text that is no UTF-8), or exceeds
/// `limits`, when two members have one name, when members without a name stand beside named ones and do not read back
/// in jsonb's order, when an enum has none of its `defined_values`, or when its `serialize` throws. -0.0 is written as
/// 0.0, which is what jsonb makes of it; a node applies an event as it will be read back. A state keeps a -0.0 of its
/// own making until it is read from a snapshot.
template <serializable T>
[[nodiscard]] auto encode(const T& value, json_limits limits = {}) -> result<std::string> {
  auto written = encode_noting(value, limits);
  if (!written) return std::move(written).failure();
  return std::move(written->text);
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
