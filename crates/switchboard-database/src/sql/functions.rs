//! Functions of servers that compute and do nothing else, so that a statement may call them twice.
//!
//! A function is here if nobody can see how often it was called. One that only waits is not: a server that
//! does not answer is not asked to wait again. Words that no function of a server can be called, and that
//! may stand before a parenthesis there, are listed with its functions.

/// What all databases have.
#[rustfmt::skip]
pub(crate) const COMMON: &[&str] = &[
    "abs", "acos", "asin", "atan", "atan2", "avg", "cast", "ceil", "ceiling", "char", "coalesce",
    "concat", "concat_ws", "cos", "count", "cume_dist", "date", "degrees", "dense_rank", "exp",
    "extract", "first_value", "floor", "lag", "last_value", "lead", "length", "ln", "log",
    "lower", "ltrim", "max", "min", "mod", "nth_value", "ntile", "nullif", "octet_length",
    "percent_rank", "pi", "position", "power", "radians", "rank", "replace", "round",
    "row_number", "rtrim", "sign", "sin", "sqrt", "substring", "sum", "tan", "trim", "upper",
];

/// What `PostgreSQL` has besides.
#[cfg(any(test, feature = "postgres"))]
#[rustfmt::skip]
pub(crate) const POSTGRES: &[&str] = &[
    "acosd", "acosh", "age", "any", "any_value", "array", "array_agg", "array_append",
    "array_cat", "array_dims", "array_fill", "array_length", "array_lower", "array_ndims",
    "array_position", "array_positions", "array_prepend", "array_remove", "array_replace",
    "array_sample", "array_shuffle", "array_to_json", "array_to_string", "array_upper", "ascii",
    "asind", "asinh", "atan2d", "atand", "atanh", "bit_and", "bit_count", "bit_length", "bit_or",
    "bit_xor", "bool_and", "bool_or", "bpchar", "btrim", "cardinality", "cbrt", "char_length",
    "character_length", "chr", "clock_timestamp", "convert_from", "convert_to", "corr", "cosd",
    "cosh", "cot", "cotd", "covar_pop", "covar_samp", "current_catalog", "current_database",
    "current_query", "current_schema", "current_schemas", "current_setting", "current_user",
    "currval", "date_add", "date_bin", "date_part", "date_subtract", "date_trunc", "decode",
    "div", "encode", "erf", "erfc", "every", "factorial", "family", "float4", "float8", "format",
    "format_type", "gamma", "gcd", "gen_random_uuid", "generate_series", "generate_subscripts",
    "get_bit", "get_byte", "greatest", "grouping", "has_database_privilege",
    "has_schema_privilege", "has_sequence_privilege", "has_table_privilege", "hashtext",
    "hashtextextended", "host", "hostmask", "inet_client_addr", "inet_client_port", "inet_merge",
    "inet_same_family", "inet_server_addr", "inet_server_port", "initcap", "int2", "int4", "int8",
    "interval", "isempty", "isfinite", "json_agg", "json_array", "json_array_elements",
    "json_array_elements_text", "json_array_length", "json_arrayagg", "json_build_array",
    "json_build_object", "json_each", "json_each_text", "json_exists", "json_extract_path",
    "json_extract_path_text", "json_object", "json_object_agg", "json_object_keys",
    "json_objectagg", "json_populate_record", "json_populate_recordset", "json_query",
    "json_scalar", "json_serialize", "json_strip_nulls", "json_table", "json_to_record",
    "json_to_recordset", "json_typeof", "json_value", "jsonb_agg", "jsonb_array_elements",
    "jsonb_array_elements_text", "jsonb_array_length", "jsonb_build_array", "jsonb_build_object",
    "jsonb_each", "jsonb_each_text", "jsonb_extract_path", "jsonb_extract_path_text",
    "jsonb_insert", "jsonb_object", "jsonb_object_agg", "jsonb_object_keys", "jsonb_path_exists",
    "jsonb_path_match", "jsonb_path_query", "jsonb_path_query_array", "jsonb_path_query_first",
    "jsonb_populate_record", "jsonb_populate_recordset", "jsonb_pretty", "jsonb_set",
    "jsonb_set_lax", "jsonb_strip_nulls", "jsonb_to_record", "jsonb_to_recordset", "jsonb_typeof",
    "justify_days", "justify_hours", "justify_interval", "lastval", "lateral", "lcm", "least",
    "left", "like", "localtime", "localtimestamp", "log10", "lower_inc", "lower_inf", "lpad",
    "make_date", "make_interval", "make_time", "make_timestamp", "make_timestamptz", "masklen",
    "md5", "min_scale", "mode", "netmask", "network", "normalize", "now", "num_nonnulls",
    "num_nulls", "numeric", "numnode", "offset", "only", "overlay", "parse_ident",
    "percentile_cont", "percentile_disc", "pg_backend_pid", "pg_client_encoding",
    "pg_column_size", "pg_database_size", "pg_encoding_to_char", "pg_get_constraintdef",
    "pg_get_expr", "pg_get_functiondef", "pg_get_indexdef", "pg_get_serial_sequence",
    "pg_get_userbyid", "pg_get_viewdef", "pg_indexes_size", "pg_is_in_recovery",
    "pg_listening_channels", "pg_postmaster_start_time", "pg_relation_size", "pg_size_bytes",
    "pg_size_pretty", "pg_table_is_visible", "pg_table_size", "pg_total_relation_size",
    "pg_typeof", "phraseto_tsquery", "plainto_tsquery", "querytree", "quote_ident",
    "quote_literal", "quote_nullable", "random", "random_normal", "range_agg",
    "range_intersect_agg", "range_merge", "regexp_count", "regexp_instr", "regexp_like",
    "regexp_match", "regexp_matches", "regexp_replace", "regexp_split_to_array",
    "regexp_split_to_table", "regexp_substr", "regr_avgx", "regr_avgy", "regr_count",
    "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "repeat",
    "reverse", "right", "row", "row_to_json", "rpad", "scale", "session_user", "set_bit",
    "set_byte", "setweight", "sha224", "sha256", "sha384", "sha512", "sind", "sinh", "some",
    "split_part", "starts_with", "statement_timestamp", "stddev", "stddev_pop", "stddev_samp",
    "string_agg", "string_to_array", "string_to_table", "strip", "strpos", "substr", "tand",
    "tanh", "text", "timeofday", "timezone", "to_ascii", "to_bin", "to_char", "to_date", "to_hex",
    "to_json", "to_jsonb", "to_number", "to_oct", "to_regclass", "to_regnamespace", "to_regproc",
    "to_regrole", "to_regtype", "to_timestamp", "to_tsquery", "to_tsvector",
    "transaction_timestamp", "translate", "treat", "trim_array", "trim_scale", "trunc",
    "ts_debug", "ts_delete", "ts_filter", "ts_headline", "ts_rank", "ts_rank_cd",
    "tsquery_phrase", "tsvector_to_array", "unistr", "unnest", "upper_inc", "upper_inf",
    "uuid_extract_timestamp", "uuid_extract_version", "uuidv4", "uuidv7", "var_pop", "var_samp",
    "varchar", "variance", "version", "websearch_to_tsquery", "width_bucket", "xmlagg",
    "xmlelement", "xmlforest",
];

