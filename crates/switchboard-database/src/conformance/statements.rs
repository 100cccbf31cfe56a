//! Statements: parameters, counts, batches, scripts, stacks and bulk inserts.

use switchboard_core::{Error, ErrorKind};

use super::Verdict;
use super::subject::{
    ROW, Subject, WAYS, count, ensure, equal, failed, ids, put, put_all, refused,
};
use crate::{
    Done, OnError, Stack, StackAnswer, StackReport, Statements as _, TransactionOptions, Value,
    Violation, params,
};

/// Each of the common ones, also where the server knows another one.
pub(super) async fn parameters_are_given_in_every_style(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 3).await?;
    let by_position = ["?, ?", "?1, ?2", "$1, $2", "%s, %s"];
    for style in by_position {
        let sql = format!("select id from {table} where id in ({style}) order by id");
        let found: Vec<i64> = on.db().select(&sql, (1, 3)).await?;
        equal(&found[..], &[1, 3], &format!("rows by {style}"))?;
    }
    for style in [":from and :to", "@from and @to", "%(from)s and %(to)s"] {
        let sql = format!("select id from {table} where id between {style} order by id");
        let found: Vec<i64> = on.db().select(&sql, params! { "to" => 3, "from" => 2 }).await?;
        equal(&found[..], &[2, 3], &format!("rows by {style}"))?;
    }
    let twice = format!("select id from {table} where id = :id or id + 1 = :id order by id");
    let found: Vec<i64> = on.db().select(&twice, params! { "id" => 2 }).await?;
    equal(&found[..], &[1, 2], "rows by a name that is used twice")
}

/// A text of the statement is never changed.
pub(super) async fn what_looks_like_a_parameter_in_texts_and_comments_stays(
    on: &Subject,
) -> Verdict {
    let text = "'? :name $1 %s @name it''s'";
    let sql = format!("select {text} /* ? :name */ as found -- ?\n where 1 = ?");
    let found: String = on.db().select_value(&sql, (1,)).await?;
    equal(found.as_str(), "? :name $1 %s @name it's", "a text with marks in it")
}

/// Found before anything is sent, and told with where they are.
pub(super) async fn missing_and_unused_parameters_are_errors_and_nothing_is_done(
    on: &Subject,
) -> Verdict {
    let table = on.table(ROW).await?;
    let insert = |values: &str| format!("insert into {table} (id, name) values ({values})");
    let cases = [
        ("a missing value", insert("?, ?"), params![1]),
        ("a value too many", insert("?, ?"), params![1, "a", 2]),
        ("a missing name", insert(":id, :name"), params! { "id" => 1 }),
        ("an unused name", insert(":id, 'a'"), params! { "id" => 1, "name" => "a" }),
        ("values without places", insert("1, 'a'"), params![1]),
        ("names for places", insert("?, ?"), params! { "id" => 1, "name" => "a" }),
        ("two styles", insert("?, :name"), params! { "name" => "a" }),
    ];
    for (what, sql, params) in cases {
        refused(on.db().execute(&sql, params).await, ErrorKind::InvalidInput, what)?;
    }
    let missing = on.db().execute(&insert(":id, :name"), params! { "id" => 1 }).await;
    let told = format!("{:?}", failed(missing, "a missing name")?);
    ensure(told.contains("name"), || format!("it does not say which is missing: {told}"))?;
    equal(&count(on.db(), &table).await?, &0, "rows after statements that were not sent")
}

/// None, one, and more than most databases take as a statement's values.
pub(super) async fn a_list_of_any_length_is_looked_for(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 2_000).await?;
    let sql = format!("select id from {table} where id in (:ids) order by id");
    for ids in [vec![], vec![7_i64], (1..=2_000).collect()] {
        let found: Vec<i64> = on.db().select(&sql, params! { "ids" => ids.clone() }).await?;
        ensure(found == ids, || format!("of {} numbers {} were found", ids.len(), found.len()))?;
    }
    let others = format!("select count(*) from {table} where id not in (:ids)");
    let all: i64 = on.db().select_value(&others, params! { "ids" => Vec::<i64>::new() }).await?;
    equal(&all, &2_000, "rows that are not in an empty list")
}

