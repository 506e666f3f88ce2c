#include "dice.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <string>

namespace maestro::test {

auto test_seed() -> std::uint64_t {
  const char* given = std::getenv("MAESTRO_TEST_SEED");
  const std::uint64_t seed = given != nullptr && *given != '\0' ? std::stoull(given) : std::random_device{}();
  BOOST_TEST_MESSAGE("MAESTRO_TEST_SEED=" << seed);
  return seed;
}

}  // namespace maestro::test
