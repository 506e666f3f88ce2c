// Failure as a value: one list of codes with numbers that are never reused, in four kinds that tell a caller what to do.
#pragma once

#include <cassert>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace maestro {

/// What a failure means to the caller.
enum class error_kind : std::uint8_t {
  rejected,   ///< The command will not happen as it stands; nothing was stored.
  retryable,  ///< Nothing was stored; the same command may succeed later.
  in_doubt,   ///< The outcome is not known; ask again with the same command id.
  broken,     ///< This aggregate cannot be loaded, or the runtime itself is at fault.
  usage,      ///< An argument, setting or file is wrong; nothing was attempted.
};

/// Every failure the runtime can answer. Numbers are part of the wire protocol: explicit, and never reused. The hundreds
/// give the kind.
enum class errc : std::uint16_t {
  none = 0,

  rejected = 100,                  ///< The domain said no, with its own reason.
  unknown_aggregate_type = 101,    ///< The node has no aggregate registered under that name.
  unknown_command = 102,           ///< The aggregate has no such command.
  wrong_aggregate_type = 103,      ///< The id belongs to an aggregate of another type.
  wrong_sequence = 104,            ///< The caller expected another sequence.
  malformed_payload = 105,         ///< JSON that is broken, too big, too deep, or of the wrong shape.
  // 106 and 107 were the exceptions of `eval` and `apply`, which no caller can help: see `program_failed`.
  projection_failed = 108,         ///< A row that a projection writes violates a constraint of its table, which is named.
  command_id_reused = 109,         ///< The command id was already used for a different command.
  command_id_from_the_future = 110,  ///< The command id's time is beyond the allowed clock drift.
  invalid_event = 111,             ///< `eval` emitted an event that cannot be stored.
  sequence_exhausted = 112,        ///< The aggregate has reached `max_sequence()`.
  unknown_call = 113,              ///< The aggregate handles no such message.

  too_many_conflicts = 200,  ///< Other writers were faster, as often as the retry limit allows.
  overloaded = 201,          ///< A bound on work in flight was reached, or there is no memory for it.
  store_unavailable = 202,   ///< The store could not be reached; nothing was written.
  not_the_owner = 203,       ///< Another node owns the aggregate.
  timed_out = 204,           ///< The command expired before it reached the store.
  node_unavailable = 205,    ///< No node answered at that address.
  shutting_down = 206,       ///< The node is draining; another one may serve.
  sequence_not_reached = 207,  ///< The store does not hold the sequence that the caller asked to see.
  not_served = 208,          ///< No member of the cluster that is up serves it; one of another release would.
  retry_command = 210,       ///< Inside the runtime only: the sequence was taken; evaluate again.

  in_doubt = 300,  ///< The deadline passed, or the connection broke, while the outcome was unknown.

  cannot_hydrate = 400,     ///< The aggregate's history holds something that this program cannot read.
  internal_error = 401,     ///< A defect in the runtime, said as far as it is known.
  protocol_mismatch = 402,  ///< The peer speaks another version of the wire protocol.
  /// The aggregate's own program is at fault: `eval`, `apply` or a call threw, or a projection's code or SQL failed otherwise than by a
  /// constraint. Nothing was stored. The node's log says it, too.
  program_failed = 406,

  invalid_argument = 500,    ///< A command line argument or a request's parameter is wrong.
  invalid_setting = 501,     ///< A setting is unknown, mistyped or out of range.
  store_in_use = 502,        ///< Another process holds the embedded store.
  address_in_use = 503,      ///< The port is taken.
  schema_too_new = 504,      ///< The store's schema asks for a newer program.
  name_in_use = 505,         ///< A node of that name is a member of the cluster.
};

/// The kind of `code`; `errc::none` counts as rejected and is never part of an error.
[[nodiscard]] constexpr auto kind_of(errc code) noexcept -> error_kind {
  switch (static_cast<std::uint16_t>(code) / 100) {
    case 2: return error_kind::retryable;
    case 3: return error_kind::in_doubt;
    case 4: return error_kind::broken;
    case 5: return error_kind::usage;
    default: return error_kind::rejected;
  }
}

/// The enumerator's own name, for example `"wrong_sequence"`; `"unknown_error"` for a number from a newer peer.
[[nodiscard]] auto to_string(errc code) noexcept -> std::string_view;
[[nodiscard]] auto to_string(error_kind kind) noexcept -> std::string_view;