/// What `MySQL` and `MariaDB` have besides.
#[cfg(any(test, feature = "mysql"))]
#[rustfmt::skip]
pub(crate) const MYSQL: &[&str] = &[
    "adddate", "addtime", "aes_decrypt", "aes_encrypt", "against", "any", "any_value", "ascii",
    "bin", "bin_to_uuid", "binary", "bit_and", "bit_count", "bit_length", "bit_or", "bit_xor",
    "char_length", "character_length", "charset", "coercibility", "collation", "compress",
    "connection_id", "conv", "convert", "convert_tz", "cot", "crc32", "curdate", "current_date",
    "current_time", "current_timestamp", "current_user", "curtime", "database", "date_add",
    "date_format", "date_sub", "datediff", "day", "dayname", "dayofmonth", "dayofweek",
    "dayofyear", "decode", "default", "div", "elt", "encode", "export_set", "extractvalue",
    "field", "find_in_set", "format", "format_bytes", "from_base64", "from_days", "from_unixtime",
    "get_format", "greatest", "group_concat", "grouping", "hex", "hour", "if", "ifnull",
    "inet6_aton", "inet6_ntoa", "inet_aton", "inet_ntoa", "insert", "instr", "interval",
    "is_ipv4", "is_ipv6", "is_uuid", "isnull", "json_array", "json_array_append",
    "json_array_insert", "json_arrayagg", "json_compact", "json_contains", "json_contains_path",
    "json_depth", "json_detailed", "json_equals", "json_exists", "json_extract", "json_insert",
    "json_keys", "json_length", "json_loose", "json_merge_patch", "json_merge_preserve",
    "json_normalize", "json_object", "json_objectagg", "json_overlaps", "json_pretty",
    "json_query", "json_quote", "json_remove", "json_replace", "json_search", "json_set",
    "json_storage_size", "json_table", "json_type", "json_unquote", "json_valid", "json_value",
    "last_day", "last_insert_id", "lateral", "lcase", "least", "left", "localtime",
    "localtimestamp", "locate", "log10", "log2", "lpad", "make_set", "makedate", "maketime",
    "match", "md5", "median", "microsecond", "mid", "minute", "month", "monthname", "now", "nvl",
    "nvl2", "oct", "offset", "ord", "percentile_cont", "percentile_disc", "period_add",
    "period_diff", "pow", "quarter", "quote", "rand", "random_bytes", "regexp", "regexp_instr",
    "regexp_like", "regexp_replace", "regexp_substr", "repeat", "reverse", "right", "rlike",
    "row", "rpad", "schema", "sec_to_time", "second", "session_user", "sha", "sha1", "sha2",
    "some", "soundex", "space", "std", "stddev", "stddev_pop", "stddev_samp", "str_to_date",
    "strcmp", "subdate", "substr", "substring_index", "subtime", "sysdate", "system_user", "time",
    "time_format", "time_to_sec", "timediff", "timestamp", "timestampadd", "timestampdiff",
    "to_base64", "to_char", "to_days", "to_seconds", "truncate", "ucase", "uncompress",
    "uncompressed_length", "unhex", "unix_timestamp", "updatexml", "user", "utc_date", "utc_time",
    "utc_timestamp", "uuid", "uuid_short", "uuid_to_bin", "var_pop", "var_samp", "variance",
    "version", "week", "weekday", "weekofyear", "weight_string", "xor", "year", "yearweek",
];

