// The 16-byte names of things: aggregate ids, timestamps, command ids and incarnations. Types that share a layout and cannot be
// mixed up. FORMAT: 48 bits of milliseconds since the Unix epoch, 16 bits of counter, 64 bits of node id, big endian, so
// that byte order is time order (the seed's HLC, toniqsystems/hlclock). Text form: 32 lower-case hex digits.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace maestro {

/// Sixteen bytes that are ordered bytewise. `Tag` makes each use its own type.
template <class Tag>
struct id16 {
  std::array<std::uint8_t, 16> bytes{};

  friend auto operator<=>(const id16&, const id16&) = default;

  /// True unless all bytes are zero; the zero value stands for "none".
  [[nodiscard]] explicit operator bool() const noexcept { return bytes != decltype(bytes){}; }

  /// 32 lower-case hex digits.
  [[nodiscard]] auto text() const -> std::string;

  /// The inverse of `text()`; accepts upper case too. Nothing unless `text` is exactly 32 hex digits.
  [[nodiscard]] static auto parse(std::string_view text) -> std::optional<id16>;

  /// The value whose bytes are `raw`. Nothing unless `raw` has exactly 16 bytes.
  [[nodiscard]] static auto from_bytes(std::string_view raw) -> std::optional<id16>;

  /// The 16 bytes as a view that lives as long as this object.
  [[nodiscard]] auto view() const noexcept -> std::string_view {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  /// The leading 48 bits: milliseconds since the Unix epoch, where the id came from a clock.
  [[nodiscard]] auto milliseconds() const noexcept -> std::uint64_t;
  /// The 16 bits of counter that follow.
  [[nodiscard]] auto counter() const noexcept -> std::uint16_t;
  /// The trailing 64 bits: the clock's node.
  [[nodiscard]] auto node() const noexcept -> std::uint64_t;

  /// Assembles an id from its parts; only the low 48 bits of `milliseconds` are kept.
  [[nodiscard]] static auto make(std::uint64_t milliseconds, std::uint16_t counter, std::uint64_t node) -> id16;
};

struct aggregate_id_tag;
struct timestamp_tag;
struct command_id_tag;
struct incarnation_id_tag;

/// Names one aggregate, whatever its type.
using aggregate_id = id16<aggregate_id_tag>;
/// A hybrid logical clock reading: unique, increasing within a node and within an aggregate.
using timestamp = id16<timestamp_tag>;
/// Names one command, whatever how often it is sent. Carries its creation time (see `derive`).
using command_id = id16<command_id_tag>;
/// Names one run of a node.
using incarnation_id = id16<incarnation_id_tag>;

extern template struct id16<aggregate_id_tag>;
extern template struct id16<timestamp_tag>;
extern template struct id16<command_id_tag>;
extern template struct id16<incarnation_id_tag>;

/// 1, 2, 3 ... within one aggregate, without gaps; 0 = nothing yet.
using sequence_number = std::int32_t;

/// The largest sequence that an aggregate can reach: 2147483647, the log's `integer`.
[[nodiscard]] constexpr auto max_sequence() noexcept -> sequence_number { return 2147483647; }

/// The id of the aggregate of type `type` that is known by `name`: the first 16 bytes of SHA-256 over the ASCII text `maestro:name:`, the
/// type, one NUL byte and the name, the top bit cleared, so that it reads as a date before 6430. The same everywhere, in every release.
[[nodiscard]] auto derive_aggregate_id(std::string_view type, std::string_view name) -> aggregate_id;

/// The id of a follow-up of command `parent`, told apart by `step`: keeps the parent's time (its first 8 bytes) and takes
/// the rest from SHA-256 over the parent and the step, so that the same step of the same parent always has the same id.
[[nodiscard]] auto derive_command_id(const command_id& parent, std::string_view step) -> command_id;

/// Reads an id as people write it: 32 hex digits, or `name:` and a name, which `derive_aggregate_id` turns into an id of
/// `type`. Nothing when it is neither, or when the name is empty.
[[nodiscard]] auto parse_aggregate_id(std::string_view type, std::string_view text) -> std::optional<aggregate_id>;

/// The first 16 bytes of SHA-256 over `data`.
[[nodiscard]] auto sha256_16(std::string_view data) -> std::array<std::uint8_t, 16>;

/// Lower-case hex digits of `bytes`.
[[nodiscard]] auto hex(std::string_view bytes) -> std::string;

}  // namespace maestro

template <class Tag>
struct std::hash<maestro::id16<Tag>> {
  auto operator()(const maestro::id16<Tag>& id) const noexcept -> std::size_t {
    // Ids come from clocks or from SHA-256; mixing both halves serves both.
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    std::memcpy(&high, id.bytes.data(), 8);
    std::memcpy(&low, id.bytes.data() + 8, 8);
    std::uint64_t mixed = (high ^ (low * 0x9E3779B97F4A7C15ULL)) * 0xBF58476D1CE4E5B9ULL;
    return static_cast<std::size_t>(mixed ^ (mixed >> 31));
  }
};
