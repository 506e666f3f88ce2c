// A store as a node with several writers has it (maestro.store.writers): commits go out on several connections at once,
// those of one aggregate always on the same.
#pragma once

#include "conformance.hpp"

#include <memory>

namespace maestro::test {

/// `where`, which must be shared, with three connections behind each writer.
[[nodiscard]] auto with_several_writers(std::unique_ptr<place> where) -> std::unique_ptr<place>;

}  // namespace maestro::test
