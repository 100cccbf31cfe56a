//! What the server refuses, and what is told of it.

use switchboard_core::{Error, ErrorKind};

use super::subject::{ROW, Subject, count, ensure, equal, put, refused};
use super::{Failure, Verdict};
use crate::driver::context;
use crate::{Statements as _, TransactionOptions, Violation};

/// The kind, what was violated, its name where the server tells it, and that nothing was done.
async fn ensure_told(
    on: &Subject,
    violation: Violation,
    kind: ErrorKind,
    (name, sql): (&str, &str),
) -> Result<Error, Failure> {
    let error = refused(on.db().execute(sql, ()).await, kind, sql)?;
    equal(&Violation::of(&error), &Some(violation), "which constraint it says was violated")?;
    if on.words().names.contains(&violation) {
        equal(&error.context_value(context::CONSTRAINT), &Some(name), "the constraint it names")?;
    }
    // In a transaction it is told in the same way.
    let transaction = on.db().begin(&TransactionOptions::new()).await?;
    let inside = refused(transaction.execute(sql, ()).await, kind, sql)?;
    equal(&Violation::of(&inside), &Some(violation), "what a transaction says of it")?;
    transaction.rollback().await?;
    Ok(error)
}

pub(super) async fn a_unique_violation_is_told_with_its_constraint(on: &Subject) -> Verdict {
    let name = on.name("u");
    let columns =
        format!("id bigint primary key, name varchar(50), constraint {name} unique (name)");
    let table = on.table(&columns).await?;
    put(on.db(), &table, 1).await?;
    let again = format!("insert into {table} (id, name) values (2, 'row 1')");
    ensure_told(on, Violation::Unique, ErrorKind::AlreadyExists, (&name, &again)).await?;
    let same_key = format!("insert into {table} (id, name) values (1, 'another')");
    let key = refused(on.db().execute(&same_key, ()).await, ErrorKind::AlreadyExists, "a key")?;
    equal(&Violation::of(&key), &Some(Violation::Unique), "a primary key that is there already")?;
    equal(&count(on.db(), &table).await?, &1, "rows")
}

pub(super) async fn a_violation_of_a_reference_is_told_with_its_constraint(
    on: &Subject,
) -> Verdict {
    let name = on.name("f");
    let parents = on.numbered(on.db(), 1).await?;
    let columns = format!(
        "id bigint primary key, parent bigint, \
         constraint {name} foreign key (parent) references {parents} (id)"
    );
    let children = on.table(&columns).await?;
    let orphan = format!("insert into {children} (id, parent) values (1, 7)");
    let told = (&*name, &*orphan);
    ensure_told(on, Violation::ForeignKey, ErrorKind::PreconditionFailed, told).await?;
    let child = format!("insert into {children} (id, parent) values (1, 1)");
    on.db().execute(&child, ()).await?;
    let delete = format!("delete from {parents} where id = 1");
    let told = (&*name, &*delete);
    ensure_told(on, Violation::ForeignKey, ErrorKind::PreconditionFailed, told).await?;
    equal(&count(on.db(), &parents).await?, &1, "rows that are referred to")
}

pub(super) async fn a_violation_of_a_check_is_told_with_its_constraint(on: &Subject) -> Verdict {
    let name = on.name("c");
    let table = on.table(&format!("id bigint, constraint {name} check (id > 0)")).await?;
    let insert = format!("insert into {table} (id) values (0)");
    ensure_told(on, Violation::Check, ErrorKind::InvalidInput, (&name, &insert)).await?;
    equal(&count(on.db(), &table).await?, &0, "rows")
}

