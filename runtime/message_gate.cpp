#include <maestro/runtime/message_gate.hpp>

#include <maestro/runtime/protocol.hpp>
#include <maestro/runtime/strangers.hpp>

#include <caf/abstract_actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/actor_registry.hpp>
#include <caf/binary_deserializer.hpp>

#include <algorithm>
#include <array>
#include <string_view>

namespace maestro {

namespace {

namespace basp = caf::io::basp;

constexpr std::array<std::string_view, 7> messages = {
    caf::type_name<hello>::value,         caf::type_name<hello_reply>::value,   caf::type_name<command_request>::value,
    caf::type_name<command_reply>::value, caf::type_name<query_request>::value, caf::type_name<query_reply>::value,
    caf::type_name<query_withdrawal>::value};

// CAF writes a message as the actors that it has still to pass through, of which ours has none, a type number, here 0, and the
// names of its parts, as a text with its length before it; then the parts.
auto is_of_our_protocol(std::span<const char> payload) -> bool {
  constexpr std::string_view before_names{"\0\0\0", 3};
  constexpr std::string_view before_first_name = "@<>+";
  const std::string_view text(payload.data(), payload.size());
  if (text.size() <= before_names.size() || !text.starts_with(before_names)) return false;
  const auto length = static_cast<unsigned char>(text[before_names.size()]);  // Below 128: one byte.
  const auto names = text.substr(before_names.size() + 1, length);
  if (length >= 128 || names.size() != length || !names.starts_with(before_first_name)) return false;
  return std::find(messages.begin(), messages.end(), names.substr(before_first_name.size())) != messages.end();
}

}  // namespace

auto message_gate::judge(const basp::header& header) -> verdict {
  switch (header.operation) {
    case basp::message_type::direct_message:
      if (header.has(basp::header::named_receiver_flag)) return verdict::drop;
      if (!is_open(header.dest_actor)) return verdict::refuse;
      senders_.insert(header.source_actor);
      if (senders_.size() > max_senders) return hang_up("its messages come from more actors at a time than a program of ours has");
      return verdict::pass;
    case basp::message_type::monitor_message: return is_open(header.dest_actor) ? verdict::pass : verdict::refuse;
    case basp::message_type::routed_message: return verdict::drop;
    case basp::message_type::down_message: senders_.erase(header.source_actor); return verdict::pass;
    default: return verdict::pass;
  }
}

auto message_gate::judge(const basp::header& header, std::span<const char> payload) -> verdict {
  switch (header.operation) {
    case basp::message_type::direct_message: return is_of_our_protocol(payload) ? verdict::pass : verdict::refuse;
    case basp::message_type::monitor_message:
    case basp::message_type::down_message:
      return speaks_for_itself(payload) ? verdict::pass : hang_up("it speaks for another process than its own");
    default: return verdict::pass;
  }
}

auto message_gate::introduce(std::span<const char> payload) -> bool {
  caf::binary_deserializer source(system_, payload.data(), payload.size());
  const auto unreadable = source(peer_);
  return !unreadable && peer_ != caf::node_id{};
}

// An actor that has ended is let through: CAF tells the peer so, or drops the message.
auto message_gate::is_open(std::uint64_t actor) const -> bool {
  const auto found = system_.registry().get(actor);
  return !found || dynamic_cast<const open_to_peers*>(caf::actor_cast<caf::abstract_actor*>(found)) != nullptr;
}

auto message_gate::speaks_for_itself(std::span<const char> payload) const -> bool {
  caf::binary_deserializer source(system_, payload.data(), payload.size());
  caf::node_id from;
  caf::node_id to;
  const auto unreadable = source(from, to);
  return !unreadable && from == peer_ && to == system_.node();
}

auto message_gate::hang_up(const char* why) -> verdict {
  reason_ = why;
  return verdict::hang_up;
}

}  // namespace maestro
