// Registered names: what a type is called in the log, on the wire and on the command line.
#pragma once

#include <concepts>
#include <iterator>
#include <string_view>
#include <type_traits>

namespace maestro {

namespace detail {

template <class T>
constexpr auto qualified_name() -> std::string_view {
  std::string_view text = __PRETTY_FUNCTION__;
  // g++ writes "[with T = ns::name; ...]", clang "[T = ns::name]".
  const auto start = text.find("T = ") + 4;
  auto end = text.find_first_of(";]", start);
  return text.substr(start, end - start);
}

template <class T>
constexpr auto unqualified_name() -> std::string_view {
  const std::string_view text = qualified_name<T>();
  const auto colon = text.rfind("::");
  return colon == std::string_view::npos ? text : text.substr(colon + 2);
}

template <class T>
concept has_registered_name = requires {
  { T::registered_name } -> std::convertible_to<std::string_view>;
} && !std::is_member_object_pointer_v<decltype(&T::registered_name)>;

template <class T>
concept has_former_names = requires {
  { *std::begin(T::former_names) } -> std::convertible_to<std::string_view>;
};

}  // namespace detail

/// The name that `T` is registered under: its member `static constexpr std::string_view registered_name`, or else the C++
/// type's own name without its namespaces (a template's instance needs the member). Event names are persisted: before
/// renaming the C++ type of an event that is in use, give it a `registered_name` that says the old name.
template <class T>
[[nodiscard]] constexpr auto registered_name() -> std::string_view {
  if constexpr (detail::has_registered_name<T>) {
    return T::registered_name;
  } else {
    static_assert(detail::unqualified_name<T>().find_first_of("<>(){} ") == std::string_view::npos,
                  "maestro: an instance of a template has no name of its own to persist: give it a registered_name");
    return detail::unqualified_name<T>();
  }
}

/// Types that begin with it are the runtime's own.
inline constexpr char reserved_type_mark = '$';
/// The type of a row that records a rejection (recorded_rejection.hpp).
inline constexpr std::string_view recorded_rejection_type = "$rejected";

/// Calls `use` with each name that the log may know `T` by: its registered name, then those in its member `former_names`, as
/// `static constexpr std::string_view former_names[] = {"money_in"};` declares them for an event that was renamed.
template <class T, class Use>
constexpr void for_each_stored_name(Use&& use) {
  use(registered_name<T>());
  if constexpr (detail::has_former_names<T>)
    for (const std::string_view name : T::former_names) use(name);
}

/// Whether a row of the log whose type is `name` holds a `T`.
template <class T>
[[nodiscard]] constexpr auto is_stored_as(std::string_view name) -> bool {
  bool found = false;
  for_each_stored_name<T>([&](std::string_view known) { found = found || known == name; });
  return found;
}

}  // namespace maestro
