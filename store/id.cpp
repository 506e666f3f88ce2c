#include <maestro/store/id.hpp>

#include <openssl/evp.h>

#include <cassert>

namespace maestro {

namespace {

constexpr char digits[] = "0123456789abcdef";

auto digit_value(char digit) -> int {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

}  // namespace

auto hex(std::string_view bytes) -> std::string {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (unsigned char byte : bytes) {
    text.push_back(digits[byte >> 4]);
    text.push_back(digits[byte & 15]);
  }
  return text;
}

template <class Tag>
auto id16<Tag>::text() const -> std::string {
  return hex(view());
}

template <class Tag>
auto id16<Tag>::parse(std::string_view text) -> std::optional<id16> {
  id16 id;
  if (text.size() != id.bytes.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) {
    int high = digit_value(text[2 * i]);
    int low = digit_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    id.bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return id;
}

template <class Tag>
auto id16<Tag>::from_bytes(std::string_view raw) -> std::optional<id16> {
  id16 id;
  if (raw.size() != id.bytes.size()) return std::nullopt;
  std::memcpy(id.bytes.data(), raw.data(), raw.size());
  return id;
}

template <class Tag>
auto id16<Tag>::milliseconds() const noexcept -> std::uint64_t {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 6; ++i) value = value << 8 | bytes[i];
  return value;
}

template <class Tag>
auto id16<Tag>::counter() const noexcept -> std::uint16_t {
  return static_cast<std::uint16_t>(bytes[6] << 8 | bytes[7]);
}

template <class Tag>
auto id16<Tag>::node() const noexcept -> std::uint64_t {
  std::uint64_t value = 0;
  for (std::size_t i = 8; i < 16; ++i) value = value << 8 | bytes[i];
  return value;
}

template <class Tag>
auto id16<Tag>::make(std::uint64_t milliseconds, std::uint16_t counter, std::uint64_t node) -> id16 {
  id16 id;
  for (std::size_t i = 0; i < 6; ++i) id.bytes[i] = static_cast<std::uint8_t>(milliseconds >> (40 - 8 * i));
  id.bytes[6] = static_cast<std::uint8_t>(counter >> 8);
  id.bytes[7] = static_cast<std::uint8_t>(counter);
  for (std::size_t i = 0; i < 8; ++i) id.bytes[8 + i] = static_cast<std::uint8_t>(node >> (56 - 8 * i));
  return id;
}

template struct id16<aggregate_id_tag>;
template struct id16<timestamp_tag>;
template struct id16<command_id_tag>;
template struct id16<incarnation_id_tag>;

auto sha256_16(std::string_view data) -> std::array<std::uint8_t, 16> {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  [[maybe_unused]] int done = EVP_Digest(data.data(), data.size(), digest.data(), &size, EVP_sha256(), nullptr);
  assert(done == 1 && size == 32);
  std::array<std::uint8_t, 16> first{};
  std::memcpy(first.data(), digest.data(), first.size());
  return first;
}

auto derive_aggregate_id(std::string_view type, std::string_view name) -> aggregate_id {
  std::string text = "maestro:name:";
  text.append(type).push_back('\0');
  text.append(name);
  aggregate_id id{sha256_16(text)};
  // The seed formats each id as a date, and cannot beyond the year 9999, which 48 bits of milliseconds pass by 10 % of all values.
  id.bytes[0] &= 0x7f;
  return id;
}

auto derive_command_id(const command_id& parent, std::string_view step) -> command_id {
  std::string text = "maestro:step:";
  text.append(parent.view()).append(step);
  auto digest = sha256_16(text);
  command_id id = parent;
  std::memcpy(id.bytes.data() + 8, digest.data(), 8);
  return id;
}

auto parse_aggregate_id(std::string_view type, std::string_view text) -> std::optional<aggregate_id> {
  constexpr std::string_view prefix = "name:";
  if (text.starts_with(prefix)) {
    text.remove_prefix(prefix.size());
    if (text.empty()) return std::nullopt;
    return derive_aggregate_id(type, text);
  }
  return aggregate_id::parse(text);
}

}  // namespace maestro
