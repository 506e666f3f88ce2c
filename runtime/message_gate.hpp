// What of a peer's messages reaches CAF's broker, and through it an actor. CAF 0.17 itself delivers whatever a peer sends to whatever
// actor it names: to its own servers, which print or keep what they are sent, and to every actor that was ever named on a connection.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/io/basp/header.hpp>
#include <caf/node_id.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_set>

namespace maestro {

/// Judges the messages of one connection. Used on the network thread.
///
/// What passes: handshakes and heartbeats; messages of our own protocol (protocol.hpp) to actors that are `open_to_peers`, or that do
/// not exist any more; and what the peer says about its own actors. What CAF's peers send by themselves, and nobody here needs (a
/// question to the server that spawns actors, routed messages), is dropped. A peer that speaks for others ends its connection.
class message_gate {
 public:
  explicit message_gate(caf::actor_system& system) : system_(system) {}

  enum class verdict {
    pass,
    drop,     ///< And expect it: CAF's peers send such messages.
    refuse,   ///< Drop it; no program of ours or of CAF's sends this.
    hang_up,  ///< `reason` says why.
  };

  /// By a message's header, before its payload is read.
  [[nodiscard]] auto judge(const caf::io::basp::header& header) -> verdict;
  /// By what came with it; the header has passed.
  [[nodiscard]] auto judge(const caf::io::basp::header& header, std::span<const char> payload) -> verdict;

  /// Reads the peer's name from the payload of its handshake. False when there is none.
  [[nodiscard]] auto introduce(std::span<const char> payload) -> bool;
  /// The name; none before `introduce`.
  [[nodiscard]] auto peer() const -> const caf::node_id& { return peer_; }
  [[nodiscard]] auto reason() const -> const char* { return reason_; }

 private:
  [[nodiscard]] auto is_open(std::uint64_t actor) const -> bool;
  [[nodiscard]] auto speaks_for_itself(std::span<const char> payload) const -> bool;
  [[nodiscard]] auto hang_up(const char* why) -> verdict;

  /// At a time: each client of a process has one actor, and one more for a greeting; each costs us an entry until it has ended.
  static constexpr std::size_t max_senders = 1'000;

  caf::actor_system& system_;
  caf::node_id peer_;
  std::unordered_set<std::uint64_t> senders_;
  const char* reason_ = "";
};

}  // namespace maestro
