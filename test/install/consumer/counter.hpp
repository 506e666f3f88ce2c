// The consumer's aggregate, which its program and its test share.
#pragma once

#include <maestro/aggregates/aggregate.hpp>

#include <cstdint>
#include <string_view>

struct add {
  std::int64_t amount = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(amount));
  }
};

struct added : add {};

struct total {
  std::int64_t value = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(value));
  }
};

class counter : public maestro::aggregate<counter, total> {
 public:
  static constexpr std::string_view type = "counter";
  using commands = maestro::commands<add>;
  using events = maestro::events<added>;

  static auto eval(const total&, const add& command) -> maestro::result<added> {
    if (command.amount <= 0) return maestro::reject("only up");
    return added{command};
  }
  static void apply(total& state, const added& event) { state.value += event.amount; }
};
