//! Statements over the command, on an embedded database and on servers.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use common::Place;
use serde_json::{Value, json};

#[test]
fn without_any_configuration_the_embedded_database_answers() {
    let place = Place::new();
    let answer = place.run(&["db", "query", "main", "select 1 as one", "--format", "json"]);
    assert_eq!(answer.output, "[{\"one\":1}]\n");
    assert!(answer.errors.starts_with("note: ") && answer.errors.contains("main.db"), "{answer:?}");
    assert_eq!(answer.errors.lines().count(), 1, "{answer:?}");
    assert_eq!(answer.code, Some(0));
    assert!(place.home().join("main.db").exists(), "a board keeps its files in its home");
}

#[test]
fn rows_are_written_in_the_format_that_was_asked_for() {
    let place = with_people();
    let select = ["db", "query", "main", "select * from people order by id"];
    let in_format = |format| place.run(&[&select[..], &["--format", format]].concat());

    let table = "id  name      score  note\n 1  Ada        10.5  NULL\n22  Bob, \"B\"    2.0\n";
    for format in ["text", "table"] {
        let asked = in_format(format);
        assert_eq!((asked.output.as_str(), asked.errors.as_str()), (table, "2 rows\n"));
    }
    let csv = in_format("csv");
    assert_eq!(
        csv.output,
        "id,name,score,note\r\n1,Ada,10.5,\r\n22,\"Bob, \"\"B\"\"\",2.0,\"\"\r\n"
    );
    assert_eq!((csv.errors.as_str(), csv.code), ("", Some(0)));
    let json = in_format("json");
    let ada = json!({ "id": 1, "name": "Ada", "score": 10.5, "note": null });
    assert_eq!(json.json()[0], ada);
    assert_eq!(json.json()[1]["note"], "");
    assert_eq!((json.errors.as_str(), json.code), ("", Some(0)));
}

#[test]
fn columns_are_written_also_where_there_are_no_rows() {
    let place = with_people();
    let none = |format| {
        let sql = "select id, name from people where id < 0";
        place.run(&["db", "query", "main", sql, "--format", format]).fine()
    };
    assert_eq!(none("text"), "id  name\n");
    assert_eq!(none("csv"), "id,name\r\n");
    assert_eq!(none("json"), "[]\n");
}

#[test]
fn what_a_statement_changes_is_told() {
    let place = with_people();
    let delete = ["db", "query", "database.main", "delete from people"];
    let asked = place.run(&delete);
    assert_eq!((asked.errors.as_str(), asked.output.as_str()), ("2 rows changed\n", ""));
    let asked = place.run(&[&delete[..], &["--format", "json"]].concat());
    assert_eq!(asked.json()["affected"], 0);
}

#[test]
fn values_come_as_parameters_and_never_get_into_an_error() {
    let place = with_people();
    let query = |sql, parameters: &[&str]| {
        let mut arguments = vec!["db", "query", "main", sql, "--format", "json"];
        arguments.extend(parameters.iter().flat_map(|parameter| ["--param", parameter]));
        place.run(&arguments)
    };
    let found = query(
        "select name from people where id = :id or name = :name",
        &["id=22", "name=x' or 'a'='a"],
    );
    assert_eq!(found.fine(), "[{\"name\":\"Bob, \\\"B\\\"\"}]\n");

    for (sql, parameters) in [
        ("select * form people where name = :n", &["n=canary-81"][..]),
        ("select :n, :m", &["n=canary-81"]),
        ("select :n", &["n=canary-81", "m=canary-82"]),
        ("select :n", &["n=canary-81", "n=canary-82"]),
        ("insert into people (id, name) values (1, :n)", &["n=canary-81"]),
    ] {
        let told = query(sql, parameters);
        assert_ne!(told.code, Some(0), "{sql}");
        assert!(told.output.is_empty() && !told.errors.contains("canary"), "{told:?}");
    }
    place.run(&["db", "query", "main", "select :n", "--param", "n"]).failed(2);
}

