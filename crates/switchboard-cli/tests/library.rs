//! The command of an application that has a driver of its own, in a terminal of any size.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use switchboard::{Builder, Format, Switchboard};
use switchboard_cache::{Caches, drivers};
use switchboard_cli::{Stream, Surroundings};
use switchboard_core::{Error, ErrorKind, NoSettings};

#[test]
fn the_drivers_of_an_application_are_known_to_its_command() {
    let said = Said::to(&["drivers"], Stream::plain);
    assert!(
        said.output.lines().any(|line| line.contains("shelf") && line.contains("a shelf")),
        "{said:?}"
    );

    let said = Said::to(&["explain", "cache.pantry"], Stream::plain);
    assert!(said.output.contains("driver                shelf"), "{said:?}");
    assert!(said.is_fine);
}

#[test]
fn the_completions_are_those_of_the_program_as_it_was_called() {
    let said = Said::to(&["completions", "bash"], Stream::plain);
    assert!(said.output.contains("complete -F _shop"), "{said:?}");
}

#[test]
fn a_terminal_gets_colours_and_nothing_else_does() {
    let terminal = |writer| Stream::terminal(writer, 80);
    assert!(Said::to(&["drivers"], terminal).output.contains('\u{1b}'));
    assert!(!Said::to(&["drivers"], Stream::plain).output.contains('\u{1b}'));
    for (variable, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let said = Said::with(&[(variable, value)], &["drivers"], terminal);
        assert!(!said.output.contains('\u{1b}'), "{variable}");
    }
}

#[test]
fn how_far_an_object_has_come_is_shown_on_a_terminal_only() {
    let _undisturbed = undisturbed();
    let shown = |stream: fn(Shared) -> Stream| {
        let (errors, home) = (Shared::default(), tempfile::tempdir().unwrap());
        let folder = format!(
            "[storage.main]\ndriver = 'local'\nroot = '{}'\n",
            home.path().join("main").display()
        );
        let said = Surroundings {
            arguments: ["shop", "disk", "put", "main", "a", "-"].map(Into::into).into(),
            version: None,
            variables: BTreeMap::from([("SWITCHBOARD_HOME".into(), home.path().into())]),
            input: Box::new(&[7; 3000][..]),
            is_typed: false,
            output: Stream::plain(Shared::default()),
            errors: stream(errors.clone()),
        };
        let builder = Switchboard::builder().text("shop.toml", Format::Toml, &*folder);
        assert_eq!(
            format!("{:?}", switchboard_cli::run(builder, said)),
            format!("{:?}", ExitCode::SUCCESS)
        );
        String::from_utf8(errors.0.lock().unwrap().clone()).unwrap()
    };
    assert_eq!(shown(Stream::plain), "");
    let on_terminal = shown(|errors| Stream::terminal(errors, 80));
    assert_eq!(on_terminal, "\r\x1b[2K100 %  2.9 KiB of 2.9 KiB\r\x1b[2K");
}

#[test]
fn on_a_narrow_terminal_the_last_column_is_folded_and_nothing_is_lost() {
    let narrow = Said::to(&["drivers"], |writer| Stream::terminal(writer, 40)).output;
    let wide = Said::to(&["drivers"], |writer| Stream::terminal(writer, 400)).output;
    assert!(narrow.lines().count() > wide.lines().count(), "{narrow}");
    let words = |text: &str| text.split_whitespace().map(bare).collect::<Vec<_>>();
    assert_eq!(words(&narrow), words(&wide));
}

#[test]
fn what_cannot_be_reached_can_be_explained_and_is_told_when_it_is_connected() {
    let explained = Said::of(far(), &[], &["explain", "cache.far"], Stream::plain);
    assert!(explained.is_fine && explained.output.contains("far"), "{explained:?}");

    let checked = Said::of(far(), &[], &["check", "--connect", "--format", "json"], Stream::plain);
    let told: serde_json::Value = serde_json::from_str(&checked.output).unwrap();
    assert_eq!(told["ok"], false);
    assert_eq!(told["problems"][0]["key"], "cache.far");
    assert_eq!(told["problems"][0]["message"], "nobody answers: 10.0.0.7 is closed");
    assert!(!checked.is_fine);
}

