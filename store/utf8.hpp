// Text as the stores and JSON take it.
#pragma once

#include <string_view>

namespace maestro {

/// Whether `text` is UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing beyond U+10FFFF. Any thread.
[[nodiscard]] auto is_utf8(std::string_view text) noexcept -> bool;

/// Whether `text` holds a control character (U+0000 to U+001F, U+007F to U+009F): a line break would forge a line of
/// output, an escape sequence would speak to the terminal. Any thread.
[[nodiscard]] auto has_control_character(std::string_view text) noexcept -> bool;

}  // namespace maestro
