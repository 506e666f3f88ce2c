// A bank account: the aggregate of the README. Nothing here knows of actors, databases or networks.
#pragma once

#include <maestro/aggregates/aggregate.hpp>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace bank {

// --- commands: what one may ask of an account -----------------------------------------------------------------------------

struct open {
  std::string owner;
  std::string handle;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(owner), CEREAL_NVP(handle));
  }
};

struct deposit {
  std::int64_t cents = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(cents));
  }
};

struct withdraw {
  std::int64_t cents = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(cents));
  }
};

struct close {};

// What a transfer asks of the two accounts (transfer.hpp). The answer is an event in any case: whoever asks again, under the same
// command id, is told the same, so that a transfer that was interrupted cannot go two ways.

/// Gives `cents` to the transfer, if they are there.
struct pay {
  std::string transfer;
  std::int64_t cents = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(transfer), CEREAL_NVP(cents));
  }
};

/// Takes `cents` from the transfer, if the account is open.
struct collect {
  std::string transfer;
  std::int64_t cents = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(transfer), CEREAL_NVP(cents));
  }
};

/// Takes back what it has given, open or not.
struct take_back {
  std::string transfer;
  std::int64_t cents = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(transfer), CEREAL_NVP(cents));
  }
};

// --- events: what can have happened to it ---------------------------------------------------------------------------------

struct opened {
  std::string owner;
  std::string handle;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(owner), CEREAL_NVP(handle));
  }
};

struct deposited {
  std::int64_t cents = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(cents));
  }
};

struct withdrawn {
  std::int64_t cents = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(cents));
  }
};

struct closed {};

struct paid {
  std::string transfer;
  std::int64_t cents = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(transfer), CEREAL_NVP(cents));
  }
};

struct payment_refused {
  std::string transfer;
  std::string reason;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(transfer), CEREAL_NVP(reason));
  }
};

struct collected {
  std::string transfer;
  std::int64_t cents = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(transfer), CEREAL_NVP(cents));
  }
};

struct collection_refused {
  std::string transfer;
  std::string reason;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(transfer), CEREAL_NVP(reason));
  }
};

// --- state: what follows from the events ----------------------------------------------------------------------------------

struct account_state {
  std::string owner;
  std::string handle;
  std::int64_t balance = 0;
  bool open = false;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(owner), CEREAL_NVP(handle), CEREAL_NVP(balance), CEREAL_NVP(open));
  }
};

// --- projections: rows that are committed together with the events ----------------------------------------------------------

/// The balance of every open account, for whoever wants to sum or sort them; and what closed ones have got back.
struct balances {
  static auto schema() -> std::vector<maestro::schema_step>;
  static void project(maestro::transaction& tx, const opened& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const deposited& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const withdrawn& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const closed& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const paid& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const collected& event, const maestro::event& row);
};

/// A handle belongs to one open account at most: the table's unique index sees to it.
struct handles {
  static auto schema() -> std::vector<maestro::schema_step>;
  static void project(maestro::transaction& tx, const opened& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const closed& event, const maestro::event& row);
};

// --- the aggregate ----------------------------------------------------------------------------------------------------------

class account : public maestro::aggregate<account, account_state> {
 public:
  static constexpr std::string_view type = "account";
  using commands = maestro::commands<open, deposit, withdraw, close, pay, collect, take_back>;
  using events = maestro::events<opened, deposited, withdrawn, closed, paid, payment_refused, collected, collection_refused>;
  using projections = maestro::projections<balances, handles>;

  static auto eval(const account_state& state, const open& command) -> maestro::result<opened>;
  static auto eval(const account_state& state, const deposit& command) -> maestro::result<deposited>;
  static auto eval(const account_state& state, const withdraw& command) -> maestro::result<withdrawn>;
  static auto eval(const account_state& state, const close& command) -> maestro::result<closed>;
  static auto eval(const account_state& state, const pay& command) -> std::variant<paid, payment_refused>;
  static auto eval(const account_state& state, const collect& command) -> std::variant<collected, collection_refused>;
  static auto eval(const account_state& state, const take_back& command) -> maestro::result<collected>;

  static void apply(account_state& state, const opened& event);
  static void apply(account_state& state, const deposited& event);
  static void apply(account_state& state, const withdrawn& event);
  static void apply(account_state& state, const closed& event);
  static void apply(account_state& state, const paid& event);
  static void apply(account_state&, const payment_refused&) {}
  static void apply(account_state& state, const collected& event);
  static void apply(account_state&, const collection_refused&) {}
};

}  // namespace bank

extern template auto maestro::define<bank::account>() -> maestro::definition_ptr;
