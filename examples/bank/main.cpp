// The bank's node: a whole program. `bank_node --help` lists its settings.
#include "account.hpp"

#include <maestro/runtime/node.hpp>

int main(int argc, char** argv) { return maestro::run_node<bank::account>(argc, argv); }
