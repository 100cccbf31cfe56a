//! Statements in every style, read by us and by the servers.
//!
//! In each, `<1>` is where the first value is wanted, `¿` the operator `?` where it is written twice,
//! and `¢` the operator `%`, which is written twice in some styles.

use super::Template;
use super::dialects::{MYSQL, POSTGRES, SQLITE};
use super::lexer::Style;
use crate::{Dialect, Placeholder};

const STYLES: [Style; 7] = [
    Style::Question,
    Style::NumberedQuestion,
    Style::Dollar,
    Style::Colon,
    Style::At,
    Style::Percent,
    Style::PercentName,
];

#[test]
fn every_statement_is_read_alike_in_every_style() {
    let mut pairs = 0;
    for (dialect, statements) in by_dialect() {
        for (statement, style) in statements.iter().flat_map(|one| STYLES.map(|style| (one, style)))
        {
            let (written, expected, wanted) = written(statement, style, dialect);
            let template = Template::parse(&*written, dialect)
                .unwrap_or_else(|error| panic!("{} {written}: {error}", dialect.name));
            assert_eq!(&**template.sql(), expected, "{} {written}", dialect.name);
            assert_eq!(template.wanted(), wanted, "{} {written}", dialect.name);
            assert_eq!(template.style(), (wanted > 0).then_some(style), "{written}");
            pairs += 1;
        }
    }
    assert!(pairs >= 300, "{pairs} are too few to know");
}

/// What is written in that style, what the server is sent, and how many values are wanted.
fn written(statement: &str, style: Style, dialect: &Dialect) -> (String, String, usize) {
    let is_percent = matches!(style, Style::Percent | Style::PercentName);
    let source = statement.replace('¿', "??").replace('¢', if is_percent { "%%" } else { "%" });
    let target = statement.replace('¿', "?").replace('¢', "%");
    let (mut written, mut expected) = (String::new(), String::new());
    let mut seen: Vec<usize> = Vec::new();
    for (text, number) in pieces(&source) {
        written.push_str(text);
        if let Some(number) = number {
            written.push_str(&placeholder(style, number));
        }
    }
    for (text, number) in pieces(&target) {
        expected.push_str(text);
        let Some(number) = number else { continue };
        let is_repeated = (style.is_named() || style.is_numbered()) && seen.contains(&number);
        if !is_repeated {
            seen.push(number);
        }
        let position = seen.iter().rposition(|known| *known == number).unwrap() + 1;
        let sent = if style.is_numbered() { number } else { position };
        expected.push_str(&dialect.placeholder.of_server(sent));
    }
    (written, expected, seen.len())
}

/// The text before each `<1>`, with its number; then the rest.
fn pieces(statement: &str) -> Vec<(&str, Option<usize>)> {
    let mut rest = statement;
    let mut pieces = Vec::new();
    while let Some((text, number, after)) = next_mark(rest) {
        pieces.push((text, Some(number)));
        rest = after;
    }
    pieces.push((rest, None));
    pieces
}

fn next_mark(text: &str) -> Option<(&str, usize, &str)> {
    let marks = text.match_indices('<').filter_map(|(start, _)| {
        let (number, after) = text[start + 1..].split_once('>')?;
        Some((&text[..start], number.parse().ok()?, after))
    });
    marks.into_iter().next()
}

fn placeholder(style: Style, number: usize) -> String {
    match style {
        Style::Question => "?".to_owned(),
        Style::NumberedQuestion => format!("?{number}"),
        Style::Dollar => format!("${number}"),
        Style::Colon => format!(":value_{number}"),
        Style::At => format!("@value_{number}"),
        Style::Percent => "%s".to_owned(),
        Style::PercentName => format!("%(value_{number})s"),
    }
}

impl Placeholder {
    pub(crate) fn of_server(self, number: usize) -> String {
        match self {
            Self::Question => "?".to_owned(),
            Self::NumberedQuestion => format!("?{number}"),
            Self::Dollar => format!("${number}"),
        }
    }
}

fn by_dialect() -> [(&'static Dialect, Vec<&'static str>); 3] {
    [
        (&POSTGRES, [COMMON, ON_POSTGRES].concat()),
        (&MYSQL, [COMMON, ON_MYSQL].concat()),
        (&SQLITE, [COMMON, ON_SQLITE].concat()),
    ]
}

const COMMON: &[&str] = &[
    "select 1",
    "select ':a ? $1 @b %s' from t",
    "select * from t where id = <1>",
    "select * from t where id=<1> and name=<2>",
    "select * from t where id><1> or id<= <2>",
    "select * from t where id>=<1> and id<><2>",
    "select * from t where id in (<1>, <2>, <3>)",
    "select * from t where id not in(<1>,<2>)",
    "select * from t where name = ':no ?' and id = <1>",
    "select * from t where name = 'it''s $1 @x %s %(y)s' and id = <1>",
    "select * from t -- what :about ? this @one $1 %s ' \nwhere id = <1>",
    "/* ? :a $1 ' */ select * from t where id = <1> /* %s */",
    "select * from t where id = <1> -- ?",
    "select * from t order by id limit <1> offset <2>",
    "select * from t where id between <1> and <2>",
    "select * from t where name like <1> escape '!'",
    "select case when id = <1> then <2> else <3> end from t",
    "insert into t (id, name) values (<1>, <2>), (<3>, <4>)",
    "insert into t (id, name) select id, name from t where id = <1>",
    "update t set name = <1>, id = id + <2> where id = <3>",
    "delete from t where id = <1>",
    "select id ¢ 5 from t where id = <1>",
    "select 5 ¢ id as s from t where id = <1>",
    "select id¢2 from t where id = <1>",
    "select coalesce(name, <1>) from t",
    "select * from t where id = 0-<1>",
    "select * from t where id = <1>+1-<2>*2",
    "select * from t where (id, name) = (<1>, <2>)",
    "with recursive r(n) as (select 1 union all select n + 1 from r where n < <1>) select n from r",
    "select * from t u where exists (select 1 from t v where v.id = <1> and u.id = v.id)",
    "select cast(<1> as char(10))",
    "select id from t where id = <1> union select id from t where id = <2>",
    "select * from t where id = <1> or id + 1 = <1>",
    "select * from t where name = <2> and id = <1>",
    "select * from t\r\nwhere id = <1>\r\n\tand name = <2>\r\n",
    "select name as größe from t where id = <1>",
    "select * from t as a join t as b on a.id = b.id and b.name = <1> where a.id = <2>",
    "select count(*), max(id) from t group by name having count(*) > <1>",
];

