// Callers in closed loops: each asks again when it has its answer.
#pragma once

#include "sample.hpp"

#include <functional>

namespace maestro::benchmark {

/// To be called once with whether the answer was the one expected; on any thread.
using answered = std::function<void(bool)>;

/// Sends the next request of caller number `caller`. Called on the thread that had the last answer.
using next_request = std::function<void(std::size_t caller, answered done)>;

/// Lets `callers` ask for `length`. The rate and the latencies are of what was answered by then; what is under way is waited
/// for. Throws `std::runtime_error` when an answer was not the one expected.
[[nodiscard]] auto let_call(std::size_t callers, std::chrono::milliseconds length, const next_request& ask) -> sample;

/// Lets `callers` ask `total` times together, and waits for all answers.
[[nodiscard]] auto let_call_times(std::size_t callers, std::size_t total, const next_request& ask) -> sample;

}  // namespace maestro::benchmark
