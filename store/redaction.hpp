// Keeps passwords out of messages that repeat what a user has typed.
#pragma once

#include <string>
#include <string_view>

namespace maestro {

/// `text`, an argument or a message that repeats one, without passwords: what stands between the first ':' of a user part and the last
/// '@', and what follows `password=` and its like (in quotes, or up to white space or '&'). Rather hides too much than too little. Any thread.
[[nodiscard]] auto redacted(std::string_view text) -> std::string;

}  // namespace maestro
