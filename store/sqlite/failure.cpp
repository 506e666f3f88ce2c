#include <maestro/store/sqlite/failure.hpp>

#include <sqlite3.h>

#include <array>

namespace maestro::sqlite {

namespace {

// What an error is about.
enum class meaning : std::uint8_t {
  trouble,      // The machine, the file or another connection is in the way.
  damaged,      // A page of the file is: perhaps that of one aggregate.
  unknown,      // What was written may be found in the file after a crash, or not.
  taken,        // A key exists already.
  refused,      // A row that violates a constraint, or that a trigger refuses.
  unfit,        // A value that the tables do not take.
  statement,    // The statement does not fit the schema.
  wrong,        // Everything that is not named.
};

struct code_row {
  int code;  // An extended code, or a primary one, which stands for all that extend it unless they are named.
  meaning means;
};

constexpr std::array codes{
    code_row{SQLITE_BUSY, meaning::trouble},      code_row{SQLITE_LOCKED, meaning::trouble},
    code_row{SQLITE_FULL, meaning::trouble},      code_row{SQLITE_READONLY, meaning::trouble},
    code_row{SQLITE_CANTOPEN, meaning::trouble},  code_row{SQLITE_NOMEM, meaning::trouble},
    code_row{SQLITE_NOTADB, meaning::trouble},    code_row{SQLITE_PERM, meaning::trouble},
    code_row{SQLITE_PROTOCOL, meaning::trouble},  code_row{SQLITE_INTERRUPT, meaning::trouble},
    code_row{SQLITE_CORRUPT, meaning::damaged},
    code_row{SQLITE_IOERR, meaning::unknown},     // at COMMIT: a sync that failed
    code_row{SQLITE_CONSTRAINT, meaning::refused},
    code_row{SQLITE_CONSTRAINT_UNIQUE, meaning::taken},
    code_row{SQLITE_CONSTRAINT_PRIMARYKEY, meaning::taken},
    code_row{SQLITE_CONSTRAINT_DATATYPE, meaning::unfit},
    code_row{SQLITE_TOOBIG, meaning::unfit},      code_row{SQLITE_MISMATCH, meaning::unfit},
    code_row{SQLITE_ERROR, meaning::statement},   // no such table, a syntax error
};

struct meaning_row {
  meaning means;
  verdict begin, events, projection, commit, call, query, migration;
};

// What is checked at COMMIT is what projections left behind: the events were checked by their insert. A statement of the
// store's own that does not fit the schema misses a migration. Only a constraint of a projection's table is an answer to a command.
// All else there is the program's fault, which no caller can help.
constexpr auto verdicts = [] {
  using enum verdict;
  constexpr auto projection = projection_failed, program = program_failed, internal = internal_error, argument = invalid_argument;
  return std::array{
      //          meaning             begin        events         projection   commit       call         query        migration
      meaning_row{meaning::trouble,   unavailable, unavailable,   unavailable, unavailable, unavailable, unavailable, unavailable},
      meaning_row{meaning::damaged,   unavailable, damaged,       program,     unavailable, damaged,     unavailable, unavailable},
      meaning_row{meaning::unknown,   unavailable, unavailable,   unavailable, in_doubt,    unavailable, unavailable, unavailable},
      meaning_row{meaning::taken,     internal,    conflict,      projection,  projection,  internal,    argument,    internal},
      meaning_row{meaning::refused,   internal,    invalid_event, projection,  projection,  internal,    argument,    internal},
      meaning_row{meaning::unfit,     internal,    invalid_event, program,     program,     internal,    argument,    internal},
      meaning_row{meaning::statement, internal,    unavailable,   program,     internal,    unavailable, argument,    internal},
      meaning_row{meaning::wrong,     internal,    internal,      program,     internal,    internal,    argument,    internal},
  };
}();

static_assert([] {
  for (std::size_t i = 0; i < verdicts.size(); ++i)
    if (verdicts[i].means != static_cast<meaning>(i)) return false;
  return verdicts.size() == static_cast<std::size_t>(meaning::wrong) + 1;
}(), "a row for each meaning, in their order");

auto meaning_of(const sql_error& problem) -> meaning {
  constexpr int primary = 0xFF;
  meaning found = meaning::wrong;
  for (const auto& row : codes) {
    if (row.code == problem.code()) return row.means;
    if (row.code == (problem.code() & primary)) found = row.means;
  }
  return found;
}

auto verdict_on(const sql_error& problem, stage stage) -> verdict {
  const auto& row = verdicts.at(static_cast<std::size_t>(meaning_of(problem)));
  switch (stage) {
    case stage::begin: return row.begin;
    case stage::insert:  // Never: here COMMIT is a statement of its own.
    case stage::events: return row.events;
    case stage::projection: return row.projection;
    case stage::commit: return row.commit;
    case stage::call: return row.call;
    case stage::query: return row.query;
    case stage::migration: return row.migration;
  }
  return verdict::internal_error;
}

}  // namespace

auto error_of(const sql_error& problem, stage stage) -> error {
  const verdict said = verdict_on(problem, stage);
  std::string text = said == verdict::projection_failed || said == verdict::program_failed ? "projection failed: " : "SQLite: ";
  text += problem.what();
  if (said == verdict::unavailable && meaning_of(problem) == meaning::statement)
    text += "; if it is a table of the store, run `maestro migrate`";
  return error_from(said, std::move(text));
}

auto outcome_of(const sql_error& problem, stage stage) -> write_outcome {
  return {status_of(verdict_on(problem, stage)), error_of(problem, stage), {}};
}

}  // namespace maestro::sqlite
