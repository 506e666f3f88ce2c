// The node of the tests that hurt whole clusters: all of the bank, with whoever drives its transfers, and batches.
#include "batch.hpp"

#include "account.hpp"
#include "transfer.hpp"
#include "transfer_driver.hpp"

#include <maestro/runtime/node.hpp>

#include <memory>

int main(int argc, char** argv) {
  return maestro::run_node<bank::account, bank::transfer, test::batch>(
      argc, argv, [](maestro::node& node) { return std::make_shared<bank::transfer_driver>(node); });
}