#[test]
fn an_application_goes_by_its_own_name_and_version() {
    let told = Said::to(&["--version"], Stream::plain).output;
    assert!(told.starts_with("shop 2.1.0 (switchboard "), "{told}");
    assert!(Said::to(&["--help"], Stream::plain).output.contains("Usage: shop "));
    let nowhere = tempfile::tempdir().unwrap();
    let home = nowhere.path().to_str().unwrap();
    let told = Said::to(&["health", "--home", home], Stream::plain).errors;
    assert!(told.contains("`shop up`"), "{told}");
    let told = Said::to(&["swap", "cache.pantry"], Stream::plain).errors;
    assert!(told.contains("`shop swap cache.pantry driver=memory`"), "{told}");
    assert!(Said::to(&["check"], Stream::plain).output.starts_with("shop.toml: no mistakes"));
}

#[test]
fn the_drivers_of_an_application_are_listed_whatever_its_configuration_says() {
    let wrong = shop().text("wrong.toml", Format::Toml, "this is no TOML").file("missing.toml");
    let said = Said::of(wrong, &[], &["drivers"], Stream::plain);
    assert!(said.is_fine && said.output.contains("shelf"), "{said:?}");
}

#[test]
fn health_shows_what_cannot_be_connected_beside_what_can() {
    let said = Said::of(far(), &[], &["health", "--offline"], Stream::plain);
    assert!(
        said.output.contains("cache.far") && said.output.contains("nobody answers"),
        "{said:?}"
    );
    let mut lines = said.output.lines().map(str::split_whitespace);
    assert!(lines.any(|words| words.take(2).eq(["cache.near", "up"])), "{said:?}");
}

#[test]
fn what_is_told_is_told_with_its_causes() {
    let said = Said::of(far(), &[], &["check", "--connect"], Stream::plain);
    assert!(said.output.contains("failed") && said.errors.contains("10.0.0.7"), "{said:?}");
}

#[test]
fn who_types_into_the_shell_is_asked_for_more_and_may_make_mistakes() {
    let typed = "select nothing;\nselect\n7 as seven;\n\\nonsense\nselect 'half";
    let terminal = |writer| Stream::terminal(writer, 80);
    let colours = [("NO_COLOR", "1")];
    let said = Said::typing(shop(), &colours, &["db", "shell", "main"], Some(typed), terminal);
    assert!(said.is_fine, "{said:?}");
    assert_eq!(said.output, "sql> sql>    > seven\n    7\nsql> sql>    > \n", "{said:?}");
    assert_eq!(said.errors.matches("error: ").count(), 2, "{said:?}");
}

#[test]
fn who_types_leaves_the_shell_by_whatever_word_means_that() {
    let farewells = ["\\q\n", "exit\n", " quit;\n", "select\n\\q\n", "select\nexit\n;\nexit\n"];
    for farewell in farewells {
        let typed = Box::leak(format!("{farewell}select 7 as seven;\n").into_boxed_str());
        let shell = ["db", "shell", "main"];
        let said = Said::typing(shop(), &[], &shell, Some(typed), Stream::plain);
        assert!(said.is_fine && !said.output.contains("seven"), "{farewell:?}: {said:?}");
    }
    let piped = Said::to(&["db", "query", "main", "--script", "exit"], Stream::plain);
    assert!(!piped.is_fine, "only who types says so: {piped:?}");
}

#[test]
fn rows_are_cut_where_the_terminal_is_narrow_and_nowhere_else() {
    let long =
        "select 7 as id, 'a text that is a good deal longer than a line' as text, null as no";
    let query = ["db", "query", "main", long];
    let narrow = Said::with(&[("NO_COLOR", "1")], &query, |writer| Stream::terminal(writer, 24));
    assert_eq!(narrow.output, "id  text            no\n 7  a text that i…  NULL\n");
    let coloured = Said::to(&query, |writer| Stream::terminal(writer, 24));
    assert!(coloured.output.contains("\u{1b}[2mNULL"), "{coloured:?}");
    assert!(Said::to(&query, Stream::plain).output.contains("longer than a line"));
}

