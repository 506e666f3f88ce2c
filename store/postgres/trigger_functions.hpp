// The functions of the log's triggers, for the steps that make them and for the repair that puts them back: each goes behind CREATE or
// CREATE OR REPLACE. A step that is released never changes: another form of a function is another text, and another step.
#pragma once

namespace maestro::postgres {

/// What refuses UPDATE, DELETE and TRUNCATE, for row and statement triggers.
inline constexpr const char* refuse_rewrite_function = R"(
FUNCTION maestro_refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
  IF current_setting('maestro.allow_rewrite', true) = 'on' THEN
    RETURN coalesce(NEW, OLD);
  END IF;
  RAISE EXCEPTION '% on % is refused: events are never changed or removed', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation',
          HINT = 'Where it has to be: SET LOCAL maestro.allow_rewrite = ''on'' first, in the same transaction.';
END $function$;
)";

/// Gives a row without a command id a timestamp above that of the event before.
inline constexpr const char* lift_timestamp_function = R"(
FUNCTION maestro_lift_timestamp() RETURNS trigger LANGUAGE plpgsql AS $function$
DECLARE
  before bytea;
BEGIN
  IF coalesce(pg_partition_root(TG_RELID)::oid, TG_RELID) = to_regclass('event_log')::oid THEN
    SELECT timestamp INTO before FROM event_log WHERE aggregate_id = NEW.aggregate_id AND sequence = NEW.sequence - 1;
  ELSE  -- That of a schema which is not the first in the search path. Its plan cannot be kept.
    EXECUTE format('SELECT timestamp FROM %s WHERE aggregate_id = $1 AND sequence = $2', TG_RELID::regclass)
      INTO before USING NEW.aggregate_id, NEW.sequence - 1;
  END IF;
  IF before >= NEW.timestamp THEN
    NEW.timestamp := int8send(('x' || encode(substring(before FOR 8), 'hex'))::bit(64)::bigint + 1)
      || int4send(-1 - floor(random() * 2147483647)::integer) || substring(NEW.timestamp FROM 13);
  END IF;
  RETURN NEW;
END $function$;
)";

}  // namespace maestro::postgres
