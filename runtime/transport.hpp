// The connections of CAF's network layer, as we make and take them: over TCP or mutual TLS, with bounds on what the other end can have
// us do. CAF's own have none, and its TLS module has faults that anybody who can connect can use (ARCHITECTURE.md).
//
// What CAF's broker sees of a connection is unchanged: it speaks its protocol over ours as over its own.
#pragma once

#include <maestro/runtime/tls.hpp>
#include <maestro/store/error.hpp>

#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/actor_control_block.hpp>
#include <caf/actor_system.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace maestro {

struct transport_settings {
  /// A message that is announced to be longer ends its connection before anything is read of it. A shorter one takes memory as it comes.
  std::size_t max_message_bytes = 64 * 1024 * 1024;
  /// So much may wait for a peer that does not read, or is slower than its answers come, beside what is being written; more ends the
  /// connection.
  std::size_t max_unsent_bytes = 256 * 1024 * 1024;
  /// What may have come of incomplete messages over all connections (in memory up to three times that); more ends a connection.
  std::size_t max_receiving_bytes = 256 * 1024 * 1024;
  /// From a message's first byte to its last; one that takes longer ends its connection. Meanwhile the peer does not count as silent.
  std::chrono::milliseconds receive_timeout{60'000};
  /// That others have made to us; one more is hung up at once.
  std::size_t max_connections = 10'000;
  /// Who has connected and not introduced itself by then is hung up when somebody else connects; in a fifth of it when there is no room.
  std::chrono::milliseconds introduction_time{5'000};
  bool log_refusals = false;  ///< Warn of every connection that is hung up for what the other end did, or did not do.
};

/// What a connection led to.
struct found_peer {
  caf::actor published;      ///< Null when there is none, or the time was up.
  bool timed_out_in_caf = false;  ///< CAF has ended the connection while it was being made; another attempt may succeed.
  std::string why;           ///< For people: why it is null.
};

/// Makes and takes the connections of one actor system. Any thread may call any member; it may be gone before its connections are.
class transport {
 public:
  /// Plain TCP without `tls`. `system`, which has CAF's middleman with its default backend, outlives the transport.
  transport(caf::actor_system& system, const transport_settings& settings, tls_context_ptr tls);

  /// Publishes `actor` at `host` and `port` (0: any that is free), and returns the port. It is taken back as CAF's own are, by
  /// `middleman::unpublish`. Errors: as `why_not_listening` (tcp.hpp).
  [[nodiscard]] auto publish(const caf::actor& actor, const std::string& host, std::uint16_t port) -> result<std::uint16_t>;

  /// Connects to what is published at `host` and `port`, by `deadline`. Blocks, and so must not be called from an actor that others
  /// wait for.
  [[nodiscard]] auto connect(const std::string& host, std::uint16_t port, std::chrono::steady_clock::time_point deadline) -> found_peer;

  /// Tells when part of a message came last from `peer`, of those that take their time; the clock's epoch: never. May be asked on any
  /// thread, and when the transport is gone.
  [[nodiscard]] auto parts_from(const caf::node_id& peer) const -> std::function<std::chrono::steady_clock::time_point()>;

  [[nodiscard]] auto system() const -> caf::actor_system& { return system_; }

  struct shared;  ///< What its connections share.

 private:
  friend class farewell;
  [[nodiscard]] auto broker() const -> caf::actor { return caf::actor_cast<caf::actor>(broker_); }

  caf::actor_system& system_;
  // Asked for by its name, one that has ended because its system does would be made anew.
  const caf::weak_actor_ptr broker_;
  const std::shared_ptr<shared> shared_;
};

using transport_ptr = std::shared_ptr<transport>;

/// An actor system ends when its connections have sent what they hold. Those that have not after `grace` are hung up, as long as this lives:
/// it begins before the system ends, and ends after that. Where there are no more threads, all are hung up at once.
class farewell {
 public:
  farewell(const transport& over, std::chrono::milliseconds grace);
  ~farewell();
  farewell(const farewell&) = delete;
  auto operator=(const farewell&) -> farewell& = delete;

 private:
  std::mutex mutex_;
  std::condition_variable ended_early_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace maestro
