// The table of a cluster's members on PostgreSQL: maestro_members, and maestro_cluster with its version.
#pragma once

#include <maestro/store/members.hpp>
#include <maestro/store/postgres/connection.hpp>
#include <maestro/store/postgres/postgres_store.hpp>

#include <chrono>
#include <memory>

namespace maestro::postgres {

class member_rows final : public member_table {
 public:
  explicit member_rows(std::shared_ptr<const source> from) : source_(std::move(from)) {}

  auto join(const member& self) -> result<member_list> override;
  auto beat(const incarnation_id& self) -> result<member_list> override;
  auto list() -> result<member_list> override;
  auto served_text(const std::string& serves) -> result<std::string> override;
  auto leave(const incarnation_id& self) -> result<void> override;
  auto declare_dead(const member& suspect, std::int64_t version) -> result<bool> override;

 private:
  // Has the sessions of the dead end, and looks with each beat whether they are gone.
  void end_sessions(connection& with);
  void see_sessions_end(connection& with);
  // Runs `work` on the connection, which is made if there is none that can be used.
  template <class Work>
  auto use(Work work) -> result<std::invoke_result_t<Work, connection&>>;

  const std::shared_ptr<const source> source_;
  std::unique_ptr<connection> connection_;
  std::chrono::steady_clock::time_point ending_until_{};  // Sessions of the dead may be there, and are looked after until then.
};

}  // namespace maestro::postgres