/// A code and one line for people: what happened, to which aggregate, command or setting, and what to do about it.
struct error {
  errc code = errc::none;
  std::string message;
  bool is_recorded = false;  ///< A rejection that the log is to remember; see `reject`. No caller is told so.
  bool is_damage = false;    ///< The store works; what was asked of it is damaged, perhaps nothing else. No caller is told so.

  /// The same rejection, for the log to remember. Any other error stays as it is.
  [[nodiscard]] auto recorded() const -> error {
    error copy = *this;
    copy.is_recorded = code == errc::rejected;
    return copy;
  }
  [[nodiscard]] auto kind() const noexcept -> error_kind { return kind_of(code); }
  /// True when there is an error.
  [[nodiscard]] explicit operator bool() const noexcept { return code != errc::none; }
  friend auto operator==(const error&, const error&) -> bool = default;
};

/// `code: message` on one line.
[[nodiscard]] auto to_string(const error& failure) -> std::string;

/// The domain's own "no": `return maestro::reject("insufficient funds");`
/// It leaves no trace: the same command, sent again under its id when the state has changed, may be accepted.
///
/// `return maestro::reject("the offer has ended").recorded();` is final: each repetition of the command, on whichever
/// node and after every restart, gets the same answer. The log remembers it as an event of the runtime's own,
/// `$rejected`, which changes no state and which no projection sees. It costs a commit, and takes a sequence of the
/// aggregate as any event does. Its reason is UTF-8 text of at most 4,096 bytes; a longer one is answered
/// `invalid_event`, and nothing is recorded.
[[nodiscard]] inline auto reject(std::string reason) -> error { return {errc::rejected, std::move(reason)}; }

/// A value or an error. Converts from both, so a function returns either; `operator bool` is true for a value.
template <class T>
class [[nodiscard]] result {
 public:
  using value_type = T;

  result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  result(maestro::error failure) : content_(std::in_place_index<1>, std::move(failure)) { assert(this->failure()); }

  /// Converts from whatever `T` converts from, so that `return deposited{5};` does for `result<std::optional<deposited>>`.
  template <class U>
    requires(std::is_convertible_v<U, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
             !std::is_same_v<std::remove_cvref_t<U>, result> && !std::is_same_v<std::remove_cvref_t<U>, maestro::error>)
  result(U&& value) : content_(std::in_place_index<0>, std::forward<U>(value)) {}

  [[nodiscard]] explicit operator bool() const noexcept { return content_.index() == 0; }
  [[nodiscard]] auto has_value() const noexcept -> bool { return content_.index() == 0; }

  /// The value; the result must hold one.
  [[nodiscard]] auto value() & -> T& { return (assert(has_value()), std::get<0>(content_)); }
  [[nodiscard]] auto value() const& -> const T& { return (assert(has_value()), std::get<0>(content_)); }
  [[nodiscard]] auto value() && -> T&& { return (assert(has_value()), std::get<0>(std::move(content_))); }
  [[nodiscard]] auto operator*() & -> T& { return value(); }
  [[nodiscard]] auto operator*() const& -> const T& { return value(); }
  [[nodiscard]] auto operator*() && -> T&& { return std::move(*this).value(); }
  [[nodiscard]] auto operator->() -> T* { return &value(); }
  [[nodiscard]] auto operator->() const -> const T* { return &value(); }

  /// The error; the result must hold one.
  [[nodiscard]] auto failure() const& -> const maestro::error& { return std::get<1>(content_); }
  [[nodiscard]] auto failure() && -> maestro::error&& { return std::get<1>(std::move(content_)); }

 private:
  std::variant<T, maestro::error> content_;
};

/// Success, or an error.
template <>
class [[nodiscard]] result<void> {
 public:
  using value_type = void;

  result() = default;
  result(maestro::error failure) : failure_(std::move(failure)) { assert(*failure_); }

  [[nodiscard]] explicit operator bool() const noexcept { return !failure_; }
  [[nodiscard]] auto has_value() const noexcept -> bool { return !failure_; }
  [[nodiscard]] auto failure() const& -> const maestro::error& { return (assert(failure_), *failure_); }
  [[nodiscard]] auto failure() && -> maestro::error&& { return (assert(failure_), std::move(*failure_)); }

 private:
  std::optional<maestro::error> failure_;
};

}  // namespace maestro
