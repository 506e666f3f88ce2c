#include <maestro/aggregates/recorded_rejection.hpp>

#include <maestro/store/json.hpp>
#include <maestro/store/utf8.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <utility>

namespace maestro {

auto event_of_rejection(const error& rejection) -> result<emitted_event> {
  const auto& reason = rejection.message;
  const auto refuse = [](const std::string& why) {
    return error{errc::invalid_event, "the rejection cannot be recorded: " + why};
  };
  if (reason.size() > max_recorded_reason)
    return refuse("its reason has " + std::to_string(reason.size()) + " bytes, at most " +
                  std::to_string(max_recorded_reason) + " are kept");
  if (!is_utf8(reason)) return refuse("its reason is no UTF-8");
  std::string body = R"({"reason":)" + json_quote(reason) + "}";
  if (auto checked = json_check(body); !checked) return refuse("its reason: " + checked.failure().message);
  return emitted_event{recorded_rejection_type, std::move(body), nullptr};
}

auto rejection_in(const event& row) -> error {
  const auto body = nlohmann::json::parse(row.body, nullptr, false);
  const auto reason = body.is_object() ? body.find("reason") : body.end();
  if (reason == body.end() || !reason->is_string()) return reject("the log remembers a rejection without a reason");
  return reject(reason->get<std::string>());
}

}  // namespace maestro
