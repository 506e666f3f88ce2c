// Where adapters report what an operator has to know and no single answer says. The store knows no logger: the node
// gives one.
#pragma once

#include <functional>
#include <string>

namespace maestro {

/// From now on `write` gets the lines of `log_store_trouble`, an empty one drops them (the default). Any thread may
/// call either.
void set_store_log(std::function<void(const std::string&)> write);

/// Reports trouble with a store, at level error. The caller sees to it that the same trouble is not reported with each
/// command.
void log_store_trouble(const std::string& line);

}  // namespace maestro
