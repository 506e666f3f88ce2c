// Keeps passwords out of messages that repeat what a user has typed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace maestro {

/// `text`, an argument or what a message repeats of one, without passwords: what stands between the first ':' of a user part and the last
/// '@', what follows a host's ':' in an address with "://" and is no port, and what follows `password=` and its like (in quotes, or up to
/// white space or '&'). Rather hides too much than too little: only for what came from outside, not for whole messages. Any thread.
[[nodiscard]] auto redacted(std::string_view text) -> std::string;

/// `message`, in which `argument` is redacted wherever it is repeated. Any thread.
[[nodiscard]] auto redacted_in(std::string message, std::string_view argument) -> std::string;

/// Whether `text` is the number of a port, 1 to 65535.
[[nodiscard]] auto is_port(std::string_view text) -> bool;

/// Where something begins in `hosts` (what follows "://" and the user part of an address: HOST:PORT,HOST:PORT/...) that stands for a port
/// and is none; `npos` when there is nothing like that.
[[nodiscard]] auto false_port(std::string_view hosts) -> std::size_t;

}  // namespace maestro
