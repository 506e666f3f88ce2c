// On which thread a node's actors run. As with CAF's policy `sharing`, some threads take actors from one queue; but what a command
// costs is mostly the waking of threads, each time it goes from one actor to the next. So an actor that has said its last word can
// let its own thread go on with whom it said it to (`hand_on`); and the store's actors, which wait for the database most of the time,
// need no threads of their own: one that waits lets another run meanwhile (`blocking_section`). On threads of other schedulers, and
// of nobody's, all of this does nothing.
#pragma once

#include <cstddef>

namespace caf {
class actor_system;
class actor_system_config;
}  // namespace caf

namespace maestro {

/// Has actor systems with this configuration run actors in this way: `threads` at a time, and as many more as are in a
/// `blocking_section`, together at most the setting `scheduler.max-threads`. Instead of `scheduler.policy`.
void schedule_by_handing_on(caf::actor_system_config& config, std::size_t threads);

/// Whether `system` was made with such a configuration.
[[nodiscard]] auto schedules_by_handing_on(caf::actor_system& system) -> bool;

/// While it lives, an idle actor that gets a message from this thread is run by this thread, as soon as the actor that runs now has
/// returned: the last one that did; the others are for whichever thread is free. For the last message of a handler: whoever gets it
/// waits for the rest of the handler, and, as long as no other gets one, for what else is in the sender's mailbox (up to CAF's
/// max-throughput).
class hand_on {
 public:
  hand_on();
  ~hand_on();
  hand_on(const hand_on&) = delete;
  auto operator=(const hand_on&) -> hand_on& = delete;

 private:
  const bool outer_;
};

/// Lets the other threads have whom this thread would run next: before a handler does what may take long.
void give_away_next();

/// For actors that all others wait for, a base class: with more mail than it may read at once, such an actor goes on before all others.
class goes_first {
 public:
  virtual ~goes_first() = default;
};

/// While it lives, this thread waits for somebody else, and does not count as one that runs actors. Do not nest.
class blocking_section {
 public:
  blocking_section();
  ~blocking_section();
  blocking_section(const blocking_section&) = delete;
  auto operator=(const blocking_section&) -> blocking_section& = delete;
};

}  // namespace maestro
