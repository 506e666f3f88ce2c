#include <maestro/store/utf8.hpp>

#include <cstddef>
#include <cstdint>

namespace maestro {

auto is_utf8(std::string_view text) noexcept -> bool {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<std::uint8_t>(text[i]);
    if (first < 0x80) {
      ++i;
      continue;
    }
    const std::size_t more = first >= 0xc2 && first <= 0xdf   ? 1
                             : first >= 0xe0 && first <= 0xef ? 2
                             : first >= 0xf0 && first <= 0xf4 ? 3
                                                              : 0;
    if (more == 0 || text.size() - i <= more) return false;
    for (std::size_t at = 1; at <= more; ++at) {
      const auto next = static_cast<std::uint8_t>(text[i + at]);
      // The second byte rules out overlong forms, surrogates and what is beyond the last character.
      const std::uint8_t least = at > 1 ? 0x80 : first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
      const std::uint8_t most = at > 1 ? 0xbf : first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
      if (next < least || next > most) return false;
    }
    i += more + 1;
  }
  return true;
}

auto has_control_character(std::string_view text) noexcept -> bool {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return true;
    if (byte == 0xc2 && i + 1 < text.size() && static_cast<std::uint8_t>(text[i + 1]) < 0xa0 &&
        static_cast<std::uint8_t>(text[i + 1]) >= 0x80)
      return true;
  }
  return false;
}

}  // namespace maestro
