// The node of these tests: the bank's accounts, and batches for what the bank has no command for.
#include "batch.hpp"

#include "account.hpp"

#include <maestro/runtime/node.hpp>

int main(int argc, char** argv) { return maestro::run_node<bank::account, test::batch>(argc, argv); }
