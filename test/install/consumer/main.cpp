// A whole program that knows Maestro as an installed package only: an aggregate, a node on a store in memory, a client.
#include "counter.hpp"

#include <maestro/runtime/node.hpp>

#include <iostream>

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