#[test]
fn the_kind_of_an_error_is_the_exit_code() {
    let place = with_people();
    place.write(
        "far.toml",
        "[database.far]\nurl = 'postgres://postgres@127.0.0.1:1/x'\npool = { acquire_timeout = '200ms' }\n",
    );
    for (code, arguments) in [
        (2, &["main", "select * form people"][..]),
        (2, &["main", "select nothing from people"]),
        (2, &["main", ""]),
        (2, &["main", "begin"]),
        (1, &["main", "insert into people (id, name) values (1, 'Eve')"]),
        (3, &["mian", "select 1"]),
        (4, &["far", "select 1", "-c", "far.toml"]),
        (3, &["main", "--file", "missing.sql"]),
        (2, &["main", "select 1", "--file", "missing.sql"]),
        (2, &["main", "select 1", "--address", "http://127.0.0.1:1"]),
        (2, &["main"]),
    ] {
        let told = place.run(&[&["db", "query"], arguments].concat()).failed(code);
        assert!(told.starts_with("error: "), "{arguments:?}: {told}");
    }
}

#[test]
fn the_place_of_a_mistake_is_told() {
    let place = with_people();
    let told = place.run(&["db", "query", "main", "select 'ü',\n  nothing from people"]).failed(2);
    assert!(told.contains("line 2, column 3") && told.contains("nothing"), "{told}");
}

#[test]
fn several_statements_are_a_script_and_run_until_one_fails() {
    let place = with_people();
    let script =
        "delete from people where id = 1;\n-- ;\nselect ';';\nselect nothing;\ndelete from people;";
    let told = place.run(&["db", "query", "main", script]).failed(2);
    assert!(told.contains("statements: 4") && told.contains("--script"), "{told}");
    assert_eq!(count(&place), 2);
    let told = place.run(&["db", "query", "main", "--script", script]).failed(2);
    assert!(told.contains("line: 4"), "{told}");
    assert_eq!(count(&place), 1);

    let script = b"begin; delete from people; rollback; begin; delete from people; commit;";
    let done = place.run_with_input(&["db", "query", "main", "--script", "-"], script);
    assert_eq!((done.code, done.errors.as_str()), (Some(0), "6 statements done\n"));
    assert_eq!(count(&place), 0);
    place.run(&["db", "query", "main", script_text(script), "--script", "--read-only"]).failed(2);
}

#[test]
fn what_only_reads_changes_nothing() {
    let place = with_people();
    let reading = |sql| place.run(&["db", "query", "main", sql, "--read-only"]);
    assert!(reading("select 7 as seven").fine().contains('7'));
    let told = reading("delete from people").failed(1);
    assert!(told.contains("permission denied"), "{told}");
    assert_eq!(count(&place), 2);
}

#[test]
fn statements_come_from_files_too() {
    let place = with_people();
    place.write("count.sql", "\u{feff}-- how many\nselect count(*) as n\r\nfrom people;\r\n");
    let query = ["db", "query", "main", "--format", "json"];
    let counted = "[{\"n\":2}]\n";
    assert_eq!(place.run(&[&query[..], &["--file", "count.sql"]].concat()).fine(), counted);
    let input = b"select count(*) as n from people";
    for from_stdin in [&["-"][..], &["--file", "-"]] {
        let arguments = [&query[..], from_stdin].concat();
        assert_eq!(place.run_with_input(&arguments, input).fine(), counted);
    }
    place.run_with_input(&["db", "query", "main", "-"], b"select '\xff'").failed(2);
}

#[test]
fn csv_is_for_commands_that_write_rows() {
    let place = Place::new();
    for arguments in [&["check"][..], &["drivers"], &["db", "pools", "--offline"], &["up"]] {
        let told = place.run(&[arguments, &["--format", "csv"]].concat()).failed(2);
        assert!(told.contains("rows"), "{told}");
    }
}

#[test]
fn of_columns_with_one_name_the_loss_is_told() {
    let asked = Place::new().run(&["db", "query", "main", "select 1 a, 2 a", "--format", "json"]);
    assert_eq!(asked.output, "[{\"a\":1}]\n");
    assert!(asked.errors.starts_with("note: "), "{asked:?}");
}

