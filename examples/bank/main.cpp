// The bank's node: a whole program. `bank_node --help` lists its settings.
#include "account.hpp"
#include "transfer.hpp"
#include "transfer_driver.hpp"

#include <maestro/runtime/node.hpp>

#include <memory>

int main(int argc, char** argv) {
  return maestro::run_node<bank::account, bank::transfer>(
      argc, argv, [](maestro::node& node) { return std::make_shared<bank::transfer_driver>(node); });
}
