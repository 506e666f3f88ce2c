// A whole program that knows Maestro as an installed package only: an aggregate, a node on a store in memory, a client.
#include <maestro/aggregates/aggregate.hpp>
#include <maestro/runtime/node.hpp>

#include <cstdint>
#include <iostream>
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

int main() {
  maestro::node_settings settings;
  settings.store_uri = "sqlite::memory:";
  settings.port = 0;
  settings.log_level = "warn";
  const auto node = maestro::node::start(settings, {maestro::define<counter>()});
  if (!node) {
    std::cerr << "consumer: " << to_string(node.failure()) << '\n';
    return 1;
  }
  const auto client = (*node)->local_client();
  const auto id = counter::id::named("visits");
  for (const int amount : {1, 2, -1}) {
    const auto sent = client->send(id, add{amount});
    if (static_cast<bool>(sent.answer.failure) != (amount < 0)) return 1;
  }
  const auto state = client->get(id);
  if (!state || state->sequence != 2 || state->value.value != 3) return 1;
  std::cout << "consumer: counted to " << state->value.value << '\n';
  return 0;
}
