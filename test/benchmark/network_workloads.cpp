#include "measuring.hpp"
#include "references.hpp"
#include "subject.hpp"
#include "workloads.hpp"

#include <maestro/runtime/certificates.hpp>

#include <filesystem>

namespace maestro::benchmark {

namespace {

// So many nodes in processes of their own, on a schema of their own.
auto remote_nodes(const surroundings& at, int count, const std::string& schema, const std::vector<std::string>& arguments = {},
                  const client_settings& how = {}) {
  return std::make_shared<scene<ledger>>(fresh_schema(at.server, schema), 1000, find_postmaster(at.server), at, count, arguments, how);
}

auto through_client(std::string name, std::string title, std::size_t callers, double target, bool with_tls) -> workload {
  return {.name = std::move(name),
          .title = std::move(title),
          .wanted = target > 0 ? goal::ratio_at_least : goal::none,
          .target = target,
          .set_up = [=](const surroundings& at) -> contest {
            std::vector<std::string> arguments;
            client_settings how;
            if (with_tls) {
              const auto folder = at.folder + "/certificates";
              if (!std::filesystem::exists(folder)) (void)must(make_certificates({.folder = folder, .name = {}, .hosts = {}}));
              how.tls = {.certificate_file = folder + "/client.crt", .key_file = folder + "/client.key", .ca_file = folder + "/ca.crt"};
              arguments = {"--tls.certificate-file", folder + "/node.crt", "--tls.key-file", folder + "/node.key", "--tls.ca-file", folder + "/ca.crt"};
            }
            const auto all = remote_nodes(at, 1, "bench", arguments, how);
            return {{{"ours", all->sends(callers)}, pgbench_inserts(at, all->uri, 64, entry_json())}, all};
          }};
}

// A client sends each command to the node that owns its aggregate.
auto several_nodes(int count, const std::string& word) -> workload {
  return {.name = "nodes_" + std::to_string(count),
          .title = word + " nodes on one database, 256 outstanding, against one node",
          .set_up = [=](const surroundings& at) -> contest {
            const auto many = remote_nodes(at, count, "bench");
            const auto one = remote_nodes(at, 1, "bench_one");
            return {{{word + " nodes", many->sends(256)}, {"one node", one->sends(256)}}, std::make_shared<decltype(std::pair(many, one))>(many, one)};
          }};
}

}  // namespace

auto network_workloads() -> std::vector<workload> {
  return {through_client("client_64", "a client in another process, 64 outstanding", 64, 2, false),
          through_client("client_tls_64", "the same over TLS", 64, 0, true),
          through_client("client_1024", "a client in another process, 1,024 outstanding", 1024, 0, false),
          several_nodes(2, "two"),
          several_nodes(3, "three"),
          several_nodes(5, "five")};
}

}  // namespace maestro::benchmark