/// Those that the statement found, whether it changed anything in them or not.
pub(super) async fn a_statement_counts_the_rows_it_changed(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 5).await?;
    let changes = [
        (format!("update {table} set name = 'x' where id > 2"), 3),
        (format!("update {table} set name = 'x' where id > 2"), 3),
        (format!("update {table} set name = 'x' where id > 9"), 0),
        (format!("delete from {table} where id < 3"), 2),
        (format!("insert into {table} (id, name) values (8, 'a'), (9, 'b')"), 2),
    ];
    for (sql, expected) in changes {
        equal(&on.db().execute(&sql, ()).await?.affected, &expected, &sql)?;
    }
    let read = on.db().execute(&format!("select * from {table}"), ()).await?;
    equal(&read.last_id, &None, "the last id of what only read")
}

/// And asked for with `RETURNING` where it understands that.
pub(super) async fn the_last_id_is_told_where_the_server_tells_it(on: &Subject) -> Verdict {
    let key = on.words().made_key;
    let table = on.table(&format!("id {key}, name varchar(50)")).await?;
    let insert = format!("insert into {table} (name) values (?)");
    for id in [1, 2] {
        let done = on.db().execute(&insert, ("Ada",)).await?;
        let expected = on.words().tells_last_id.then_some(id);
        equal(
            &done,
            &Done::affected(1).with_last_id(expected),
            "an insert into a table with a key",
        )?;
    }
    if on.dialect()?.has_returning {
        let id: i64 = on.db().select_value(&format!("{insert} returning id"), ("Ada",)).await?;
        equal(&id, &3, "the key that an insert returned")?;
    }
    equal(&ids(on.db(), &table).await?[..2], &[1, 2], "the keys that were made")
}

/// Also where the last one fails; and none is nothing.
pub(super) async fn many_sets_are_executed_all_or_none(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let insert = format!("insert into {table} (id, name) values (?, ?)");
    let sets = |last: i64| (1..=9).chain([last]).map(|id: i64| (id, "a"));
    let error = on.db().execute_many(&insert, sets(1)).await;
    let error = refused(error, ErrorKind::AlreadyExists, "ten sets, two of them alike")?;
    equal(&error.context_value("set"), &Some("10"), "the set that failed")?;
    equal(&count(on.db(), &table).await?, &0, "rows after a set that failed")?;
    equal(&on.db().execute_many(&insert, sets(10)).await?.affected, &10, "rows of ten sets")?;
    let none = on.db().execute_many(&insert, Vec::<(i64, &str)>::new()).await?;
    equal(&none, &Done::default(), "no sets")?;
    equal(&count(on.db(), &table).await?, &10, "rows in the end")
}

/// What comes after it is not run.
pub(super) async fn a_script_stops_at_the_first_statement_that_fails(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let insert = |id: i64| format!("insert into {table} (id, name) values ({id}, 'a');\n");
    let script = format!("{}{}{}", insert(1), insert(1), insert(2));
    let error = failed(on.db().execute_script(&script).await, "a script that fails")?;
    equal(&error.kind(), &ErrorKind::AlreadyExists, "the error of a script")?;
    // Whether the first lasts is the server's: some take a script as one transaction.
    let left = ids(on.db(), &table).await?;
    ensure(!left.contains(&2), || format!("a statement after the failure was run: {left:?}"))?;
    on.db().execute_script(&format!("delete from {table}; {}{}", insert(3), insert(4))).await?;
    equal(&ids(on.db(), &table).await?[..], &[3, 4], "rows of a script")
}

/// Not at a semicolon in a text, a name or a comment.
pub(super) async fn a_script_is_divided_where_its_statements_end(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let script = format!(
        "-- first; a comment\ninsert into {table} (id, name) values (1, 'a;b');\n\
         /* ; */ insert into {table} (id, name) values (2, 'it''s; ?');\n -- and no more"
    );
    on.db().execute_script(&script).await?;
    let names: Vec<String> =
        on.db().select(&format!("select name from {table} order by id"), ()).await?;
    equal(&names[..], &["a;b".to_owned(), "it's; ?".to_owned()], "texts of a script")?;
    on.db().execute_script(" -- nothing\n").await?;
    Ok(())
}

/// It answers for those that were run, the one that failed last.
pub(super) async fn a_stack_that_stops_leaves_nothing_of_what_it_did(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let report = on.db().run_stack(&failing(&table, OnError::Stop)).await?;
    equal(&kinds(&report)[..], &[None, Some(ErrorKind::AlreadyExists)], "answers of a stack")?;
    ensure(!report.is_ok(), || "a stack that failed says that it is well".to_owned())?;
    equal(&count(on.db(), &table).await?, &0, "rows of a stack that stopped")?;
    let sound = Stack::new()
        .execute(&format!("insert into {table} (id, name) values (?, 'a')"), (1,))
        .select(&format!("select id from {table}"), ());
    let answers = on.db().run_stack(&sound).await?.into_result()?;
    equal(&answers.len(), &2, "answers of a stack")?;
    ensure(matches!(&answers[0], StackAnswer::Done(done) if done.affected == 1), || {
        format!("the first answer of a stack is {:?}", answers[0])
    })?;
    ensure(matches!(&answers[1], StackAnswer::Rows(rows) if rows.rows.len() == 1), || {
        format!("the second answer of a stack is {:?}", answers[1])
    })?;
    equal(&ids(on.db(), &table).await?[..], &[1], "rows of a stack")
}

