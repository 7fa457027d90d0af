"""What SQL of somebody who means harm looks like: a name, the SQL, and what must come of it in the box.

In the SQL {live} is a data file of the lake, {other} one that is no longer of it, {lake} its folder, {folder} the one
around it, {secret} a file beside it that says swordfish, and {link} a symbolic link to that inside of the lake.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple


class Attack(NamedTuple):
    name: str
    sql: str
    outcome: Literal["refused", "stopped", "harmless"]
    """harmless: it has an answer, in which nothing stands that it may not see."""


ATTACKS: Final = (
    # Files
    Attack("a file by read_csv", "from read_csv('{secret}')", "refused"),
    Attack("a file by its name", "from '{secret}'", "refused"),
    Attack("a file by read_text", "from read_text('{secret}')", "refused"),
    Attack("a file by read_blob", "from read_blob('{secret}')", "refused"),
    Attack("a file by sniff_csv", "from sniff_csv('{secret}')", "refused"),
    Attack("a file by read_json", "from read_json('{secret}')", "refused"),
    Attack("a file by read_json_objects", "from read_json_objects('{secret}')", "refused"),
    Attack("a file by read_ndjson", "from read_ndjson_auto('{secret}')", "refused"),
    Attack("a file by read_duckdb", "from read_duckdb('{secret}')", "refused"),
    Attack("a file by way of ..", "from read_text('{lake}/spans/../../secret.csv')", "refused"),
    Attack("a file by way of a live file and ..", "from read_text('{live}/../../../../secret.csv')", "refused"),
    Attack("a file by a link inside of the lake", "from read_text('{link}')", "refused"),
    Attack("a file by a glob", "from read_text('{folder}/*')", "refused"),
    Attack("names of files by glob()", "from glob('{folder}/*')", "refused"),
    Attack("names of files of the lake by glob()", "from glob('{lake}/**')", "refused"),
    Attack("a file by a list", "from read_text(['{live}', '{secret}'])", "refused"),
    Attack("a file by a file: address", "from read_text('file://{secret}')", "refused"),
    Attack("a file that the lake no longer has", "from read_parquet('{other}')", "refused"),
    Attack("the log of the table", "from read_text('{lake}/spans/_delta_log/00000000000000000000.json')", "refused"),
    Attack("a live file behind a null byte", "from read_text('{live}' || chr(0) || '/../secret.csv')", "refused"),
    Attack("accounts", "from read_csv('/etc/passwd', header = false)", "refused"),
    Attack("hashes of passwords", "from read_text('/etc/shadow')", "refused"),
    Attack("existence of a file, by the error", "select try(1) from read_text('{secret}')", "refused"),
    Attack("a file by copy from", "create temp table t (a text); copy t from '{secret}'; from t", "refused"),
    Attack("a file by import database", "import database '{folder}'", "refused"),
    Attack("a file by way of file_search_path", "set file_search_path = '{folder}'; from 'secret.csv'", "refused"),
    Attack("a live file as bytes", "select octet_length(content) > 0 as ours from read_blob('{live}')", "harmless"),
    Attack("a live file, unpacked as gzip", "from read_csv('{live}', compression = 'gzip')", "refused"),
    Attack("a live file, unpacked as zstd", "from read_csv('{live}', compression = 'zstd')", "refused"),
    Attack("statistics of a live file", "select count(*) > 0 as ours from parquet_metadata('{live}')", "harmless"),
    Attack("statistics of another file", "from parquet_metadata('{other}')", "refused"),
    # The process
    Attack("its environment", "from read_text('/proc/self/environ')", "refused"),
    Attack("the environment of who started it", "from read_text('/proc/1/environ')", "refused"),
    Attack("its command", "from read_text('/proc/self/cmdline')", "refused"),
    Attack("its memory", "from read_blob('/proc/self/mem')", "refused"),
    Attack("its maps", "from read_text('/proc/self/maps')", "refused"),
    Attack("its standard input", "from read_text('/dev/stdin')", "refused"),
    Attack("a pipe by number", "from read_text('/proc/self/fd/3')", "refused"),
    Attack("a pipe by number in /dev", "from read_blob('/dev/fd/4')", "refused"),
    Attack("its answer, forged", "copy (select 1) to '/proc/self/fd/4' (format csv, use_tmp_file false)", "refused"),
    Attack("its standard output", "copy (select 1) to '/dev/stdout' (format csv, use_tmp_file false)", "refused"),
    Attack("endless zeros", "select length(content) from read_blob('/dev/zero')", "refused"),
    Attack("a variable of the environment", "select getenv('SPANLEDGER_API_KEY')", "refused"),
    Attack("a variable of Python", "from api_key", "refused"),
    Attack("a module of Python", "from os", "refused"),
    Attack("Python's variables, switched on", "set python_enable_replacements = true; from api_key", "refused"),
    # Writing
    Attack("copy to a new file", "copy (select 1) to '{folder}/new.csv'", "refused"),
    Attack("copy to a new file in the lake", "copy (select 1) to '{lake}/spans/dt=2026-11-03/new.parquet'", "refused"),
    Attack("copy over a live file", "copy (select 1) to '{live}' (format parquet)", "refused"),
    Attack("copy over it in place", "copy (select 1) to '{live}' (format parquet, use_tmp_file false)", "refused"),
    Attack(
        "copy over it in place, inside of a CTE",
        "with x as (copy (select 1) to '{live}' (format parquet, use_tmp_file false)) select 1",
        "refused",
    ),
    Attack("copy inside of a CTE", "with x as (copy (select 1) to '{folder}/new.csv') select 1", "refused"),
    Attack(
        "copy over it as CSV", "copy (select 1) to '{live}' (format csv, use_tmp_file false, header false)", "refused"
    ),
    Attack("copy over it as JSON", "copy (select 1 a) to '{live}' (format json, use_tmp_file false)", "refused"),
    Attack("copy over it, to append", "copy (select 1) to '{live}' (format csv, append true)", "refused"),
    Attack(
        "copy onto a live file by threads", "copy (select 1) to '{live}' (format parquet, per_thread_output)", "refused"
    ),
    Attack(
        "copy onto the folder of a live file by threads",
        "copy (select 1 a) to '{lake}/spans' (format parquet, per_thread_output, overwrite)",
        "refused",
    ),
    Attack(
        "copy onto live files by partition",
        "copy (select date '2026-11-03' dt, 1 a) to '{lake}/spans' (format parquet, partition_by dt, overwrite)",
        "refused",
    ),
    Attack(
        "copy onto live files by partition and name",
        "copy (select date '2026-11-03' dt, 1 a) to '{lake}/spans'"
        " (format parquet, partition_by dt, overwrite_or_ignore, filename_pattern 'a')",
        "refused",
    ),
    Attack(
        "copy onto a live file by size",
        "copy (from range(9)) to '{live}' (format csv, file_size_bytes 1, overwrite)",
        "refused",
    ),
    Attack("copy to a program", "copy (select 1) to program 'touch {folder}/new'", "refused"),
    Attack("copy of the database", "copy from database memory to other", "refused"),
    Attack("export database", "export database '{folder}/new'", "refused"),
    Attack("export database over the lake", "export database '{lake}/spans' (format parquet)", "refused"),
    Attack("attach a new database", "attach '{folder}/new.db'", "refused"),
    Attack("attach over a live file", "attach '{live}' as x (type duckdb)", "refused"),
    Attack("attach a live file to read", "attach '{live}' as x (read_only)", "refused"),
    Attack("attach in memory and copy", "attach ':memory:' as m; create table m.t as select 1; from m.t", "harmless"),
    Attack(
        "a profile in a file", "pragma enable_profiling = 'json'; pragma profile_output = '{folder}/new'", "refused"
    ),
    Attack("a log of queries", "set log_query_path = '{folder}/new'; select 1", "refused"),
    Attack("logging to a file", "call enable_logging(storage = 'file', storage_path = '{folder}/new')", "refused"),
    Attack("temporary files", "set temp_directory = '{folder}'; select 1", "refused"),
    Attack("insert into a view", "insert into spans select * from spans", "refused"),
    Attack("delete from a view", "delete from spans", "refused"),
    Attack("update of a view", "update llm_calls set cost_usd = 0", "refused"),
    Attack("drop of a view", "drop view llm_calls; select 1 as gone", "harmless"),
    Attack("another view in its place", "create or replace view spans as select 1 as a; from spans", "harmless"),
    Attack("a comment on a view", "comment on view spans is 'mine'; select 1", "harmless"),
    # The network and extensions
    Attack("http", "from read_csv('http://127.0.0.1:{port}/x.csv')", "refused"),
    Attack("https", "from 'https://localhost:{port}/x.parquet'", "refused"),
    Attack("s3", "from read_parquet('s3://bucket/x.parquet')", "refused"),
    Attack("azure", "from read_parquet('az://bucket/x.parquet')", "refused"),
    Attack("Hugging Face", "from read_parquet('hf://datasets/a/b/x.parquet')", "refused"),
    Attack("copy to http", "copy (select 1) to 'http://127.0.0.1:{port}/x' (format csv)", "refused"),
    Attack("attach by http", "attach 'http://127.0.0.1:{port}/x.db'", "refused"),
    Attack("install", "install httpfs", "refused"),
    Attack("install from a place", "install httpfs from 'http://127.0.0.1:{port}'", "refused"),
    Attack("install of a file", "install '{secret}'", "refused"),
    Attack("load", "load httpfs", "refused"),
    Attack("load of a file", "load '{secret}'", "refused"),
    Attack("update of extensions", "update extensions", "refused"),
    Attack("a secret", "create secret s (type s3, key_id 'a', secret 'b')", "refused"),
    Attack("a lasting secret", "create persistent secret s (type http, bearer_token 'a')", "refused"),
    Attack("secrets there are", "select count(*) as secrets from duckdb_secrets()", "refused"),
    Attack("another database's tables", "attach 'host=127.0.0.1 port={port}' as p (type postgres)", "refused"),
    # Settings
    Attack("external access on", "set enable_external_access = true", "refused"),
    Attack("external access on, for all", "set global enable_external_access = true", "refused"),
    Attack("external access as it was", "reset enable_external_access", "refused"),
    Attack("external access by pragma", "pragma enable_external_access = true", "refused"),
    Attack("more paths", "set allowed_paths = ['{secret}']; from read_text('{secret}')", "refused"),
    Attack("more directories", "set allowed_directories = ['{folder}']; from read_text('{secret}')", "refused"),
    Attack("configuration unlocked", "set lock_configuration = false", "refused"),
    Attack("configuration unlocked by reset", "reset lock_configuration", "refused"),
    Attack("no limit of time", "set max_execution_time = 0", "refused"),
    Attack("no limit of memory", "set memory_limit = '1TB'", "refused"),
    Attack("memory by reset", "reset memory_limit", "refused"),
    Attack("more threads", "set threads = 64", "refused"),
    Attack("unsigned extensions", "set allow_unsigned_extensions = true", "refused"),
    Attack("home", "set home_directory = '{folder}'", "refused"),
    Attack("another file system", "set disabled_filesystems = ''", "refused"),
    Attack("settings that there are", "select count(*) > 100 as many from duckdb_settings()", "harmless"),
    Attack("paths that there are", "select current_setting('allowed_paths')", "harmless"),
    Attack(
        "another list of files",
        "set variable live_files = ['{secret}']; select count(*) from spans",
        "refused",
    ),
    Attack(
        "another list of files, by prepare",
        "prepare p as select * from read_text(?); execute p('{secret}')",
        "refused",
    ),
    Attack("a file by query()", "from query('from read_text(''{secret}'')')", "refused"),
    Attack("a file by query_table()", "from query_table('{secret}')", "refused"),
    Attack("a file by a macro", "create macro m(f) as table from read_text(f); from m('{secret}')", "refused"),
    Attack("a file by our macro", "from files_in(['{secret}'])", "refused"),
    Attack(
        "a file by json_execute", "from json_execute_serialized_sql(json_serialize_sql('from ''{secret}'''))", "refused"
    ),
    Attack("a file by a later statement", "select 1; select 2; from read_text('{secret}')", "refused"),
    Attack("a file by a subquery", "select (select content from read_text('{secret}'))", "refused"),
    Attack("a file by a trigger", "create table t (a text); create trigger g after insert on t execute 'x'", "refused"),
    Attack("a checkpoint", "force checkpoint; select 1", "harmless"),
    Attack("a vacuum", "vacuum analyze; select 1", "harmless"),
    Attack("an end of the database", "detach memory", "refused"),
    # Too much
    Attack(
        "a table of a billion texts", "create table t as select repeat('x', 1000) from range(1000000000)", "stopped"
    ),
    Attack("too long an answer", "select repeat('x', 100000) from range(100000)", "harmless"),
    Attack("too wide an answer", "select repeat('x', 200000000)", "stopped"),
)
"""What ends by itself, or is refused at once."""

BOMBS: Final = (
    Attack("a text of 2 GB", "select length(repeat('x', 2000000000))", "stopped"),
    Attack("a cross join", "select count(*) from range(100000000) a, range(100000000) b", "stopped"),
    Attack(
        "an endless recursion",
        "with recursive r as (select 1 a union all from r) select count(*) from r",
        "stopped",
    ),
    Attack("texts of 2 GB, padded", "select length(lpad('x', 2000000000, 'y'))", "stopped"),
    Attack("an aggregate of texts", "select length(string_agg(repeat('x', 10000), '')) from range(1000000)", "stopped"),
    Attack("a list of a billion", "select len(list(a)) from range(1000000000) t(a)", "stopped"),
    Attack("a list made at once", "select len(range(2000000000))", "stopped"),
    Attack(
        "lists of lists",
        "select len(list_transform(range(100000), lambda x: range(100000)))",
        "stopped",
    ),
    Attack(
        "a regular expression",
        "select count(*) from range(10000000) where regexp_matches(repeat('a', 2000 + range % 7), '(a?){{99}}a{{99}}')",
        "stopped",
    ),
    Attack("a sort of everything", "select * from range(2000000000) t(a) order by hash(a)", "stopped"),
    Attack(
        "a window of everything", "select count(*) over (order by a) from range(2000000000) t(a) limit 1", "stopped"
    ),
    Attack("a hash table of everything", "select count(distinct a) from range(4000000000) t(a)", "stopped"),
    Attack("a number with a million digits", "select length(repeat('9', 300000000)::json::varchar)", "stopped"),
    Attack(
        "a pivot of everything", "pivot (select a, a % 100000 b from range(10000000) t(a)) on b using sum(a)", "stopped"
    ),
    Attack("deep brackets", "select {deep}", "refused"),
    Attack("a chain of views", "with {chain} select count(*) from c40", "stopped"),
    Attack(
        "doubling of a text",
        "with recursive r as (select 'x' a union all select a || a from r) select max(length(a)) from r",
        "stopped",
    ),
    Attack("decompression", "select length(repeat(hex(content), 50000)) from read_blob('{live}')", "stopped"),
)
"""What would take for ever, or all memory."""
