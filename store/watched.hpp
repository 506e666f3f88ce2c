// Actors whose end is noticed. By default an exception ends an actor, CAF prints a line on stdout, and everybody who waits for it waits on.
#pragma once

#include <caf/exit_reason.hpp>
#include <caf/scheduled_actor.hpp>
#include <caf/sec.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <string>

namespace maestro {

/// What an exception says, for people.
[[nodiscard]] inline auto words_of(const std::exception_ptr& problem) noexcept -> std::string {
  try {
    try {
      std::rethrow_exception(problem);
    } catch (const std::exception& thrown) {
      return thrown.what();
    } catch (...) {
      return "an exception of unknown type";
    }
  } catch (const std::bad_alloc&) {
    return "out of memory";  // So short a text needs none.
  }
}

/// The last answer of a request that is dropped: `answer()` says what it can. Where there is no memory for that, who waits
/// goes by its own clock.
template <class Answer>
void give_at_last(Answer answer) noexcept {
  try {
    answer();
  } catch (...) {
  }
}

/// From now on, when `self` ends by a fault, `died` hears, on its thread and once, that `name` did, and of what. The exception goes no
/// further. No fault: `quit()`, and the end of an actor to which there is no handle left, so that no one can wait for it. Call it first in
/// `make_behavior`. `died` may be empty: then only the exception is kept in.
inline void be_watched(caf::scheduled_actor& self, const std::string& name, std::function<void(const std::string&)> died) {
  auto what = std::make_shared<std::string>();
  self.set_exception_handler([what](std::exception_ptr& problem) -> caf::error {
    *what = words_of(problem);
    return caf::make_error(caf::sec::runtime_error);
  });
  if (!died) return;
  self.attach_functor([what, name, died = std::move(died)](const caf::error& reason) {
    if (!reason || reason == caf::exit_reason::unreachable) return;
    died(name + " has ended by a fault: " + (what->empty() ? "it was killed, which only a peer can have done" : *what));
  });
}

}  // namespace maestro
