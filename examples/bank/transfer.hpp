// Moving money from one account to another: an aggregate that remembers how far it has come, so that whoever drives it
// (transfer_driver.hpp) can go on after any interruption. Money leaves the first account, then enters the second one; what cannot
// enter goes back.
#pragma once

#include <maestro/aggregates/aggregate.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bank {

// --- commands -------------------------------------------------------------------------------------------------------------

/// Of the account known by the name `from` to the one known by `to`.
struct begin {
  std::string from;
  std::string to;
  std::int64_t cents = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(from), CEREAL_NVP(to), CEREAL_NVP(cents));
  }
};

// The driver's notes. One that comes again, or too late, changes nothing.
struct note_payment {};
struct note_delivery {};
struct note_return {};
/// Of the payment, or of the delivery.
struct note_refusal {
  std::string reason;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(reason));
  }
};

// --- events ---------------------------------------------------------------------------------------------------------------

struct begun {
  std::string from;
  std::string to;
  std::int64_t cents = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(from), CEREAL_NVP(to), CEREAL_NVP(cents));
  }
};
/// The money has left the first account.
struct payment_made {};
/// It is on the second one: the transfer is done.
struct delivered {};
/// There was no money to move: the transfer is over.
struct declined {
  std::string reason;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(reason));
  }
};
/// The second account would not take it: it has to go back.
struct turned_away {
  std::string reason;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(reason));
  }
};
/// It is back: the transfer is over.
struct returned {};

// --- state ----------------------------------------------------------------------------------------------------------------

/// Where the money is, and where it is to go next.
namespace stage {
inline constexpr std::string_view paying = "paying";          ///< Still on the first account.
inline constexpr std::string_view delivering = "delivering";  ///< On its way to the second one.
inline constexpr std::string_view returning = "returning";    ///< On its way back.
inline constexpr std::string_view done = "done";
inline constexpr std::string_view failed = "failed";
}  // namespace stage

struct transfer_state {
  std::string from;
  std::string to;
  std::int64_t cents = 0;
  std::string stage;   ///< Empty before it has begun.
  std::string reason;  ///< Why it failed.
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(from), CEREAL_NVP(to), CEREAL_NVP(cents), CEREAL_NVP(stage), CEREAL_NVP(reason));
  }
};

// --- projection -----------------------------------------------------------------------------------------------------------

/// The transfers that are not over, for the driver: what to do next, and the command that began it.
struct open_transfers {
  static auto schema() -> std::vector<maestro::schema_step>;
  static void project(maestro::transaction& tx, const begun& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const payment_made& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const turned_away& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const delivered& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const declined& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const returned& event, const maestro::event& row);
};

// --- the aggregate --------------------------------------------------------------------------------------------------------

class transfer : public maestro::aggregate<transfer, transfer_state> {
 public:
  static constexpr std::string_view type = "transfer";
  using commands = maestro::commands<begin, note_payment, note_delivery, note_return, note_refusal>;
  using events = maestro::events<begun, payment_made, delivered, declined, turned_away, returned>;
  using projections = maestro::projections<open_transfers>;

  static auto eval(const transfer_state& state, const begin& command) -> maestro::result<begun>;
  static auto eval(const transfer_state& state, const note_payment& command) -> std::optional<payment_made>;
  static auto eval(const transfer_state& state, const note_delivery& command) -> std::optional<delivered>;
  static auto eval(const transfer_state& state, const note_return& command) -> std::optional<returned>;
  static auto eval(const transfer_state& state, const note_refusal& command) -> maestro::emits<declined, turned_away>;

  static void apply(transfer_state& state, const begun& event);
  static void apply(transfer_state& state, const payment_made& event);
  static void apply(transfer_state& state, const delivered& event);
  static void apply(transfer_state& state, const declined& event);
  static void apply(transfer_state& state, const turned_away& event);
  static void apply(transfer_state& state, const returned& event);
};

}  // namespace bank

extern template auto maestro::define<bank::transfer>() -> maestro::definition_ptr;