/// However many rows there are, only a few are in memory at a time.
#[cfg(target_os = "linux")]
#[test]
fn a_million_rows_take_no_more_memory_than_a_few() {
    let place = Place::new();
    let many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000) \
        select i, 'this is the row with the number ' || i as text from n";
    for format in ["json", "text"] {
        let mut command = place.command(&["db", "query", "main", many, "--format", format]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // It waits for whoever reads, so that it cannot be done yet.
        assert!(lines.any(|line| line.contains("number 990000")));
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(lines.last().unwrap().contains("number 1000000"));
        assert!(child.wait().unwrap().success());
        assert!(kilobytes < 64 * 1024, "{format}: {kilobytes} kB");
    }
}

#[test]
fn transactions_are_begun_and_ended_by_hand_in_the_shell() {
    let place = with_people();
    let typed = b"begin;\ndelete from people;\nselect count(*) as n from people;\nrollback;\n\
        begin; delete from people where\n id = 1; commit;\nselect count(*) as n from people;";
    let shell = place.run_with_input(&["db", "shell", "--format", "csv"], typed);
    assert_eq!((shell.output.as_str(), shell.code), ("n\r\n0\r\nn\r\n1\r\n", Some(0)));
    assert_eq!(count(&place), 1);

    let typed = b"begin; delete from people;\n\\q\nselect 1;";
    assert_eq!(place.run_with_input(&["db", "shell", "main"], typed).fine(), "");
    assert_eq!(count(&place), 1, "what nobody committed is taken back");
}

#[test]
fn the_first_error_ends_what_is_piped_into_the_shell() {
    let place = with_people();
    let typed = b"select nothing; select 1 as one;\n\\nonsense\nselect 2 as two;\n";
    let shell = ["db", "shell", "main", "--format", "json"];
    let told = place.run_with_input(&shell, typed).failed(2);
    assert_eq!(told.lines().count(), 1, "{told}");

    let went_on = place.run_with_input(&[&shell[..], &["--keep-going"]].concat(), typed);
    assert_eq!(went_on.output, "[{\"one\":1}]\n[{\"two\":2}]\n");
    assert_eq!((went_on.code, went_on.errors.lines().count()), (Some(2), 2), "{went_on:?}");
}

#[test]
fn half_a_statement_is_not_run() {
    let place = with_people();
    let told = place.run_with_input(&["db", "shell"], b"select 1;\ndelete from people\n");
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(told.errors.contains("no end"), "{told:?}");
    assert_eq!(count(&place), 2);
}

#[test]
fn the_shell_describes_tables() {
    let place = with_people();
    let shell = |typed: &[u8]| place.run_with_input(&["db", "shell", "--format", "json"], typed);
    let tables: Value = shell(b"\\d\n").json();
    assert_eq!(tables, json!([{ "name": "people", "kind": "table" }]));
    let columns = shell(b"\\d people\n").json();
    assert_eq!(columns[1]["column"], "name");
    assert_eq!(columns[1]["nullable"], "no");
    shell(b"\\d nobody\n").failed(3);
    let timed = place.run_with_input(&["db", "shell"], b"\\timing\nselect 1;\n\\?\n");
    assert!(timed.errors.contains("took ") && timed.output.contains("\\timing"), "{timed:?}");
}

