#include "filling.hpp"
#include "measuring.hpp"
#include "references.hpp"
#include "subject.hpp"
#include "workloads.hpp"

namespace maestro::benchmark {

namespace {

auto embedded(std::size_t callers, std::size_t aggregates) -> workload {
  return {.name = "embedded_" + std::to_string(callers),
          .title = "the embedded store, " + many(callers, "caller") + ", against a plain loop on SQLite",
          .set_up = [=](const surroundings& at) -> contest {
            const auto reference = fresh_file(at, "loop");
            (void)must(must(open_database("sqlite:" + reference))->migrate({}));
            const auto all = std::make_shared<scene<ledger>>("sqlite:" + fresh_file(at, "ours"), aggregates, 0);
            return {{{"ours", all->sends(callers)},
                     sqlite_inserts(reference, entry_json())},
                    all};
          }};
}

}  // namespace

auto embedded_workloads() -> std::vector<workload> { return {embedded(1, 1), embedded(64, 1000), embedded(1024, 1000)}; }

}  // namespace maestro::benchmark