const ON_POSTGRES: &[&str] = &[
    r#"select id as "col? :a $1 @b %s" from t where id = <1>"#,
    "select <1>::int",
    "select <1>::int + <2>::int::bigint",
    "select id::text from t where id::text = <1>",
    "select data ->> 'a' from t where data->'b'->>'c' = <1>",
    "select data #>> '{a,b}', data #> '{a}', data #- '{a}' from t where id = <1>",
    "select * from t where data @> <1>::jsonb and <2>::jsonb <@ data",
    "select * from t where data ? 'a' and id = <1>",
    "select * from t where data ¿ 'a' and id = <1>",
    "select * from t where data ¿ <1>",
    "select * from t where (data -> 'a') ? 'b' or data ->> 'x' = <1>",
    "select * from t where data ?| array['a', 'b'] and id = <1>",
    "select * from t where data ?& array['a'] and data ¿| array[<1>]",
    "select * from t where data @? '$.a[*] ? (@ > 1)' and data @@ '$.a == 1' and id = <1>",
    "select tags[1:2], tags[id:id] from t where id = <1>",
    "select tags[<1>] from t",
    "select (array[1,2,3])[id :id] from t where id = <1>",
    "select $$ ? :a $1 ' $$ || name from t where id = <1>",
    "select $tag$ $$ $1 :a @b $tag$, $ü$ ? $ü$ from t where id = <1>",
    r"select E'\' ? :a' || e'\\' from t where id = <1>",
    r"select '\' || name from t where id = <1>",
    r"select U&'\0061 ?', N'?', B'1', X'1f' from t where id = <1>",
    "select at at time zone <1> from t",
    "select * from t where name ~ <1> or name !~* <2> or name ~~ <3>",
    "select @ id, |/ 4, ||/ 8 from t where id = <1>",
    "/* a /* ? */ :b */ select * from t where id = <1>",
    "select interval '1 day' * <1>",
    "select to_tsvector(name) @@ to_tsquery(<1>) from t",
    "select * from t where tags && array[<1>] and <2> = any(tags)",
    "select <1>|| name from t",
    "select name ||<1> from t",
    "select name || <1> || ':' || <2> from t",
    "select * from t where id = any(<1>) and name <> all(<2>)",
    "select make_interval(days => <1>)",
    "select extract(epoch from at) ¢ <1> from t",
    "select * from t where at > now() - interval '1 day' and id = <1>",
    "insert into t (id, name) values (<1>, <2>) on conflict do nothing returning id",
    "select * from t fetch first <1> rows only",
    "select substring(name from <1> for 2) from t",
    "select * from t where id is distinct from <1>",
    "select position(<1> in name) from t",
    "select * from t where id = <1> for update skip locked",
];

const ON_MYSQL: &[&str] = &[
    "select id as `col? :a $1 @b %s` from t where id = <1>",
    r#"select "a ? \" :b", 'c\' ? :d' from t where id = <1>"#,
    "select id # ? :a '\nfrom t where id = <1>",
    "select 5--1, id from t where id = <1>",
    "select @@version, @@session.sql_mode, id from t where id = <1>",
    "select /*+ NO_INDEX(t) ? */ id from t where id = <1>",
    "select json_value(data, '$.a ?'), id from t where id = <1>",
    "select _utf8mb4'?', N'?', x'1f', b'1' from t where id = <1>",
    "select id div 2, id mod 2, id<<2>, id <=> <1>, !id from t",
    "select id /*!50000 , name */ from t where id = <1>",
    "select * from t where name regexp <1> and not (id xor <2>)",
    "insert into t (id, name) values (<1>, <2>) on duplicate key update name = <2>",
    "select * from t where at > now() - interval <1> day",
    "select * from t limit <1>, <2>",
    "select if(id = <1>, <2>, 'x:y') from t",
    "replace into t (id, name) values (<1>, <2>)",
    "select * from t where id = <1> lock in share mode",
];

const ON_SQLITE: &[&str] = &[
    r#"select id as "col? :a $1 @b %s" from t where id = <1>"#,
    "select id as [col ? :a '] from t where id = <1>",
    "select id as `col ? :a` from t where id = <1>",
    r"select '\', id from t where id = <1>",
    "select data ->> '$.a', data->'b' from t where id = <1>",
    "select name glob <1>, name || <2> from t",
    "select * from t where id is not <1>",
    "insert into t (id, name) values (<1>, <2>) on conflict do nothing returning id",
    "insert or replace into t (id, name) values (<1>, <2>)",
    "select x'00', 1e3, .5, 0x1f from t where id == <1>",
    "select * from t where id = <1> and name is null and name notnull",
    "select id from t order by name collate nocase nulls last limit <1>",
];

#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod servers;
