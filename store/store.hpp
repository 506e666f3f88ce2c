// The store contract: what every adapter promises, call by call. An adapter implements `database` and `store`; the
// conformance suite (test/store) runs over each.
//
// Ordering: events of one aggregate have sequences 1, 2, 3 ... without gaps and without duplicates; a reader sees a prefix.
// Durability: what a call reports as committed survives a crash of this process and of the machine, as the database's own
// default settings promise it (PostgreSQL synchronous_commit=on; SQLite WAL with synchronous=FULL).
#pragma once

#include <maestro/store/error.hpp>
#include <maestro/store/event.hpp>
#include <maestro/store/members.hpp>
#include <maestro/store/projection.hpp>
#include <maestro/store/rebuild.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace maestro {

/// The events of one command. They are committed all or none, together with the rows their projections write.
struct commit_unit {
  std::vector<event> events;                        ///< At least one, consecutive, of one aggregate.
  std::shared_ptr<const maestro::projector> projector;  ///< Null when there is nothing to project.
  /// Milliseconds since the Unix epoch after which the unit must not be sent to the database any more; 0 = never.
  std::uint64_t expires_at = 0;
};

/// Units of one aggregate, in order: each builds on the one before it, the first on the predecessor.
struct commit_request {
  maestro::aggregate_id aggregate_id;
  std::string aggregate_type;  ///< The same as that of each event.
  timestamp predecessor;  ///< The timestamp of the event just before the first one here; none (zero) when that is sequence 1.
  std::vector<commit_unit> units;
  /// An earlier submission of these units ended `in_doubt`: they may have been written, or not.
  bool in_doubt = false;
};

/// What became of a request: `committed` units from the front are durable, the next one failed with `failure`, nothing of
/// it or of those after it was written.
struct commit_outcome {
  std::size_t committed = 0;
  error failure;  ///< Empty when all units were committed.
  error trouble = {};  ///< What kept the store from writing, if anything did; `failure` may say something else, as that time ran out.
  /// With `in_doubt`: to ask again is of no use. Either this program neither reads nor writes here any more, or the transaction is
  /// over, but the log cannot be read where it would be: it is damaged.
  bool is_final = false;
};

/// The newest event of an aggregate.
struct aggregate_head {
  maestro::aggregate_id aggregate_id;
  sequence_number sequence = 0;
  maestro::timestamp timestamp;
};

/// Which events to read.
struct event_range {
  sequence_number after = 0;                    ///< Exclusive minimum sequence.
  sequence_number up_to = max_sequence();       ///< Inclusive maximum sequence.
  std::size_t limit = 1000;                     ///< At most this many events, the first of the range; or a page's.
};

/// Takes one page of events, which may be moved from; they are gone when it returns. False: no more are wanted.
using take_events = std::function<result<bool>(std::span<event> page)>;

/// Where a hydration begins: what `get_histories` reads of an aggregate.
struct aggregate_history {
  std::optional<maestro::snapshot> snapshot;
  /// The first events from the snapshot's own on (where that is missing, the log is not the one it was taken from), or from
  /// sequence 1 without one.
  std::vector<event> events;
  bool complete = false;  ///< There were no more events.
};

/// One connection to a store. Used by one thread at a time; connects when first needed, and again after a loss. No member
/// throws. Any call can fail with `store_unavailable` (nothing was done; try again later) or `internal_error`.
class store {
 public:
  virtual ~store() = default;

  /// Commits the units of all requests, each unit with its projections in one transaction, as many units per transaction as
  /// possible. At most one request per aggregate. The outcomes are in the order of the requests; a failure costs the unit
  /// it belongs to and the later units of the same request, nobody else. A unit that was already committed by an earlier
  /// call (same aggregate, sequences and timestamps) counts as committed and is not written again.
  /// A row that another transaction has locked is waited for, but all of these waits together take at most twice the lock timeout.
  /// Failures of a unit: `retry_command` (its sequence is taken, its predecessor is not the aggregate's newest event, or its
  /// timestamp exists, which a partitioned log tells within a partition only: evaluate again), `projection_failed`, `invalid_event` (not one aggregate's consecutive events, or a
  /// value that the database refuses), `timed_out` (expired before it was sent), `store_unavailable` (certainly not
  /// written), `in_doubt` (the connection was lost while committing and could not be restored: submit the same request again,
  /// marked `in_doubt`, before anything else for that aggregate).
  [[nodiscard]] virtual auto commit_all(std::span<const commit_request* const> requests)
      -> std::vector<commit_outcome> = 0;

  /// `commit_all` for one unit of events without projections.
  [[nodiscard]] auto commit_events(std::vector<event> events, const timestamp& predecessor) -> result<void>;