#[cfg(unix)]
#[test]
fn the_greeting_says_what_could_not_be_connected() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let output = Shared::default();
    let arguments =
        ["shop", "up", "--listen", "127.0.0.1:0", "--home", folder.path().to_str().unwrap()];
    let surroundings = Surroundings {
        arguments: arguments.map(Into::into).into(),
        version: None,
        variables: BTreeMap::new(),
        input: Box::new(io::empty()),
        is_typed: false,
        output: Stream::plain(output.clone()),
        errors: Stream::plain(io::sink()),
    };
    let running = std::thread::spawn(move || switchboard_cli::run(far(), surroundings));
    let mut greeting = String::new();
    while !greeting.contains("Ctrl-C") {
        assert!(!running.is_finished(), "{greeting}");
        std::thread::yield_now();
        greeting = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    }
    let pid = std::process::id().to_string();
    std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert_eq!(format!("{:?}", running.join().unwrap()), format!("{:?}", ExitCode::SUCCESS));
    let told = |name| greeting.lines().find(|line| line.contains(name)).unwrap();
    assert!(
        told("cache.far").contains("failed: ") && told("cache.far").contains("nobody answers"),
        "{greeting}"
    );
    assert!(told("cache.near").contains("when first used"), "{greeting}");
    assert!(told("ready in").contains("shop.toml"), "{greeting}");
}

#[cfg(unix)]
#[test]
fn a_shell_that_is_typed_in_goes_on_after_ctrl_c() {
    let _alone = alone();
    let url =
        switchboard_testkit::service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres");
    let shop = || {
        let main = format!("[database.main]\nurl = '{url}'\n");
        Switchboard::builder().text("shop.toml", Format::Toml, main)
    };
    let mark = switchboard_testkit::unique("typed");
    let (input, mut typist) = io::pipe().unwrap();
    let (output, errors) = (Shared::default(), Shared::default());
    let home = tempfile::tempdir().unwrap();
    let surroundings = Surroundings {
        arguments: ["shop", "db", "shell", "main"].map(Into::into).into(),
        version: None,
        variables: BTreeMap::from([("SWITCHBOARD_HOME".into(), home.path().into())]),
        input: Box::new(input),
        is_typed: true,
        output: Stream::plain(output.clone()),
        errors: Stream::plain(errors.clone()),
    };
    let builder = shop();
    let shell = std::thread::spawn(move || switchboard_cli::run(builder, surroundings));
    writeln!(typist, "select pg_sleep(100000), '{mark}';").unwrap();
    let running = format!(
        "select count(*) from pg_stat_activity where query like '%{mark}%' and state = 'active' \
         and pid <> pg_backend_pid()"
    );
    let running = ["db", "query", "main", &running, "--format", "json"];
    let waits_until = |wanted: &str| {
        let is_seen = (0..ASKED_MAX).any(|_| {
            // It is stopped too, where the signal is still on its way.
            let asked = Said::disturbed(shop(), &[], &running, None, Stream::plain);
            assert!(!shell.is_finished(), "{asked:?}");
            asked.output.contains(wanted)
        });
        assert!(is_seen, "never {wanted}");
    };
    waits_until(":1}");
    let pid = std::process::id().to_string();
    std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    waits_until(":0}");
    writeln!(typist, "select 'still ' || 'here' as a;\nexit").unwrap();
    assert_eq!(format!("{:?}", shell.join().unwrap()), format!("{:?}", ExitCode::SUCCESS));
    let [output, errors] =
        [output, errors].map(|of| String::from_utf8(of.0.lock().unwrap().clone()).unwrap());
    assert!(errors.contains("the statement was interrupted"), "{errors}");
    assert!(output.contains("still here"), "{output} {errors}");
}

/// Signals reach all that runs in this process: who sends one waits until nothing else does.
static SIGNALS: RwLock<()> = RwLock::new(());

