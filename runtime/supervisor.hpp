// Tells systemd how a service is (Type=notify), by its protocol over the socket that NOTIFY_SOCKET names.
#pragma once

#include <maestro/store/error.hpp>

#include <string_view>

namespace maestro {

/// Sends `state`, such as `READY=1` or `STOPPING=1`, several of them in lines, to whoever watches over this process;
/// nothing where nobody asks for it. Does not block. Errors: `internal_error`, with the system's reason.
[[nodiscard]] auto tell_supervisor(std::string_view state) -> result<void>;

}  // namespace maestro