/// What succeeded stays.
pub(super) async fn a_stack_that_continues_answers_for_each_statement(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let report = on.db().run_stack(&failing(&table, OnError::Continue)).await?;
    let expected = [None, Some(ErrorKind::AlreadyExists), None];
    equal(&kinds(&report)[..], &expected, "answers of a stack that continues")?;
    let position =
        report.answers[1].as_ref().err().and_then(|error| error.context_value("position"));
    equal(&position, &Some("2"), "which statement of the stack failed")?;
    equal(&ids(on.db(), &table).await?[..], &[1, 2], "rows of a stack that continues")
}

/// It takes back its own part, and what was done around it is as it was.
pub(super) async fn a_stack_in_a_transaction_leaves_the_transaction_usable(
    on: &Subject,
) -> Verdict {
    for (on_error, of_stack) in [(OnError::Stop, &[][..]), (OnError::Continue, &[1, 2][..])] {
        for is_kept in [false, true] {
            let table = on.table(ROW).await?;
            let transaction = on.db().begin(&TransactionOptions::new()).await?;
            put(&transaction, &table, 100).await?;
            let report = transaction.run_stack(&failing(&table, on_error)).await?;
            ensure(!report.is_ok(), || "a stack that failed says that it is well".to_owned())?;
            put(&transaction, &table, 101).await?;
            let inside: Vec<i64> = of_stack.iter().copied().chain([100, 101]).collect();
            equal(&ids(&transaction, &table).await?, &inside, "rows in the transaction")?;
            if is_kept {
                transaction.commit().await?;
            } else {
                transaction.rollback().await?;
            }
            let after = if is_kept { inside } else { Vec::new() };
            equal(&ids(on.db(), &table).await?, &after, "rows after the transaction")?;
        }
    }
    Ok(())
}

/// Ten thousand of them; one that does not fit leaves nothing of the others.
pub(super) async fn many_rows_are_inserted_all_or_none(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let rows = |last: i64| {
        (1..BULK).chain([last]).map(|id| [Value::from(id), Value::from(format!("row {id}"))])
    };
    let bad = on.db().bulk_insert(&table, &["id", "name"], rows(1)).await;
    let error = refused(bad, ErrorKind::AlreadyExists, "a bulk insert with a row twice")?;
    equal(&Violation::of(&error), &Some(Violation::Unique), "the violation of a bulk insert")?;
    equal(&count(on.db(), &table).await?, &0, "rows after a bulk insert that failed")?;
    let transaction = on.db().begin(&TransactionOptions::new()).await?;
    transaction.bulk_insert(&table, &["id", "name"], rows(BULK)).await?;
    equal(&count(&transaction, &table).await?, &BULK, "rows in the transaction of a bulk insert")?;
    transaction.rollback().await?;
    equal(&count(on.db(), &table).await?, &0, "rows of a bulk insert that was rolled back")?;
    let told = on.db().bulk_insert(&table, &["id", "name"], rows(BULK)).await?;
    equal(&i64::try_from(told).ok(), &Some(BULK), "how many rows a bulk insert told")?;
    equal(&count(on.db(), &table).await?, &BULK, "rows of a bulk insert")?;
    let none = on.db().bulk_insert(&table, &["id"], Vec::<[Value; 1]>::new()).await?;
    equal(&none, &0, "rows of an empty bulk insert")?;
    let uneven = on.db().bulk_insert(&table, &["id", "name"], [vec![Value::from(BULK + 1)]]).await;
    refused(uneven, ErrorKind::InvalidInput, "a row with too few values").map(drop)
}