  /// Stores `snapshot` unless a newer one is there: never goes back. At the same sequence it replaces one of another version.
  /// Success does not tell which happened.
  [[nodiscard]] virtual auto commit_snapshot(const snapshot& snapshot) -> result<void> = 0;

  /// The first `range.limit` events of `id` in `range`, in sequence order. There may be more when there are that many;
  /// all of them, page by page: `scan_events`.
  [[nodiscard]] virtual auto get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> = 0;

  /// Hands the events of `id` in `range` to `take`, in sequence order and in pages of `range.limit`; where that is possible the next page is
  /// read while `take` works on one. What `take` fails with is what this fails with.
  [[nodiscard]] virtual auto scan_events(const aggregate_id& id, event_range range, const take_events& take) -> result<void>;

  /// The snapshot of `id`, if there is one with `after` < sequence <= `up_to`.
  [[nodiscard]] virtual auto get_snapshot(const aggregate_id& id, sequence_number after = 0,
                                          sequence_number up_to = maestro::max_sequence())
      -> result<std::optional<snapshot>> = 0;

  /// The beginning of each of `ids`, in their order: its snapshot and at most `limit` events. All at once, so that aggregates
  /// which hydrate at the same time share a round trip.
  [[nodiscard]] virtual auto get_histories(std::span<const aggregate_id> ids, std::size_t limit)
      -> result<std::vector<aggregate_history>> = 0;

  /// The newest event of each of `ids` that has any.
  [[nodiscard]] virtual auto get_heads(std::span<const aggregate_id> ids) -> result<std::vector<aggregate_head>> = 0;

  /// The aggregates of `type` whose id is above `after`, by id, at most `limit`.
  [[nodiscard]] virtual auto list_aggregates(std::string_view type, const aggregate_id& after, std::size_t limit)
      -> result<std::vector<aggregate_head>> = 0;

  /// The events of `id` that command `command` caused, in sequence order, among those whose timestamp is not below
  /// `not_before`.
  [[nodiscard]] virtual auto find_command(const aggregate_id& id, const command_id& command, const timestamp& not_before)
      -> result<std::vector<event>> = 0;

  /// The newest timestamp in the log; none (zero) when it is empty.
  [[nodiscard]] virtual auto newest_timestamp() -> result<timestamp> = 0;

  /// Runs SQL outside any commit, for tools and tests: `sql` with parameters, its rows back. A reader's must not change
  /// anything.
  [[nodiscard]] virtual auto query(std::string_view sql, std::span<const sql_value> parameters)
      -> result<std::vector<sql_row>> = 0;

  /// The largest sequence an aggregate can have.
  [[nodiscard]] static constexpr auto max_sequence() noexcept -> sequence_number { return maestro::max_sequence(); }
};

