// Whether somebody listens at an address, asked of the operating system with a deadline. CAF connects with none, on a thread
// that its shutdown waits for: an address behind a firewall would hold a client for the two minutes that TCP keeps trying.
#pragma once

#include <maestro/store/error.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace maestro {

/// Connects to `host` and `port`, hangs up, and returns the numeric address that answered: a name may have several, of which
/// CAF tries the first. Errors: `node_unavailable`, with the system's reason. Takes no longer than `timeout`, shared among the
/// addresses, apart from the resolver of names, which has timeouts of its own.
[[nodiscard]] auto probe_tcp(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout)
    -> result<std::string>;

}  // namespace maestro