fn undisturbed() -> RwLockReadGuard<'static, ()> {
    SIGNALS.read().unwrap_or_else(PoisonError::into_inner)
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    SIGNALS.write().unwrap_or_else(PoisonError::into_inner)
}

/// How often it is asked whether something has come about.
const ASKED_MAX: u32 = 5_000;

fn far() -> Builder {
    let builder = Switchboard::builder().drivers::<Caches>(|registry| {
        registry.register("far", |_: NoSettings, _| async {
            let cause = io::Error::other("10.0.0.7 is closed");
            let error = Error::new(ErrorKind::Unavailable, "nobody answers").with_source(cause);
            Err::<drivers::null::Null, _>(error)
        })
    });
    let text = "cache.far = { driver = 'far', eager = true }\ncache.near = { driver = 'memory' }";
    builder.text("shop.toml", Format::Toml, text)
}

/// What was written, and whether all was well.
#[derive(Debug)]
struct Said {
    output: String,
    errors: String,
    is_fine: bool,
}

impl Said {
    fn to(arguments: &[&str], stream: impl FnOnce(Shared) -> Stream) -> Self {
        Self::with(&[], arguments, stream)
    }

    fn with(
        variables: &[(&str, &str)],
        arguments: &[&str],
        stream: impl FnOnce(Shared) -> Stream,
    ) -> Self {
        Self::of(shop(), variables, arguments, stream)
    }

    fn of(
        builder: Builder,
        variables: &[(&str, &str)],
        arguments: &[&str],
        stream: impl FnOnce(Shared) -> Stream,
    ) -> Self {
        Self::typing(builder, variables, arguments, None, stream)
    }

    /// Like [`of`](Self::of), with a person who types.
    fn typing(
        builder: Builder,
        variables: &[(&str, &str)],
        arguments: &[&str],
        typed: Option<&'static str>,
        stream: impl FnOnce(Shared) -> Stream,
    ) -> Self {
        let _undisturbed = undisturbed();
        Self::disturbed(builder, variables, arguments, typed, stream)
    }

    /// The same where a signal may come.
    fn disturbed(
        builder: Builder,
        variables: &[(&str, &str)],
        arguments: &[&str],
        typed: Option<&'static str>,
        stream: impl FnOnce(Shared) -> Stream,
    ) -> Self {
        let (output, errors) = (Shared::default(), Shared::default());
        let home = tempfile::tempdir().unwrap();
        let home = ("SWITCHBOARD_HOME".into(), home.path().into());
        let arguments = ["/opt/bin/shop"].iter().chain(arguments);
        let own = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
        let exit = switchboard_cli::run(
            builder,
            Surroundings {
                arguments: arguments.map(Into::into).collect(),
                version: Some("2.1.0".to_owned()),
                variables: variables.iter().map(own).chain([home]).collect::<BTreeMap<_, _>>(),
                input: Box::new(typed.unwrap_or_default().as_bytes()),
                is_typed: typed.is_some(),
                output: stream(output.clone()),
                errors: Stream::plain(errors.clone()),
            },
        );
        let [output, errors] = [output, errors]
            .map(|written| String::from_utf8(written.0.lock().unwrap().clone()).unwrap());
        Self { output, errors, is_fine: format!("{exit:?}") == format!("{:?}", ExitCode::SUCCESS) }
    }
}

fn shop() -> Builder {
    let builder = Switchboard::builder().drivers::<Caches>(|registry| {
        let descriptor = switchboard_core::Descriptor::new("shelf").summary("a shelf — 棚");
        registry.register(descriptor, |config: drivers::memory::MemoryConfig, context| async move {
            drivers::memory::Memory::new(&config, context.clock().clone())
        })
    });
    let instances = "[cache.pantry]\ndriver = 'shelf'\n[database.main]\nurl = 'sqlite::memory:'\n";
    builder.text("shop.toml", Format::Toml, instances)
}

/// Text without what steers a terminal.
fn bare(word: &str) -> String {
    let mut parts = word.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |bare, part| bare + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
