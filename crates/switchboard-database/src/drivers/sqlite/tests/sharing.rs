//! Several connections, instances and processes on one file.

use futures_util::future::join_all;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_on_one_file_none_is_told_that_it_is_busy() {
    let home = Home::new();
    // Enough on a busy machine too.
    let patient = || SqliteConfig { busy_timeout: Duration::from_mins(5), ..home.config() };
    let instances: Vec<_> = (0..8).map(|_| made(patient())).collect();
    let writers = (0..32).map(|writer| {
        let database = &instances[writer % instances.len()];
        async move {
            let mut session = database.connect(Lane::Write).await.unwrap();
            session.script("create table if not exists t (id integer)").await.unwrap();
            for _ in 0..20 {
                session.begin(&Begin::default()).await.unwrap();
                run(&mut session, "insert into t select coalesce(max(id), 0) + 1 from t").await;
                session.commit().await.unwrap();
            }
            session.close().await.unwrap();
        }
    });
    join_all(writers).await;
    let mut reader = home.database().connect(Lane::Read).await.unwrap();
    let found = value(&mut reader, "select count(distinct id) || ' ' || max(id) from t").await;
    assert_value(&found, &text("640 640"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_read_on_while_the_log_goes_into_the_file() {
    let home = Home::new();
    let database = home.database();
    let mut writer = database.connect(Lane::Write).await.unwrap();
    writer.script("create table t (id integer, v blob)").await.unwrap();
    let readers = (0..4).map(|_| async {
        let mut reader = database.connect(Lane::Read).await.unwrap();
        let mut last = 0;
        while last < 200 {
            reader.begin(&Begin::default()).await.unwrap();
            let Value::Int(count) = value(&mut reader, "select count(*) from t").await else {
                panic!("a number is counted")
            };
            let again = value(&mut reader, "select count(*) from t where length(v) = 50000").await;
            assert_value(&again, &Value::Int(count));
            reader.rollback().await.unwrap();
            assert!(count >= last);
            last = count;
        }
    });
    let writing = async {
        for id in 0..200 {
            execute(&mut writer, "insert into t values (?1, zeroblob(50000))", &[Value::Int(id)])
                .await
                .unwrap();
            if id % 10 == 0 {
                run(&mut writer, "pragma wal_checkpoint(passive)").await;
            }
        }
    };
    tokio::join!(writing, join_all(readers));
}

#[tokio::test]
async fn what_is_in_memory_is_shared_by_the_instance_only_and_outlives_its_connections() {
    let (one, two) = (in_memory(), in_memory());
    let mut writer = one.connect(Lane::Write).await.unwrap();
    writer.script("create table t (id integer); insert into t values (1)").await.unwrap();
    writer.close().await.unwrap();
    let mut reader = one.connect(Lane::Read).await.unwrap();
    assert_value(&value(&mut reader, "select count(*) from t").await, &Value::Int(1));
    let mut other = two.connect(Lane::Write).await.unwrap();
    execute(&mut other, "select * from t", &[]).await.unwrap_err();
}

#[tokio::test]
async fn who_reads_in_memory_waits_for_who_writes() {
    let database =
        made(SqliteConfig { url: Some("sqlite::memory:".into()), ..SqliteConfig::default() });
    let mut writer = database.connect(Lane::Write).await.unwrap();
    let mut reader = database.connect(Lane::Read).await.unwrap();
    writer.script("create table t (id integer)").await.unwrap();
    writer.begin(&Begin::default()).await.unwrap();
    run(&mut writer, "insert into t values (1)").await;
    let (found, committed) = tokio::join!(value(&mut reader, "select count(*) from t"), async {
        tokio::task::yield_now().await;
        writer.commit().await
    });
    committed.unwrap();
    assert_value(&found, &Value::Int(1));
}
