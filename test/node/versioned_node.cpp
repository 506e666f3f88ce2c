// The node program of versions.hpp, as the release that MAESTRO_TEST_RELEASE says.
#include "versions.hpp"

#include <maestro/runtime/node.hpp>

int main(int argc, char** argv) {
#if MAESTRO_TEST_RELEASE == 1
  return maestro::run_node<test::first_release::parcel>(argc, argv);
#else
  return maestro::run_node<test::second_release::parcel, test::second_release::depot>(argc, argv);
#endif
}
