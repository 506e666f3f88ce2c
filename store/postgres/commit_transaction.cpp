#include <maestro/store/postgres/commit_transaction.hpp>

#include <maestro/store/postgres/values.hpp>

#include <memory>
#include <utility>

namespace maestro::postgres {

namespace {

// So many texts of projections stay prepared on a connection; any other one is prepared each time it is used.
constexpr std::size_t max_prepared_projections = 256;

using answer_ptr = std::unique_ptr<PGresult, decltype(&PQclear)>;

auto next_answer(PGconn* connection) -> answer_ptr { return {PQgetResult(connection), PQclear}; }

auto is_success(ExecStatusType status) -> bool { return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK; }

}  // namespace

commit_transaction::commit_transaction(connection& connection) : connection_(connection) {
  if (PQenterPipelineMode(connection_.raw()) != 1) throw failure_from(connection_.raw(), nullptr);
  send_command(sql::begin, stage::begin);
}

commit_transaction::~commit_transaction() {
  if (!committed_) roll_back();
}

void commit_transaction::wait_for_locks(std::chrono::milliseconds limit) {
  send_command((sql::limit_lock_waits + std::to_string(limit.count())).c_str(), stage::begin);
}

void commit_transaction::insert(const event_insert& events) {
  inserted_ = 0;
  const char* const name = connection_.prepare(events.statement());
  sent(PQsendQueryPrepared(connection_.raw(), name, events.count(), events.values(), events.lengths(), events.formats(), 0),
       {stage::events, 0, {}});
}

void commit_transaction::execute(std::string_view sql, std::span<const sql_value> parameters) { send(sql, parameters); }

auto commit_transaction::query(std::string_view sql, std::span<const sql_value> parameters) -> std::vector<sql_row> {
  send(sql, parameters);
  settle();
  return std::exchange(rows_, {});
}

void commit_transaction::with_native(const std::function<void(const native_handle&)>& use) {
  settle();
  if (!synchronize() || PQexitPipelineMode(connection_.raw()) != 1) {
    connection_.spoil();
    fail(failure_from(connection_.raw(), nullptr), {stage::projection, unit_, {}});
    check();
  }
  try {
    use({.postgres = connection_.raw()});
  } catch (...) {
    resume_after_native();
    throw;
  }
  if (resume_after_native() == PQTRANS_INERROR)
    fail({"25P02", "", "a statement of with_native failed", false}, {stage::projection, unit_, {}});
  check();
}

// What a stranger did to the connection.
auto commit_transaction::resume_after_native() -> PGTransactionStatusType {
  const auto status = PQtransactionStatus(connection_.raw());
  const bool open = status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
  if (open && PQenterPipelineMode(connection_.raw()) == 1) return status;
  // What has become of the transaction is for the log to say.
  connection_.spoil();
  fail({"", "", "with_native ended the store's transaction, or left the connection busy", true}, {stage::commit, 0, {}});
  throw failure(*failure_);
}

void commit_transaction::send(std::string_view sql, std::span<const sql_value> parameters) {
  check();
  check_projection_statement(sql);
  const parameter_list list(parameters);
  const std::string* kept = nullptr;
  const std::string name = prepare(sql, kept);
  sent(PQsendQueryPrepared(connection_.raw(), name.c_str(), list.count(), list.values(), list.lengths(), list.formats(), 0),
       {stage::projection, unit_, {}, at_work_, kept});
}

// The name under which `sql` is prepared, which it may be from now on. What follows in the pipeline can rely on it: should it
// fail, nothing after it is executed.
auto commit_transaction::prepare(std::string_view sql, const std::string*& kept) -> std::string {
  auto& known = connection_.projections();
  std::string text(sql);
  if (const auto found = known.find(text); found != known.end()) {
    kept = &found->first;
    return found->second;
  }
  std::string name;
  if (known.size() < max_prepared_projections) {
    name = connection_.fresh_name();
    kept = &known.emplace(text, name).first->first;
  }
  const int accepted = PQsendPrepare(connection_.raw(), name.c_str(), text.c_str(), 0, nullptr);
  sent(accepted, {stage::projection, unit_, std::move(text), at_work_});
  return name;
}

void commit_transaction::sent(int accepted, expected next) {
  if (accepted == 1) {
    expected_.push_back(std::move(next));
    return;
  }
  connection_.spoil();
  fail(failure_from(connection_.raw(), nullptr), next);
  throw failure(*failure_);
}

void commit_transaction::settle() {
  if (!failure_ && !expected_.empty() &&
      (PQsendFlushRequest(connection_.raw()) != 1 || PQflush(connection_.raw()) < 0))
    fail(failure_from(connection_.raw(), nullptr), expected_.front());
  while (!failure_ && !expected_.empty()) read_answer();
  check();
}

void commit_transaction::check() const {
  if (failure_) throw failure(*failure_);
}

// Reads the answer to the oldest statement: a result, then the null that ends it.
void commit_transaction::read_answer() {
  const expected at = std::move(expected_.front());
  expected_.pop_front();
  const answer_ptr answer = next_answer(connection_.raw());
  const auto status = PQresultStatus(answer.get());
  if (status == PGRES_EMPTY_QUERY) {
    fail({"42601", "", "there is no statement", false}, at);
  } else if (at.of == stage::commit && is_success(status) && std::string_view(PQcmdStatus(answer.get())) != "COMMIT") {
    fail({"25P02", "", "the transaction was rolled back", false}, at);
  } else if (!is_success(status)) {
    // A copy leaves the connection waiting for data that nobody has.
    if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) connection_.spoil();
    if (status != PGRES_PIPELINE_ABORTED) fail(failure_from(connection_.raw(), answer.get()), at);
    if (!at.prepares.empty()) connection_.projections().erase(at.prepares);
  }
  if (at.of == stage::events && is_success(status))
    inserted_ = static_cast<std::size_t>(std::strtoull(PQcmdTuples(answer.get()), nullptr, 10));
  if (status == PGRES_TUPLES_OK) rows_ = rows_from(answer.get());
  else rows_.clear();
  if (answer && connection_.is_usable()) (void)next_answer(connection_.raw());
}