/// What `SQLite` has besides.
#[cfg(any(test, feature = "sqlite"))]
#[rustfmt::skip]
pub(crate) const SQLITE: &[&str] = &[
    "acosh", "asinh", "atanh", "bm25", "changes", "cosh", "datetime", "format", "generate_series",
    "glob", "group_concat", "hex", "highlight", "if", "ifnull", "iif", "instr", "json",
    "json_array", "json_array_length", "json_each", "json_error_position", "json_extract",
    "json_group_array", "json_group_object", "json_insert", "json_object", "json_patch",
    "json_pretty", "json_quote", "json_remove", "json_replace", "json_set", "json_tree",
    "json_type", "json_valid", "jsonb", "jsonb_array", "jsonb_extract", "jsonb_group_array",
    "jsonb_group_object", "jsonb_insert", "jsonb_object", "jsonb_patch", "jsonb_remove",
    "jsonb_replace", "jsonb_set", "julianday", "last_insert_rowid", "like", "likelihood",
    "likely", "log10", "log2", "median", "percentile", "percentile_cont", "percentile_disc",
    "pow", "printf", "quote", "random", "randomblob", "sinh", "snippet", "soundex",
    "sqlite_source_id", "sqlite_version", "strftime", "string_agg", "substr", "tanh", "time",
    "timediff", "total", "total_changes", "trunc", "typeof", "unhex", "unicode", "unixepoch",
    "unlikely", "zeroblob",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_order() {
        for list in [COMMON, POSTGRES, MYSQL, SQLITE] {
            assert!(list.is_sorted());
        }
    }
}