/// What was done before it stays, and more can be done after it.
pub(super) async fn what_is_all_or_none_is_so_inside_of_a_transaction(on: &Subject) -> Verdict {
    for way in WAYS {
        let table = on.table(ROW).await?;
        let transaction = on.db().begin(&TransactionOptions::new()).await?;
        put(&transaction, &table, 100).await?;
        let failed = put_all(&transaction, &table, way, [1, 2, 1]).await;
        refused(failed, ErrorKind::AlreadyExists, way)?;
        equal(&ids(&transaction, &table).await?[..], &[100], "rows after what failed")?;
        put_all(&transaction, &table, way, [3, 4, 5]).await?;
        let inside = transaction.savepoint(|inner| {
            let table = &table;
            async move {
                put(&inner, table, 101).await?;
                Ok::<_, Error>(put_all(&inner, table, way, [6, 7, 3]).await)
            }
        });
        refused(inside.await?, ErrorKind::AlreadyExists, way)?;
        put(&transaction, &table, 102).await?;
        transaction.commit().await?;
        let lasting = [3, 4, 5, 100, 101, 102];
        equal(&ids(on.db(), &table).await?[..], &lasting, "rows after the transaction")?;
    }
    Ok(())
}

/// And no transaction is left open on it.
pub(super) async fn what_is_all_or_none_is_so_on_a_connection_of_ones_own(on: &Subject) -> Verdict {
    for way in WAYS {
        let table = on.table(ROW).await?;
        let connection = on.db().connection().await?;
        let failed = put_all(&connection, &table, way, [1, 2, 1]).await;
        refused(failed, ErrorKind::AlreadyExists, way)?;
        equal(&ids(&connection, &table).await?[..], &[], "rows after what failed")?;
        put(&connection, &table, 100).await?;
        put_all(&connection, &table, way, [3, 4, 5]).await?;
        // What were in a transaction still would go with the connection.
        drop(connection);
        equal(&ids(on.db(), &table).await?[..], &[3, 4, 5, 100], "rows of a connection")?;
    }
    Ok(())
}

/// Whatever letters are in them, and in the names of columns.
pub(super) async fn rows_inserted_in_bulk_are_what_was_given(on: &Subject) -> Verdict {
    let quote = on.dialect()?.quote;
    let text = on.words().text;
    let columns = format!("id bigint primary key, {quote}odd, name{quote} {text}");
    let table = on.table(&columns).await?;
    let texts = [
        Some("plain"),
        None,
        Some(""),
        Some("\\N"),
        Some("\\"),
        Some("a\tb\nc\r\n"),
        Some("'\"`,;"),
        Some("NULL"),
        Some("🗝"),
        Some("\\."),
        Some("a\\\tb"),
    ];
    let rows = (1_i64..).zip(texts).map(|(id, text)| [Value::from(id), Value::from(text)]);
    on.db().bulk_insert(&table, &["id", "odd, name"], rows).await?;
    let select = format!("select {quote}odd, name{quote} from {table} order by id");
    let found: Vec<Option<String>> = on.db().select(&select, ()).await?;
    let expected: Vec<_> = texts.iter().map(|text| text.map(str::to_owned)).collect();
    equal(&found, &expected, "texts of a bulk insert")
}

/// Neither of them is run.
pub(super) async fn two_statements_in_one_call_are_refused(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let insert = |id: i64| format!("insert into {table} (id, name) values ({id}, 'a')");
    let two = format!("{}; {}", insert(1), insert(2));
    refused(on.db().execute(&two, ()).await, ErrorKind::InvalidInput, "two statements")?;
    equal(&count(on.db(), &table).await?, &0, "rows of two statements in one call")?;
    on.db().execute(&format!("{};", insert(3)), ()).await?;
    equal(&ids(on.db(), &table).await?[..], &[3], "rows of one statement that ends itself")
}

/// Scopes could not know of it.
pub(super) async fn what_ends_a_transaction_is_not_taken_as_a_statement(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let transaction = on.db().begin(&TransactionOptions::new()).await?;
    put(&transaction, &table, 1).await?;
    for control in ["commit", "rollback", "begin", "savepoint s"] {
        refused(transaction.execute(control, ()).await, ErrorKind::InvalidInput, control)?;
        refused(on.db().execute(control, ()).await, ErrorKind::InvalidInput, control)?;
    }
    transaction.rollback().await?;
    equal(&count(on.db(), &table).await?, &0, "rows of a transaction that was rolled back")
}

/// The first succeeds, the second is the first again, the third succeeds.
fn failing(table: &str, on_error: OnError) -> Stack {
    let insert = format!("insert into {table} (id, name) values (?, 'a')");
    [1_i64, 1, 2]
        .into_iter()
        .fold(Stack::new(), |stack, id| stack.execute(&insert, (id,)))
        .on_error(on_error)
}

fn kinds(report: &StackReport) -> Vec<Option<ErrorKind>> {
    report.answers.iter().map(|answer| answer.as_ref().err().map(Error::kind)).collect()
}

const BULK: i64 = 10_000;