#[test]
fn databases_are_listed_explained_checked_and_swapped_like_all_instances() {
    let place = with_people();
    let drivers = place.run(&["drivers", "database", "--format", "json"]).json();
    let names = drivers.as_array().unwrap().iter().map(|driver| driver["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["mysql", "postgres", "sqlite"]);
    let explained = place.run(&["explain", "database.main", "--format", "json"]).json();
    assert_eq!(explained["driver"], "sqlite");
    assert!(place.run(&["check", "--connect"]).fine().contains("database.main  connected"));
    assert!(place.run(&["health", "--offline"]).fine().contains("database.main  up"));
    let swap = ["swap", "database.main", "driver=sqlite", "memory=true", "--offline"];
    assert!(place.run(&swap).fine().starts_with("database.main: generation "));
    let pools = place.run(&["db", "pools", "--offline"]).fine();
    assert!(pools.contains("write") && pools.contains("read"), "{pools}");
}

#[test]
fn a_database_that_nobody_serves_is_found_by_a_check() {
    let place = Place::new();
    place.write("switchboard.toml", "[database.far]\nurl = 'postgres://postgres@127.0.0.1:1/x'\n");
    let checked = place.run(&["check", "--connect"]);
    assert_eq!(checked.code, Some(4), "{checked:?}");
    assert!(checked.output.contains("database.far  failed"), "{checked:?}");
    let checked = place.run(&["check", "--connect", "--format", "json"]);
    assert_eq!(checked.json()["problems"][0]["key"], "database.far", "{checked:?}");
}

#[test]
fn mistakes_in_files_of_queries_are_told_with_their_places() {
    let place = Place::new();
    place.write("users.sql", "-- name: one :ones\nselect 1\n-- name: two\nselect 2\n");
    let main = "[database.main]\nurl = 'sqlite::memory:'\nqueries.path = 'users.sql'\n";
    let gone = "[database.gone]\nurl = 'sqlite::memory:'\nqueries.path = 'nowhere'\n";
    place.write("switchboard.toml", format!("{main}{gone}"));
    let told = place.run(&["db", "query", "main", "select 1"]).failed(2);
    for mistake in ["users.sql:1:14: one: ", "users.sql:3:1", "setting: queries.path"] {
        assert!(told.contains(mistake), "{mistake}: {told}");
    }
    let told = place.run(&["db", "query", "gone", "select 1"]).failed(2);
    assert!(told.contains("nowhere: it is not there"), "{told}");
    let checked = place.run(&["check", "--connect"]);
    assert!(checked.errors.contains("users.sql:1:14: one: "), "{checked:?}");
}

#[test]
fn the_address_of_a_server_is_shown_without_its_password() {
    let place = Place::new();
    place
        .write("switchboard.toml", "[database.far]\nurl = 'postgres://app:canary@127.0.0.1:1/x'\n");
    let explained = place.run(&["explain", "database.far"]).fine();
    assert!(explained.contains("postgres://app:***@127.0.0.1:1/x"), "{explained}");
    assert!(!explained.contains("canary"), "{explained}");
}

#[test]
fn a_statement_in_the_place_of_the_database_is_told() {
    let told = Place::new().run(&["db", "query", "select 1"]).failed(2);
    assert!(told.contains("first argument is the database"), "{told}");
}

#[test]
fn without_a_default_database_the_way_to_set_one_is_told() {
    let place = Place::new();
    place.write("switchboard.toml", "[database.shop]\nurl = 'sqlite::memory:'\n");
    let told = place.run(&["db", "status"]).failed(3);
    assert!(told.contains("`default = \"shop\"` in `[database]`"), "{told}");
}

#[test]
fn a_running_board_swaps_its_database() {
    let place = with_people();
    let up = place.up(&[]);
    let asked = place.run(&["db", "query", "main", "select count(*) as n from people"]);
    assert!(asked.fine().contains('2'), "a file can be read beside the board");
    let swap = ["swap", "database.main", "driver=sqlite", "memory=true"];
    assert!(place.run(&swap).fine().starts_with("database.main: generation 1 "));
    let explained = place.run(&["explain", "database.main", "--format", "json"]).json();
    assert_eq!(explained["generation"], 1);
    up.stop();
}

#[test]
fn that_a_running_board_has_another_database_by_now_is_told() {
    let place = with_people();
    let up = place.up(&["--no-watch"]);
    let count = ["db", "query", "main", "select count(*) as n from people"];
    let note = |ran: common::Ran| {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.errors.lines().find(|line| line.starts_with("note: ")).map(str::to_owned)
    };
    assert_eq!(note(place.run(&count)), None, "it is the same one");

    place.run(&["swap", "database.main", "driver=sqlite", "path=other.db"]).fine();
    let told = note(place.run(&count)).unwrap();
    assert!(told.contains("another database.main (driver, path, url)"), "{told}");
    assert!(told.ends_with("this is the one of the configuration"), "{told}");
    assert_eq!(note(place.run(&["db", "new", "notes", "main"])), None, "it asks no database");
    let status = place.run(&["db", "status", "main"]);
    assert_eq!(note(status), Some(told), "it is told whoever asks the database");
    assert_eq!(note(place.run(&[&count[..], &["--offline"]].concat())), None);

    place.run(&["reload"]).fine();
    assert_eq!(note(place.run(&count)), None, "it is the same one again");
    place.write("more.toml", "[database.more]\nurl = 'sqlite::memory:'\n");
    let told = note(place.run(&["db", "query", "more", "select 1", "-c", "more.toml"])).unwrap();
    assert!(told.contains("the running board has no database.more"), "{told}");
    up.stop();
    assert_eq!(note(place.run(&count)), None, "nobody is running");
}

#[test]
fn that_a_running_board_has_another_password_is_told_without_it() {
    let place = Place::new();
    let main = "[database.main]\nurl = 'postgres://app:${file:secret}@127.0.0.1:1/x'\n";
    place.write("switchboard.toml", main).write("secret", "canary-1");
    let up = place.up(&["--no-watch"]);
    let ask = || place.run(&["db", "query", "main", "select 1"]).failed(4);
    assert!(!ask().contains("note: "));
    place.write("secret", "canary-2");
    let told = ask();
    assert!(told.contains("another database.main (url)") && !told.contains("canary"), "{told}");
    up.stop();
}

#[test]
fn postgres_is_asked_by_configuration() {
    let url =
        switchboard_testkit::service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres");
    let server = Server::with_database(&url, "postgres");
    server.answers();
    let typed = server.place.run(&[
        "db",
        "query",
        "main",
        "select id, name, at from people where id = :id and name = :name",
        "--param",
        "id=7",
        "--param",
        "name=7",
        "--format",
        "json",
    ]);
    assert_eq!(typed.json(), json!([{ "id": 7, "name": "7", "at": "2026-11-21T10:00:00" }]));
    let told = server.place.run(&["db", "query", "main", "select 1 as a\n form people"]).failed(2);
    assert!(told.contains("line 2, column 2"), "{told}");
}

#[test]
fn mariadb_is_asked_by_configuration() {
    let url = switchboard_testkit::service_url("mariadb", "mysql://root@127.0.0.1:3306/test");
    let server = Server::with_database(&url, "mysql");
    server.answers();
    let script = "delimiter //\ncreate procedure p() begin select 1; select 2; end //\ndelimiter ;\ncall p();\n";
    let shell = server.place.run_with_input(&["db", "shell", "--format", "csv"], script.as_bytes());
    assert_eq!((shell.code, shell.errors.as_str()), (Some(0), ""), "{shell:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_what_runs_on_postgres_and_the_command() {
    let url =
        switchboard_testkit::service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres");
    let server = Server::with_database(&url, "postgres");
    let running = "select count(*) as n from pg_stat_activity \
                   where datname = current_database() and query like '%100000%' \
                   and state = 'active' and pid <> pg_backend_pid()";
    server.is_interrupted("select pg_sleep(100000)", running);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_what_runs_on_mariadb_and_the_command() {
    let url = switchboard_testkit::service_url("mariadb", "mysql://root@127.0.0.1:3306/test");
    let server = Server::with_database(&url, "mysql");
    let running = "select count(*) as n from information_schema.processlist \
                   where db = database() and info like '%100000%' and id <> connection_id()";
    server.is_interrupted("select sleep(100000)", running);
}

/// A database of a test's own on a server.
struct Server {
    place: Place,
    name: String,
}

impl Server {
    fn with_database(url: &str, kind: &str) -> Self {
        let name = switchboard_testkit::unique(kind);
        let (server, _) = url.rsplit_once('/').unwrap();
        let place = Place::new();
        place.write(
            "switchboard.toml",
            format!(
                "[database]\ndefault = 'main'\n[database.server]\nurl = '{url}'\n\
                 [database.main]\nurl = '{server}/{name}'\n"
            ),
        );
        let server = Self { place, name };
        server.tell_server("drop database if exists");
        server.tell_server("create database");
        server
    }

    fn tell_server(&self, what: &str) {
        let sql = format!("{what} {}", self.name);
        self.place.run(&["db", "query", "server", &sql]).fine();
    }

    /// Has what never ends interrupted, as a statement and in what is piped in.
    #[cfg(unix)]
    fn is_interrupted(&self, endless: &str, running: &str) {
        let statement = ["db", "query", "main", endless];
        let piped = format!("{endless};\nselect 'after';\n");
        for (arguments, input) in [(&statement[..], ""), (&["db", "shell"], &*piped)] {
            let mut command = self.place.command(arguments);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut typed = child.stdin.take().unwrap();
            typed.write_all(input.as_bytes()).unwrap();
            self.waits_until(running, "1");
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
            let ended = child.wait_with_output().unwrap();
            assert_eq!(ended.status.code(), Some(130), "{arguments:?}: {ended:?}");
            assert!(ended.stdout.is_empty() && ended.stderr.is_empty(), "{ended:?}");
            self.waits_until(running, "0");
        }
    }

    /// Asks until the answer is that.
    #[cfg(unix)]
    fn waits_until(&self, sql: &str, wanted: &str) {
        let is_seen = (0..ASKED_MAX).any(|_| {
            let answer = self.place.run(&["db", "query", "main", sql, "--format", "csv"]).fine();
            answer.lines().nth(1) == Some(wanted)
        });
        assert!(is_seen, "never {wanted}");
    }

    /// What is asked of every database alike.
    fn answers(&self) {
        let run =
            |arguments: &[&str]| self.place.run(&[&["db", "query", "main"], arguments].concat());
        assert_eq!(run(&["select 1 as one", "--format", "json"]).fine(), "[{\"one\":1}]\n");
        run(&["create table people (id int not null, name varchar(50), at timestamp null)"]).fine();
        let insert = [
            "insert into people values (:id, :name, :at)",
            "--param",
            "id=7",
            "--param",
            "name=7",
            "--param",
            "at=2026-11-21 10:00:00",
        ];
        assert_eq!(run(&insert).errors, "1 row changed\n");
        run(&["delete from people", "--read-only"]).failed(1);

        let typed = b"begin;\ndelete from people;\nselect nothing;\nrollback;\nselect count(*) as n from people;\n";
        let shell = ["db", "shell", "main", "--keep-going", "--format", "json"];
        let typed = self.place.run_with_input(&shell, typed);
        assert_eq!(typed.code, Some(2), "{typed:?}");
        assert!(typed.output.ends_with("[{\"n\":1}]\n"), "{typed:?}");
        let described =
            self.place.run_with_input(&["db", "shell", "--format", "json"], b"\\d people\n");
        let described = described.json();
        assert_eq!(described[0]["column"], "id");
        assert_eq!(
            (&described[0]["nullable"], &described[1]["nullable"]),
            (&json!("no"), &json!("yes"))
        );
        let tables = self.place.run_with_input(&["db", "shell"], b"\\d\n").fine();
        assert!(tables.contains("people"), "{tables}");
        let checked = self.place.run(&["check", "--connect"]).fine();
        assert!(checked.contains("database.main    connected"), "{checked}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tell_server("drop database");
    }
}

/// A place whose embedded database has two rows.
fn with_people() -> Place {
    let place = Place::new();
    let main = "[database]\ndefault = 'main'\n[database.main]\nurl = 'sqlite:main.db'\n";
    place.write("switchboard.toml", main);
    let script = "create table people (id integer primary key, name text not null, score real, note text);\n\
        insert into people values (1, 'Ada', 10.5, null), (22, 'Bob, \"B\"', 2, '');";
    place.run(&["db", "query", "main", "--script", script]).fine();
    place
}

fn count(place: &Place) -> u64 {
    let counted =
        place.run(&["db", "query", "main", "select count(*) as n from people", "--format", "json"]);
    counted.json()[0]["n"].as_u64().unwrap()
}

fn script_text(script: &[u8]) -> &str {
    std::str::from_utf8(script).unwrap()
}

/// How often it is asked whether something has come about.
#[cfg(unix)]
const ASKED_MAX: u32 = 1_000;