pub(super) async fn a_missing_value_is_told_with_its_column(on: &Subject) -> Verdict {
    let table = on.table("id bigint primary key, title varchar(50) not null").await?;
    let insert = format!("insert into {table} (id, title) values (1, null)");
    let told = ("", &*insert);
    let error = ensure_told(on, Violation::NotNull, ErrorKind::InvalidInput, told).await?;
    equal(&error.context_value(context::COLUMN), &Some("title"), "the column without a value")?;
    // Servers give such a constraint no name: it is called after its column.
    equal(&error.context_value(context::CONSTRAINT), &Some("title"), "the constraint")?;
    equal(&count(on.db(), &table).await?, &0, "rows")
}

/// Where a server checks as late as that; elsewhere it is told at once.
pub(super) async fn a_violation_at_the_commit_is_told_and_nothing_lasts(on: &Subject) -> Verdict {
    let parents = on.numbered(on.db(), 1).await?;
    let deferred = on.words().deferred.unwrap_or_default();
    let columns = format!(
        "id bigint primary key, parent bigint, \
         foreign key (parent) references {parents} (id) {deferred}"
    );
    let children = on.table(&columns).await?;
    let orphan = format!("insert into {children} (id, parent) values (1, 7)");
    let transaction = on.db().begin(&TransactionOptions::new()).await?;
    put(&transaction, &parents, 2).await?;
    let inserted = transaction.execute(&orphan, ()).await.map(drop);
    let refusal = if on.words().deferred.is_some() {
        inserted?;
        transaction.commit().await
    } else {
        transaction.rollback().await?;
        inserted
    };
    let what = "a transaction that violates a reference";
    let error = refused(refusal, ErrorKind::PreconditionFailed, what)?;
    equal(&Violation::of(&error), &Some(Violation::ForeignKey), "what a late check says")?;
    equal(&count(on.db(), &children).await?, &0, "rows that refer to nothing")?;
    equal(&count(on.db(), &parents).await?, &1, "rows of a transaction that failed at its commit")
}

pub(super) async fn a_statement_the_server_does_not_understand_is_invalid_and_harmless(
    on: &Subject,
) -> Verdict {
    let table = on.table(ROW).await?;
    for sql in [
        "selec 1".to_owned(),
        "select * from there_is_no_such_table".to_owned(),
        format!("select no_such_column from {table}"),
        format!("insert into {table} (id) values (1, 2)"),
        String::new(),
    ] {
        for answer in
            [on.db().execute(&sql, ()).await.map(drop), on.db().rows(&sql, ()).await.map(drop)]
        {
            refused(answer, ErrorKind::InvalidInput, &format!("{sql:?}"))?;
        }
    }
    put(on.db(), &table, 1).await?;
    equal(&count(on.db(), &table).await?, &1, "rows")
}

/// It may be anybody's secret, and errors go to logs.
pub(super) async fn no_error_shows_the_value_of_a_parameter(on: &Subject) -> Verdict {
    let secret = "hunter2-is-no-number";
    let table = on.table("id bigint primary key, name varchar(5) unique, day date").await?;
    let long = format!("{secret}{}", "x".repeat(200));
    on.db().execute(&format!("insert into {table} (id, name) values (1, ?)"), ("h2-is",)).await?;
    let answers = [
        on.db().execute(&format!("insert into {table} (id, day) values (2, ?)"), (secret,)).await,
        on.db().execute(&format!("insert into {table} (id, name) values (2, ?)"), (&*long,)).await,
        on.db().execute(&format!("insert into {table} (id, name) values (2, ?)"), ("h2-is",)).await,
        on.db().execute(&format!("select * from {table} where nothing = ?"), (secret,)).await,
        // Nor one that stands in the text itself.
        on.db().execute(&format!("update {table} set name 'hunter2' where id = 'h2-is'"), ()).await,
        on.db().execute(&format!("select 'hunter2, from {table}"), ()).await,
    ];
    for error in answers.into_iter().filter_map(Result::err) {
        let told = format!("{error} {error:?}");
        let is_shown = told.contains("hunter2") || told.contains("h2-is");
        ensure(!is_shown, || format!("an error shows the value: {told}"))?;
    }
    Ok(())
}
