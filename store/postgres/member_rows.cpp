#include <maestro/store/postgres/member_rows.hpp>

#include <maestro/store/postgres/in_transaction.hpp>
#include <maestro/store/postgres/row.hpp>

#include <chrono>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace maestro::postgres {

namespace {

auto status_of(std::string_view text) -> member_status {
  if (text == to_string(member_status::alive)) return member_status::alive;
  return text == to_string(member_status::left) ? member_status::left : member_status::dead;
}

// The rows of sql::beat_member and sql::list_sessions.
auto list_from(const pqxx::result& rows) -> member_list {
  member_list list;
  for (const auto& row : rows) {
    list.version = row[0].as<std::int64_t>();
    list.milliseconds = row[6].as<std::uint64_t>();
    if (row[1].is_null()) continue;
    list.members.push_back({std::string(text_of(row, 2)), id_of<incarnation_id>(row, 1), std::string(text_of(row, 3)),
                            status_of(text_of(row, 4)), row[5].as<std::int64_t>(), row.size() <= 8 || row[8].as<bool>(),
                            std::string(text_of(row, 7))});
  }
  return list;
}

// Puts the row of maestro_cluster back, where a TRUNCATE or a restore without it has removed it. Returns its version. On the
// usual path it is never called: an UPDATE that finds the row needs no right to insert one.
auto restore_cluster(pqxx::transaction_base& transaction) -> std::int64_t {
  return first_row(transaction.exec(sql::restore_cluster), "maestro_cluster")[0].as<std::int64_t>();
}

// The version that the change will have made.
auto begin_change(pqxx::transaction_base& transaction) -> std::int64_t {
  const auto changed = transaction.exec(sql::change_members);
  return changed.empty() ? restore_cluster(transaction) : changed[0][0].as<std::int64_t>();
}

// The list that `ask` reads. Without the row of maestro_cluster there is no line at all: then it is put back first.
template <class Ask>
auto read_list(pqxx::transaction_base& transaction, Ask ask) -> member_list {
  pqxx::result rows = ask();
  if (rows.empty()) {
    restore_cluster(transaction);
    rows = ask();
  }
  return list_from(rows);
}

// How long the sessions of the dead are looked after.
constexpr std::chrono::milliseconds longest_end{10'000};

// Tells the sessions of the dead to end. How many there are; without those that may not be ended, as of one that logs in
// as another user: they end when their process does.
auto end_dead_sessions(connection& with) -> std::size_t {
  std::size_t told = 0;
  for (const auto& row : with.query(sql::dead_sessions, {})) {
    try {
      with.query(sql::end_session, std::vector<sql_value>{row.at(0).as<std::int64_t>()});
      ++told;
    } catch (const failure& problem) {
      if (problem.sqlstate() != "42501") throw;
    }
  }
  return told;
}

}  // namespace

namespace {

auto identity(connection& with) -> std::string {
  for (const auto* query : {sql::identify_store, sql::identify_store_in_part}) {
    try {
      const auto rows = with.query(query, {});
      if (!rows.empty() && !rows.front().at(0).is_null()) return rows.front().at(0).as<std::string>();
    } catch (const std::exception&) {
      if (query == sql::identify_store_in_part || !with.is_usable()) throw;
    }
  }
  return {};
}

}  // namespace

auto member_rows::join(const member& self) -> result<member_list> {
  if (auto checked = check_member(self); !checked) return checked.failure();
  return use([&](connection& with) {
    const auto store = identity(with);
    member_list list;
    in_transaction(with, [&](pqxx::work& transaction) {
      begin_change(transaction);
      with.run(transaction, sql::supersede_member, self.name, parameter(self.incarnation));
      transaction.exec(sql::forget_members);
      with.run(transaction, sql::add_member, parameter(self.incarnation), self.name, self.address, source_->run,
               self.serves, self.served);
      list = list_from(with.run(transaction, sql::list_sessions));
      list.store = store;
      with.commit(transaction);
    });
    end_sessions(with);
    return list;
  });
}

auto member_rows::beat(const incarnation_id& self) -> result<member_list> {
  return use([&](connection& with) {
    auto list = [&] {
      pqxx::nontransaction transaction(with.pqxx());
      return read_list(transaction, [&] { return with.run(transaction, sql::beat_member, parameter(self)); });
    }();
    see_sessions_end(with);
    return list;
  });
}

auto member_rows::list() -> result<member_list> {
  return use([&](connection& with) {
    pqxx::nontransaction transaction(with.pqxx());
    return read_list(transaction, [&] { return with.run(transaction, sql::list_sessions); });
  });
}

auto member_rows::served_text(const std::string& serves) -> result<std::string> {
  return use([&](connection& with) {
    pqxx::nontransaction transaction(with.pqxx());
    const auto rows = with.run(transaction, sql::read_served, serves, static_cast<std::int64_t>(max_served_text));
    return rows.empty() ? std::string() : std::string(text_of(rows[0], 0));
  });
}

auto member_rows::leave(const incarnation_id& self) -> result<void> {
  auto left = use([&](connection& with) {
    return in_transaction(with, [&](pqxx::work& transaction) {
      begin_change(transaction);
      const auto left_as = std::string(to_string(member_status::left));
      const auto changed = with.run(transaction, sql::end_member, parameter(self), left_as);
      if (changed.affected_rows() > 0) with.commit(transaction);
      return true;
    });
  });
  if (!left) return left.failure();
  return {};
}

auto member_rows::declare_dead(const member& suspect, std::int64_t version) -> result<bool> {
  return use([&](connection& with) {
    const bool is_changed = in_transaction(with, [&](pqxx::work& transaction) {
      if (begin_change(transaction) != version + 1) return false;
      const auto ended = with.run(transaction, sql::end_still_member, parameter(suspect.incarnation), suspect.heartbeat);
      if (ended.affected_rows() == 0) return false;
      with.commit(transaction);
      return true;
    });
    end_sessions(with);
    return is_changed;
  });
}

// After a change, whichever way it went, as its answer may have been lost. Until the sessions are gone, an open transaction
// of theirs may still commit, which the log's index judges as ever. They are not waited for here: this is the thread of our
// own heartbeat, and the node that declares another one dead would be the next.
void member_rows::end_sessions(connection& with) {
  ending_until_ = std::chrono::steady_clock::now() + longest_end;
  see_sessions_end(with);
}

void member_rows::see_sessions_end(connection& with) {
  if (std::chrono::steady_clock::now() >= ending_until_) return;
  try {
    if (end_dead_sessions(with) == 0) ending_until_ = {};
  } catch (const std::exception&) {  // The next beat looks again.
    with.spoil();
  }
}

template <class Work>
auto member_rows::use(Work work) -> result<std::invoke_result_t<Work, connection&>> {
  while (true) {
    const bool is_old = connection_ && connection_->is_usable();
    try {
      if (!is_old) {
        connection_.reset();
        connection_ = source_->connect();
        (void)connection_->query(sql::hurry_changes, {});
      }
      return work(*connection_);
    } catch (...) {
      const failure problem = failure_in_flight(connection_ ? connection_->raw() : nullptr);
      if (connection_) connection_->note(problem);
      // The server ends the sessions of a run that was declared dead. All of this can be repeated.
      if (is_old && problem.connection_lost() && !source_->lines->is_cut()) continue;
      error said = error_of(problem, stage::call);
      said.message = "store " + source_->display_name + ": " + said.message;
      return said;
    }
  }
}

}  // namespace maestro::postgres