void commit_transaction::fail(failure problem, const expected& at) {
  if (failure_) return;
  connection_.note(problem);
  failure_.emplace(std::move(problem));
  failed_at_ = at.of;
  if (at.of != stage::projection) return;
  culprit_ = at.unit;
  failed_projection_ = at.projection.empty() ? at_work_ : at.projection;
  if (at.statement != nullptr) failed_statement_ = *at.statement;
  else failed_statement_ = at.prepares;
}

void commit_transaction::send_command(const char* sql, stage of) {
  sent(PQsendQueryParams(connection_.raw(), sql, 0, nullptr, nullptr, nullptr, nullptr, 0), {of, 0, {}});
}

void commit_transaction::begin_part() {
  if (std::exchange(in_part_, true)) send_command(sql::keep_part, stage::begin);
  send_command(sql::begin_part, stage::begin);
}

void commit_transaction::drop_part() {
  if (!synchronize()) throw failure_from(connection_.raw(), nullptr);
  failure_.reset();
  failed_at_ = stage::begin;
  culprit_.reset();
  failed_statement_.clear();
  send_command(sql::drop_part, stage::begin);
}

void commit_transaction::commit() {
  // Alone on its way: while something before it is unanswered, a lost connection would be blamed on that.
  settle();
  connection_.forget_warning();
  send_command(sql::commit, stage::commit);
  settle();
  if (!connection_.warning().empty()) {
    fail({"", "", "COMMIT came with a warning: " + connection_.warning(), true}, {stage::commit, 0, {}});
    check();
  }
  committed_ = true;
  // Whatever goes wrong from here on costs the connection, not the commit.
  if (!synchronize() || PQexitPipelineMode(connection_.raw()) != 1) connection_.spoil();
}

// After an error the server ignores everything up to a synchronization; what was sent before it is answered by then.
auto commit_transaction::synchronize() -> bool {
  if (!connection_.is_usable() || PQpipelineSync(connection_.raw()) != 1) return false;
  while (!expected_.empty() && connection_.is_usable()) read_answer();
  const answer_ptr synced = next_answer(connection_.raw());
  return PQresultStatus(synced.get()) == PGRES_PIPELINE_SYNC;
}

void commit_transaction::roll_back() noexcept try {
  if (!synchronize() || PQexitPipelineMode(connection_.raw()) != 1) return connection_.spoil();
  const answer_ptr ended(PQexec(connection_.raw(), sql::rollback), PQclear);
  if (PQresultStatus(ended.get()) != PGRES_COMMAND_OK) connection_.spoil();
} catch (...) {  // There is no memory for what the server says.
  connection_.spoil();
}

}  // namespace maestro::postgres
