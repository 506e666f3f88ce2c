// The tables of the nodes that share a store, for the migration that makes them and the repair that makes them again.
#pragma once

namespace maestro::postgres {

// A change of which members are alive holds the row until it commits. A node puts back a row that is missing (sql::restore_cluster).
inline constexpr const char* cluster_table = R"(maestro_cluster (
    only_row boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint  NOT NULL
  );
)";

inline constexpr const char* members_table = R"(maestro_members (
    incarnation bytea        NOT NULL PRIMARY KEY,
    name        varchar(256) NOT NULL,
    address     varchar(256) NOT NULL,
    run         bigint       NOT NULL,
    status      varchar(16)  NOT NULL,
    heartbeat   bigint       NOT NULL DEFAULT 0,
    joined_at   timestamptz  NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    CONSTRAINT incarnation_size CHECK (length(incarnation) = 16),
    CONSTRAINT status_is_known  CHECK (status IN ('alive', 'left', 'dead')),
    CONSTRAINT ended_when_ended CHECK ((status = 'alive') = (ended_at IS NULL))
  ) WITH (fillfactor = 50);  -- Room for the heartbeats' new row versions, so that they stay in their page.
)";

}  // namespace maestro::postgres