/// Settings of a store; each has its name in the configuration file (runtime/setting_table.cpp).
struct store_settings {
  std::size_t max_batch_events = 1024;  ///< At most this many events go into one transaction.
  std::size_t max_batch_bytes = 8 * 1024 * 1024;  ///< At most about this many bytes of bodies go into one transaction.
  int partitions = 0;  ///< Of an event_log that has to be made (PostgreSQL); 0 = it is one table.
  int max_retries = 10;  ///< Repetitions of a transaction that the database itself gave up (deadlock, serialization).
  std::chrono::milliseconds lock_timeout{200};      ///< How long a statement waits for a lock; see `commit_all`.
  std::chrono::milliseconds statement_timeout{10'000};  ///< How long one statement may run.
  std::chrono::milliseconds connect_timeout{5'000};     ///< How long one attempt to connect may take.
  std::chrono::milliseconds reconnect_limit{3'000};     ///< How long a commit tries to get a lost connection back.
  bool require_durable = false;  ///< Refuse a store that can lose what it has committed; see `store_warning`.
  std::chrono::milliseconds clock_offset{0};  ///< Shifts the time by which units expire; the node sets its own clock.offset.
};

/// What does not keep a program from using a store, but an operator has to know.
struct store_warning {
  bool is_critical = false;  ///< Events that were committed can be lost.
  std::string message;
};

/// A store by its URI: where connections come from. Any thread may call any member.
class database {
 public:
  virtual ~database() = default;

  /// A connection for commits.
  [[nodiscard]] virtual auto open_writer() -> std::unique_ptr<store> = 0;
  /// A connection for reads; does not wait behind a writer. It writes nothing: `commit_all`, `commit_snapshot` and SQL
  /// that changes something are refused as `invalid_argument`.
  [[nodiscard]] virtual auto open_reader() -> std::unique_ptr<store> = 0;

  /// A connection to the table of the nodes that share this store.
  [[nodiscard]] virtual auto open_members() -> std::unique_ptr<member_table> = 0;

  /// Creates or upgrades the store's own tables and those of `components`, in order; steps already applied are skipped.
  /// What was applied before and has gone since (an index, a column, a trigger) is put back where that is safe.
  /// Returns what was applied, `component number` each, or put back. Safe to run concurrently from several processes. Errors, beside
  /// those of `check`:
  /// `invalid_argument` (the numbers of a component are not 1, 2, 3 ..., or a step has no SQL), `store_unavailable`,
  /// `schema_too_new`, `invalid_setting` (the role lacks a right), `internal_error` (a step's SQL fails; what came
  /// before it stays applied).
  /// PostgreSQL: the connection stays for the first writer or reader that is opened afterwards; so does that of `check`.
  [[nodiscard]] virtual auto migrate(std::span<const migration> components) -> result<std::vector<std::string>> = 0;

  /// Checks that the store can be reached and that its schema is there and readable by this program, that every step of
  /// `components` was applied, and that what the steps made is still there: the keys and indexes that judge races, the columns of the
  /// store's own tables, the tables of `components`. Errors: `store_unavailable` (also: what is missing, and what puts it back),
  /// `schema_too_new`, `invalid_setting` (a pooler that shares sessions, a server that `store.require-durable` refuses,
  /// a schema that the role may not use), and
  /// `invalid_argument` as for `migrate`.
  [[nodiscard]] virtual auto check(std::span<const migration> components) -> result<void> = 0;

  /// What the newest `migrate` or `check` that succeeded has found beside: settings of the server by which a crash can lose what was
  /// committed, triggers that are missing or disabled. Any thread.
  [[nodiscard]] virtual auto warnings() -> std::vector<store_warning> { return {}; }

  /// Fills the tables of a projection anew from the log, and puts them in the place of the old ones at once, in the last
  /// transaction: until then everybody sees the old ones, and after a failure nothing has changed. Blocks; uses connections of
  /// its own. Any number of processes may write meanwhile. Events that an application of the seed wrote count when their aggregate
  /// has others of one of the types.
  ///
  /// PostgreSQL: the new tables are filled in a schema of their own, aggregate by aggregate, each in sequence order and committed
  /// together with how far it has come, so that a rebuild that was stopped or killed goes on where it was (until it is taken up again or
  /// abandoned, each commit also notes for it what it appended to). Unique constraints other than primary keys are built when all has been
  /// projected once. Commands wait only while the last events are projected and the tables change places: nothing that takes
  /// longer the more data there is happens then. Where the projection is `ordered_between_aggregates` the events come in timestamp order, up to
  /// some seconds ago while commands go on, and then the last ones; it begins anew when a writer's clock is further behind than that, and
  /// after it was stopped. SQLite: all in one transaction, in the order of commits; commits that come meanwhile find the store unavailable.
  ///
  /// Errors: `invalid_argument` (the plan, or its schema's SQL), `invalid_setting` (the role lacks a right),
  /// `store_in_use` (this projection is being rebuilt already),
  /// `projection_failed` (naming aggregate, sequence and event, or the constraint), `shutting_down` (`watch` said stop),
  /// `store_unavailable`, `internal_error`.
  [[nodiscard]] virtual auto rebuild(const rebuild_plan& plan, const rebuild_watch& watch) -> result<rebuild_progress> = 0;

  /// Ends, at once, whatever waits for the server on a connection of this database, and connects no more: it fails as if the connection
  /// had been lost. A connection that is just being made is waited for as long as its timeout says. For the end of a
  /// process. An embedded store waits for no server: it gives up only what its file refuses and would be tried again.
  virtual void cut_off() {}

  /// True when no other process can write to this store, so that what this process knows is what there is.
  [[nodiscard]] virtual auto single_owner() const noexcept -> bool = 0;
  [[nodiscard]] virtual auto sql_dialect() const noexcept -> dialect = 0;

  /// The URI for people: never with a password.
  [[nodiscard]] virtual auto display_name() const -> std::string = 0;
};

/// Opens `uri`: `sqlite:FILE`, `sqlite::memory:`, or libpq's own `postgresql://...`. Does not connect to a server yet; an
/// embedded file is created and locked here. Errors: `invalid_setting` (no such kind of store), `store_in_use` (another
/// process holds the file), `store_unavailable` (the file cannot be opened).
[[nodiscard]] auto open_database(const std::string& uri, const store_settings& settings = {})
    -> result<std::shared_ptr<database>>;

/// `uri` without its password, wherever it is written (user part or query), for logs and messages.
[[nodiscard]] auto redact_uri(std::string_view uri) -> std::string;

}  // namespace maestro
