#include <maestro/store/postgres/rebuild_belongings.hpp>

namespace maestro::postgres {

namespace {

// The tables and views that the steps make, and those whose places they take.
const std::string made = R"(
  made AS (
    SELECT new.oid AS new, old.oid AS old, old.relname::text AS name, format('{home}.%I', old.relname) AS target
    FROM pg_class AS new JOIN pg_class AS old ON old.relname = new.relname AND old.relnamespace = '{home}'::regnamespace
    WHERE new.relnamespace = '{shadow}'::regnamespace AND new.relkind IN ('r', 'p', 'v', 'm') AND new.relname NOT LIKE 'maestro\_rebuild\_%'),
  own_index AS (
    SELECT made.name AS table_name, kept.oid, kept.relname, index.indisunique FROM made JOIN pg_index AS index ON index.indrelid = made.old
    JOIN pg_class AS kept ON kept.oid = index.indexrelid
    WHERE index.indisvalid AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = kept.oid AND conrelid = made.old)
      AND NOT EXISTS (SELECT FROM pg_class AS other WHERE other.relnamespace = '{shadow}'::regnamespace AND other.relname = kept.relname)))";

// Rows of: lost, index or carried; the text.
const std::string look = "WITH" + made + R"(,
  part AS (
    SELECT made.*, held.attname, held.attnum, format('%s.%I', made.name, held.attname) AS called, held AS was, wanted AS becomes
    FROM made JOIN pg_attribute AS held ON held.attrelid = made.old AND held.attnum > 0 AND NOT held.attisdropped
    LEFT JOIN pg_attribute AS wanted ON wanted.attrelid = made.new AND wanted.attname = held.attname AND NOT wanted.attisdropped)
  SELECT 'lost', 'column ' || called || ', which no migration step makes' FROM part WHERE (becomes).attname IS NULL
  UNION ALL
  SELECT 'lost', 'the type, NOT NULL, identity or collation of column ' || called || ', which the migration steps make otherwise' FROM part
  WHERE (becomes).attname IS NOT NULL
    AND (format_type((was).atttypid, (was).atttypmod), (was).attnotnull, (was).attidentity, (was).attgenerated, (was).attcollation)
        IS DISTINCT FROM (format_type((becomes).atttypid, (becomes).atttypmod), (becomes).attnotnull, (becomes).attidentity, (becomes).attgenerated, (becomes).attcollation)
  UNION ALL
  SELECT 'lost', 'the default of column ' || called || ', which the migration steps make otherwise' FROM part
  LEFT JOIN pg_attrdef AS was_set ON was_set.adrelid = part.old AND was_set.adnum = part.attnum
  LEFT JOIN pg_attrdef AS is_set ON is_set.adrelid = part.new AND is_set.adnum = (part.becomes).attnum
  WHERE (becomes).attname IS NOT NULL
    AND replace(replace(pg_get_expr(was_set.adbin, was_set.adrelid), '{home}.', ''), '{shadow}.', '')
        IS DISTINCT FROM replace(replace(pg_get_expr(is_set.adbin, is_set.adrelid), '{home}.', ''), '{shadow}.', '')
  UNION ALL
  SELECT 'lost', format('constraint %I of %s, which no migration step makes', rule.conname, made.name)
  FROM made JOIN pg_constraint AS rule ON rule.conrelid = made.old AND rule.contype IN ('c', 'f', 'u', 'x', 'p')
  WHERE NOT EXISTS (SELECT FROM pg_constraint AS other WHERE other.conrelid = made.new AND other.conname = rule.conname)
    AND NOT EXISTS (SELECT FROM {shadow}.maestro_rebuild_constraints WHERE off LIKE '% ' || replace(quote_ident(rule.conname), '_', '\_'))
  UNION ALL
  SELECT 'lost', format('%s is another kind of table than the migration steps make', made.name)
  FROM made JOIN pg_class AS was ON was.oid = made.old JOIN pg_class AS becomes ON becomes.oid = made.new
  WHERE (was.relkind, was.relpersistence, was.reltablespace, was.relam, was.reloftype)
        IS DISTINCT FROM (becomes.relkind, becomes.relpersistence, becomes.reltablespace, becomes.relam, becomes.reloftype)
  UNION ALL
  SELECT 'lost', format('table %s, which inherits from %s or is a part of it', inhrelid::regclass, inhparent::regclass)
  FROM pg_inherits WHERE (inhparent IN (SELECT old FROM made) OR inhrelid IN (SELECT old FROM made))
    AND NOT (inhparent IN (SELECT old FROM made) AND inhrelid IN (SELECT old FROM made))
    AND inhrelid NOT IN (SELECT indexrelid FROM pg_index)
  UNION ALL
  SELECT 'lost', format('the security label of %s', made.name) FROM made
  WHERE EXISTS (SELECT FROM pg_seclabel WHERE objoid = made.old AND classoid = 'pg_class'::regclass)
  UNION ALL
  SELECT 'lost', format('%s, which refers to %s', pg_describe_object(depend.classid, depend.objid, 0), made.name)
  FROM made JOIN pg_class AS was ON was.oid = made.old
  JOIN (SELECT DISTINCT classid, objid, refclassid, refobjid FROM pg_depend WHERE deptype = 'n') AS depend
    ON (depend.refclassid = 'pg_class'::regclass AND depend.refobjid = made.old)
    OR (depend.refclassid = 'pg_type'::regclass AND depend.refobjid IN (was.reltype, (SELECT typarray FROM pg_type WHERE oid = was.reltype)))
  WHERE NOT EXISTS (SELECT FROM pg_rewrite WHERE depend.classid = 'pg_rewrite'::regclass AND oid = depend.objid AND ev_class IN (SELECT old FROM made))
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE depend.classid = 'pg_constraint'::regclass AND oid = depend.objid AND conrelid IN (SELECT old FROM made))
    AND NOT EXISTS (SELECT FROM pg_policy WHERE depend.classid = 'pg_policy'::regclass AND oid = depend.objid AND polrelid IN (SELECT old FROM made))
    AND NOT EXISTS (SELECT FROM pg_trigger WHERE depend.classid = 'pg_trigger'::regclass AND oid = depend.objid
                    AND (tgisinternal OR tgrelid IN (SELECT old FROM made)))
  UNION ALL
  SELECT 'lost', format('the columns or rows by which publication %I has %s', pubname, made.name)
  FROM made JOIN pg_publication_rel AS rel ON rel.prrelid = made.old JOIN pg_publication AS publication ON publication.oid = rel.prpubid
  WHERE to_jsonb(rel)->>'prqual' IS NOT NULL OR to_jsonb(rel)->>'prattrs' IS NOT NULL
  UNION ALL
  SELECT 'index', relname FROM own_index
  UNION ALL
  SELECT 'carried', format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target) FROM made JOIN pg_class ON oid = old WHERE relrowsecurity
  UNION ALL
  SELECT 'carried', format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target) FROM made JOIN pg_class ON oid = old WHERE relforcerowsecurity
  UNION ALL
  SELECT 'carried', format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', polname, target, CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
           CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
           (SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE role::regrole::text END, ', ') FROM unnest(polroles) AS role))
         || coalesce(' USING (' || pg_get_expr(polqual, polrelid) || ')', '') || coalesce(' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', '')
  FROM made JOIN pg_policy AS rule ON rule.polrelid = made.old
  WHERE NOT EXISTS (SELECT FROM pg_policy AS other WHERE other.polrelid = made.new AND other.polname = rule.polname)
  UNION ALL
  SELECT 'carried', format('GRANT %s (%I) ON %s TO %s%s', privilege_type, attname, target, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                           CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
  FROM part, aclexplode((was).attacl) AS granted
  UNION ALL
  SELECT 'carried', format('GRANT %s ON SEQUENCE {home}.%I TO %s%s', privilege_type, sequence.relname,
                           CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
  FROM made JOIN pg_depend AS depend ON depend.refclassid = 'pg_class'::regclass AND depend.refobjid = made.old AND depend.deptype IN ('a', 'i')
  JOIN pg_class AS sequence ON depend.classid = 'pg_class'::regclass AND sequence.oid = depend.objid AND sequence.relkind = 'S', aclexplode(sequence.relacl) AS granted
  WHERE grantee <> sequence.relowner
  UNION ALL
  SELECT 'carried', format('COMMENT ON %s %s%s IS %L', CASE WHEN objsubid > 0 THEN 'COLUMN' WHEN relkind = 'v' THEN 'VIEW' WHEN relkind = 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END,
                           target, CASE WHEN objsubid > 0 THEN (SELECT format('.%I', attname) FROM pg_attribute WHERE attrelid = old AND attnum = objsubid) ELSE '' END, description)
  FROM made JOIN pg_class ON oid = old JOIN pg_description ON classoid = 'pg_class'::regclass AND objoid = old
  UNION ALL
  SELECT 'carried', format('COMMENT ON INDEX {home}.%I IS %L', relname, description)
  FROM made JOIN pg_index ON indrelid = old JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_description ON classoid = 'pg_class'::regclass AND objoid = indexrelid
  UNION ALL
  SELECT 'carried', format('COMMENT ON CONSTRAINT %I ON %s IS %L', conname, target, description)
  FROM made JOIN pg_constraint AS rule ON conrelid = old JOIN pg_description ON classoid = 'pg_constraint'::regclass AND objoid = rule.oid
  UNION ALL
  SELECT 'carried', format('ALTER TABLE %s SET (%s = %L)', target, split_part(option, '=', 1), substr(option, position('=' IN option) + 1))
  FROM made JOIN pg_class AS was ON was.oid = old AND was.relkind IN ('r', 'm') JOIN pg_class AS becomes ON becomes.oid = new,
       LATERAL (SELECT unnest(was.reloptions) EXCEPT SELECT unnest(becomes.reloptions)
                UNION ALL SELECT 'toast.' || unnest(reloptions) FROM pg_class WHERE pg_class.oid = was.reltoastrelid) AS more (option)
  UNION ALL
  SELECT 'carried', format('ALTER VIEW %s SET (%s = %L)', target, split_part(option, '=', 1), substr(option, position('=' IN option) + 1))
  FROM made JOIN pg_class AS was ON was.oid = old AND was.relkind = 'v', unnest(was.reloptions) AS option
  UNION ALL
  SELECT 'carried', format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', target, attname, (was).attstattarget) FROM part
  WHERE coalesce((was).attstattarget, -1) >= 0 AND (was).attstattarget IS DISTINCT FROM (becomes).attstattarget
  UNION ALL
  SELECT 'carried', format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', target, attname, option)
  FROM part, unnest((was).attoptions) AS option  -- The server may keep others there for itself.
  WHERE split_part(option, '=', 1) IN ('n_distinct', 'n_distinct_inherited') AND (option = ANY ((becomes).attoptions)) IS NOT TRUE
  UNION ALL
  SELECT 'carried', format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE %s', target, attname,
                           CASE (was).attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END)
  FROM part JOIN pg_class ON oid = old AND relkind = 'r' WHERE (was).attstorage <> (becomes).attstorage
  UNION ALL
  SELECT 'carried', pg_get_statisticsobjdef(stats.oid) FROM made JOIN pg_statistic_ext AS stats ON stxrelid = old
  WHERE NOT EXISTS (SELECT FROM pg_statistic_ext AS other WHERE other.stxrelid = new AND other.stxname = stats.stxname)
  UNION ALL
  SELECT 'carried', pg_get_ruledef(rule.oid) FROM made JOIN pg_rewrite AS rule ON ev_class = old AND rulename <> '_RETURN'
  WHERE NOT EXISTS (SELECT FROM pg_rewrite AS other WHERE other.ev_class = new AND other.rulename = rule.rulename)
  UNION ALL
  SELECT 'carried', pg_get_triggerdef(rule.oid) || CASE tgenabled WHEN 'O' THEN '' ELSE format('; ALTER TABLE %s %s TRIGGER %I', target,
           CASE tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, tgname) END
  FROM made JOIN pg_trigger AS rule ON tgrelid = old AND NOT tgisinternal
  WHERE NOT EXISTS (SELECT FROM pg_trigger AS other WHERE other.tgrelid = new AND other.tgname = rule.tgname)
  UNION ALL
  SELECT 'carried', format('ALTER PUBLICATION %I ADD TABLE %s', pubname, target)
  FROM made JOIN pg_publication_rel ON prrelid = old JOIN pg_publication AS publication ON publication.oid = prpubid
  UNION ALL
  SELECT 'carried', format('ALTER TABLE %s REPLICA IDENTITY %s', target, CASE relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE
           (SELECT 'USING INDEX ' || quote_ident(kept.relname) FROM pg_index JOIN pg_class AS kept ON kept.oid = indexrelid WHERE indrelid = old AND indisreplident) END)
  FROM made JOIN pg_class ON oid = old WHERE relkind IN ('r', 'p') AND relreplident <> 'd'
)";

const std::string list_indexes = "WITH" + made + R"(
  INSERT INTO {shadow}.maestro_rebuild_constraints (back, off, is_rule)
  SELECT format('CREATE %sINDEX %I ON {shadow}.%I', CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END, relname, table_name) ||
           substr(pg_get_indexdef(oid), position(' USING ' IN pg_get_indexdef(oid))),
         format('DROP INDEX IF EXISTS {shadow}.%I', relname), indisunique
  FROM own_index
  WHERE NOT EXISTS (SELECT FROM {shadow}.maestro_rebuild_constraints AS listed WHERE listed.off = format('DROP INDEX IF EXISTS {shadow}.%I', relname))
)";

}  // namespace

auto look_for_belongings(rebuild_session& session) -> rebuild_belongings {
  rebuild_belongings found;
  for (const auto& row : session.query(look)) {
    const auto kind = row.at(0).as<std::string>();
    auto& list = kind == "lost" ? found.lost : kind == "index" ? found.indexes : found.carried;
    list.push_back(row.at(1).as<std::string>());
  }
  return found;
}

void list_own_indexes(rebuild_session& session) { (void)session.query(list_indexes); }

}  // namespace maestro::postgres
