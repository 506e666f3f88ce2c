#include "measuring.hpp"
#include "references.hpp"
#include "subject.hpp"
#include "workloads.hpp"

#include <filesystem>

namespace maestro::benchmark {

namespace {

struct embedded_scene {
  embedded_scene(const std::string& file, std::size_t count) : nodes("sqlite:" + file, 0), accounts(count) {}
  subject nodes;
  ledgers<ledger> accounts;
};

// An empty store in a file of its own.
auto fresh_file(const surroundings& at, const std::string& name) -> std::string {
  const auto file = at.folder + "/" + name + ".db";
  for (const char* end : {"", "-wal", "-shm", "-lock"}) std::filesystem::remove(file + end);
  return file;
}

auto embedded(std::size_t callers, std::size_t aggregates) -> workload {
  const auto people = std::to_string(callers) + (callers == 1 ? " caller" : " callers");
  return {.name = "embedded_" + std::to_string(callers),
          .title = "the embedded store, " + people + ", against a plain loop on SQLite",
          .set_up = [=](const surroundings& at) -> contest {
            const auto reference = fresh_file(at, "loop");
            (void)must(must(open_database("sqlite:" + reference))->migrate({}));
            const auto all = std::make_shared<embedded_scene>(fresh_file(at, "ours"), aggregates);
            const auto ask = all->accounts.sends(all->nodes.client(), [] { return record{example_entry()}; });
            return {{{"ours", [all, ask, callers](auto length) { return all->nodes.round(callers, length, ask); }},
                     sqlite_inserts(reference, must(encode(recorded{example_entry()})))},
                    all};
          }};
}

}  // namespace

auto embedded_workloads() -> std::vector<workload> { return {embedded(1, 1), embedded(64, 1000), embedded(1024, 1000)}; }

}  // namespace maestro::benchmark
