// The type-erased face of an aggregate type: what the lifecycle works with. Templates bind an author's class to this
// interface (bind.hpp); everything else is ordinary code.
#pragma once

#include <maestro/aggregates/aggregate.hpp>
#include <maestro/aggregates/placement.hpp>
#include <maestro/store/projection.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace maestro {

/// An aggregate's state; only its definition knows the type.
using state_ptr = std::shared_ptr<void>;

struct decoded_command {
  std::size_t index = 0;  ///< Which of the aggregate's commands.
  std::shared_ptr<const void> value;
};

/// An event that `eval` returned, encoded already, so that one which cannot be stored fails its command early.
struct emitted_event {
  std::string_view type;
  std::string body;
  std::shared_ptr<const void> value;  ///< As `body` will be read back.
};

/// What one command may record. Beyond it the command is refused as `invalid_event`.
struct event_bounds {
  std::size_t events = 10'000;
  std::size_t bytes = 32 * 1024 * 1024;  ///< Of their bodies and metadata.
  std::size_t metadata_bytes = 0;        ///< What each event has beside its body.
};

/// What a program can do with the aggregates of one type, by name. The texts live as long as the program.
struct served_names {
  std::vector<std::string_view> commands;
  std::vector<std::string_view> events;  ///< That it can read in the log: today's, and those of former forms and names.
  std::vector<std::string_view> calls;
};

/// One projection of an aggregate type: what it takes to fill its tables anew.
struct projection_definition {
  std::string name;
  std::shared_ptr<const maestro::projector> projector;
  std::vector<migration> schema;
  bool ordered_between_aggregates = false;
};

/// One aggregate type. Immutable; any thread may call any member. No member throws: an exception from an author's code
/// becomes an error.
class definition {
 public:
  virtual ~definition() = default;

  [[nodiscard]] virtual auto type() const -> std::string_view = 0;
  /// The author's class, with its namespaces: for people.
  [[nodiscard]] virtual auto class_name() const -> std::string_view = 0;
  [[nodiscard]] virtual auto names() const -> served_names = 0;
  [[nodiscard]] virtual auto snapshot_version() const -> int = 0;
  [[nodiscard]] virtual auto lifecycle() const -> const lifecycle_policy& = 0;
  /// The member that aggregate `id` lives on: an index into the names of `members`, which is not empty.
  [[nodiscard]] virtual auto place(const aggregate_id& id, const placement& members) const -> std::size_t = 0;

  [[nodiscard]] virtual auto initial_state() const -> result<state_ptr> = 0;
  [[nodiscard]] virtual auto clone(const state_ptr& state) const -> result<state_ptr> = 0;
  [[nodiscard]] virtual auto encode_state(const state_ptr& state) const -> result<std::string> = 0;

  /// Errors: `unknown_command`, `malformed_payload`.
  [[nodiscard]] virtual auto decode_command(std::string_view name, std::string_view payload) const
      -> result<decoded_command> = 0;
  /// The events of the command, or why not: what `eval` answered, `program_failed`, `invalid_event`.
  /// No event beyond `bounds` is encoded.
  [[nodiscard]] virtual auto eval(const state_ptr& state, const decoded_command& command, const context& with,
                                  const event_bounds& bounds = {}) const -> result<std::vector<emitted_event>> = 0;

  /// Applies what `eval` emitted to `state`, in place. After an error (`program_failed`) the state is unusable.
  [[nodiscard]] virtual auto apply(const state_ptr& state, std::string_view type, const void* event) const
      -> result<void> = 0;
  /// Applies a row of the log to `state`, in place; what is of an old form is brought up to date first. After an error the state
  /// is unusable. Errors: `cannot_hydrate` (an unknown type, a body that does not decode, a failed upcast), `program_failed`.
  [[nodiscard]] virtual auto enter(const state_ptr& state, const event& row) const -> result<void> = 0;

  /// What a snapshot would store, however large it is.
  [[nodiscard]] virtual auto prepare_snapshot(const state_ptr& state) const -> result<std::string> = 0;
  [[nodiscard]] virtual auto use_snapshot(std::string_view body) const -> result<state_ptr> = 0;

  /// The reply to a message of the aggregate's own, as JSON. Errors: `unknown_call`, `malformed_payload`, `program_failed`.
  [[nodiscard]] virtual auto call(const state_ptr& state, std::string_view name, std::string_view payload) const
      -> result<std::string> = 0;

  /// Null when the aggregate has no projections.
  [[nodiscard]] virtual auto projector() const -> const std::shared_ptr<const maestro::projector>& = 0;
  /// Its projections, each on its own.
  [[nodiscard]] virtual auto projections() const -> std::vector<projection_definition> = 0;
  /// The schemas of its projections.
  [[nodiscard]] auto migrations() const -> std::vector<migration> {
    std::vector<migration> steps;
    for (const auto& projection : projections())
      steps.insert(steps.end(), projection.schema.begin(), projection.schema.end());
    return steps;
  }
};

/// Checks what is to be registered together: each definition is there, and no two have one type. Errors:
/// `invalid_argument`, which names the classes.
[[nodiscard]] auto check_definitions(std::span<const definition_ptr> types) -> result<void>;

}  // namespace maestro
