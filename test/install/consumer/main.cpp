// A program that knows Maestro as an installed package only.
#include <maestro/store/clock.hpp>
#include <maestro/store/id.hpp>

#include <iostream>

int main() {
  maestro::hybrid_clock clock;
  const auto id = clock.fresh<maestro::aggregate_id>();
  if (maestro::aggregate_id::parse(id.text()) != id) return 1;
  std::cout << "consumer: " << id.text() << '\n';
  return 0;
}
