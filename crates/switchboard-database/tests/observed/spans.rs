//! The span of a statement.

use futures_util::TryStreamExt as _;
use switchboard_core::Settings;
use switchboard_database::Statements as _;
use tracing::Level;

use crate::database;
use crate::log::Listening;

#[tokio::test]
async fn a_statement_has_a_span_inside_the_span_of_its_call() {
    let (_databases, db) = database(Settings::new()).await;
    let log = Listening::to(Level::DEBUG);
    db.execute("insert into users values (?, ?)", (7, "canary")).await.unwrap();
    db.execute("insert into users values (?, ?)", (7, "canary")).await.unwrap_err();
    let [done, failed] = log.spans("database.statement").try_into().unwrap();
    for span in [&done, &failed] {
        assert_eq!((span.level, span.target), (Level::DEBUG, "switchboard::database"));
        assert_eq!(span.parent.as_deref(), Some("call"));
        assert!(span.was_entered, "the driver works inside of it");
        assert_eq!(span.field("instance"), Some("main"));
        assert_eq!(span.field("statement"), Some("insert into users values (…)"));
        assert_eq!(span.field("kind"), Some("write"));
        assert!(span.field("took").is_some());
    }
    assert_eq!((done.field("outcome"), done.field("affected")), (Some("ok"), Some("1")));
    assert_eq!((failed.field("outcome"), failed.field("affected")), (Some("already exists"), None));
}

#[tokio::test]
async fn the_span_of_a_stream_tells_how_many_rows_were_read() {
    let (_databases, db) = database(Settings::new()).await;
    db.execute_many("insert into users values (?, 'a')", [(1,), (2,), (3,)]).await.unwrap();
    let log = Listening::to(Level::DEBUG);
    let stream = db.stream::<i64>("select id from users", ()).await.unwrap();
    stream.try_collect::<Vec<_>>().await.unwrap();
    let [span] = log.spans("database.statement").try_into().unwrap();
    assert_eq!((span.field("rows"), span.field("outcome")), (Some("3"), Some("ok")));
    assert!(span.was_entered);
}

#[tokio::test]
async fn there_is_no_span_where_nobody_wants_it() {
    let (_databases, db) = database(Settings::new()).await;
    let log = Listening::to(Level::INFO);
    db.select::<i64>("select id from users", ()).await.unwrap();
    assert!(log.spans("database.statement").is_empty());
}
