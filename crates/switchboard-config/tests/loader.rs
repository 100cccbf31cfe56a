//! What is read, in which order it counts, and what cannot be read.

mod folder;

use std::fs;

use folder::{Folder, fine, mistakes, said, text};
use switchboard_config::{Format, Loader, Report};
use switchboard_core::settings::{ProblemKind, Value};
use switchboard_core::{Origin, Problem, Problems, Settings};

fn section(name: &str, key: &str, value: &str) -> Settings {
    Settings::new().with(name, Settings::new().with(key, value))
}

#[test]
fn the_layers_count_in_their_order() {
    let folder = Folder::new();
    let keys = |from: &str, names: &[&str]| {
        names.iter().fold("[x.y]\n".to_owned(), |text, name| format!("{text}{name} = '{from}'\n"))
    };
    let first = folder.write("a.toml", keys("a", &["k1", "k2", "k3", "k4", "k5", "k6"]));
    let second = folder.write("b.toml", keys("b", &["k2", "k3", "k4", "k5", "k6"]));
    folder.write("a.dev.toml", keys("a.dev", &["k3", "k4", "k5", "k6"]));
    folder.write("b.dev.toml", keys("b.dev", &["k4", "k5", "k6"]));
    let loaded = fine(
        Loader::new()
            .code(Settings::new().with("x", section("y", "k6", "code")))
            .variables([
                ("SWITCHBOARD__X__Y__K5", "variable"),
                ("SWITCHBOARD__X__Y__K6", "variable"),
            ])
            .profile("dev")
            .file(first)
            .optional_file(second)
            .load(),
    );
    let all: Vec<String> = (1..=6).map(|key| said(&loaded, &format!("x.y.k{key}"))).collect();
    assert_eq!(all, ["a", "b", "a.dev", "b.dev", "variable", "code"]);
}

#[test]
fn defaults_count_only_where_nobody_mentions_any_of_their_sections() {
    let defaulted = |loader: Loader| {
        let defaults = ["file", "variable", "code", "nobody"]
            .iter()
            .fold(Settings::new(), |all, name| all.with(*name, Settings::new().with("default", 1)));
        fine(loader.defaults(defaults).load())
    };
    let mentioned = [
        ("file", defaulted(text("[file]\nown = 1\n"))),
        ("variable", defaulted(Loader::new().variables([("SWITCHBOARD__VARIABLE__OWN", "1")]))),
        ("code", defaulted(Loader::new().code(section("code", "own", "1")))),
    ];
    for (name, loaded) in &mentioned {
        assert_eq!(said(loaded, &format!("{name}.default")), "nothing", "{name}");
        assert_eq!(said(loaded, &format!("{name}.own")), "1", "{name}");
        assert_eq!(said(loaded, "nobody.default"), "nothing", "{name}");
    }
    let of_others = defaulted(text("[other]\nown = 1\n"));
    assert_eq!(said(&of_others, "nobody.default"), "1");
}

#[test]
fn without_any_file_the_defaults_are_all_there_is() {
    let folder = Folder::new();
    let loaded = fine(
        Loader::new()
            .defaults(section("cache", "main", "memory://"))
            .optional_file(folder.path("switchboard.toml"))
            .load(),
    );
    assert_eq!(said(&loaded, "cache.main"), "memory://");
    assert_eq!(loaded.files, [folder.path("switchboard.toml")]);
    assert!(loaded.is_complete());
}

#[test]
fn a_file_that_has_to_exist_and_does_not_is_a_mistake() {
    let folder = Folder::new();
    let path = folder.path("gone.toml");
    let loaded = Loader::new().file(&path).load();
    assert_eq!(mistakes(&loaded), ["gone.toml:1:1: : no such file"]);
    assert!(matches!(
        &loaded.problems.iter().next().unwrap().origin,
        Origin::File { path: at, .. } if **at == *path
    ));
    assert_eq!(loaded.files, [path], "it may come");
    assert!(!loaded.is_complete());
}

#[test]
fn what_is_no_readable_file_is_a_mistake_also_where_none_has_to_exist() {
    let folder = Folder::new();
    folder.write("folder.toml/file", "");
    folder.write("file", "");
    folder.write("other.ini", "");
    folder.write("large.toml", vec![b' '; 4 * 1024 * 1024 + 1]);
    let load = |name: &str| mistakes(&Loader::new().optional_file(folder.path(name)).load());
    assert_eq!(load("folder.toml"), ["folder.toml:1:1: : the file is a folder, not a file"]);
    assert_eq!(load("large.toml"), ["large.toml:1:1: : the file is larger than 4096 KiB"]);
    assert_eq!(load("other.ini").len(), 1);
    assert_eq!(load("file/in/a/file.toml"), [""; 0], "nothing can be there");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_waited_for() {
    let folder = Folder::new();
    let path = folder.path("pipe.toml");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let loaded = Loader::new().file(&path).load();
    assert_eq!(mistakes(&loaded), ["pipe.toml:1:1: : the file is not a regular file"]);
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_says_so() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new();
    let path = folder.write("closed.toml", "");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_ok() {
        eprintln!("not shown: the superuser may read everything");
        return;
    }
    let loaded = Loader::new().file(&path).load();
    assert_eq!(
        mistakes(&loaded),
        ["closed.toml:1:1: : the file may not be read: permission denied"]
    );
}

#[test]
fn mistakes_of_all_files_are_in_one_report_in_order() {
    let folder = Folder::new();
    let broken = folder.write("a.toml", "[x\n");
    let fine = folder.write("b.toml", "[cache.c]\nextends = 'c'\nurl = '${MISSING}'\n");
    let loaded = Loader::new()
        .file(folder.path("gone.toml"))
        .file(fine)
        .file(broken)
        .variables([("SWITCHBOARD__", "x")])
        .load();
    let places: Vec<String> =
        mistakes(&loaded).iter().map(|told| told.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(places, ["a.toml", "b.toml", "b.toml", "gone.toml", "variable SWITCHBOARD__"]);
    assert!(!loaded.is_complete());
    let url = loaded.settings.get("cache.c.url").map(|node| node.value().clone());
    assert_eq!(url, Some(Value::Null), "what is not filled in is no address");
}

#[test]
fn a_profile_may_be_in_another_format_and_beside_a_file_that_is_not_there() {
    let folder = Folder::new();
    folder.write("switchboard.dev.json", "");
    let path = folder.path("switchboard.toml");
    let loaded = Loader::new().optional_file(&path).profile("dev").load();
    assert!(loaded.files.contains(&path));
    for ending in ["toml", "yaml", "yml", "json"] {
        assert!(loaded.files.contains(&folder.path(&format!("switchboard.dev.{ending}"))));
    }
    assert_eq!(loaded.files.len(), 5);
}

#[test]
fn a_profile_without_any_file_is_a_mistake_with_the_nearest_one() {
    let folder = Folder::new();
    let path = folder.write("switchboard.toml", "");
    folder.write("switchboard.staging.toml", "");
    folder.write("other.stagin.toml", "");
    folder.write("switchboard.stagin.txt", "");
    let loaded = Loader::new().file(&path).profile("stagin").load();
    let told = mistakes(&loaded);
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("loader.rs:"), "{told:?}");
    let message = ": no file is there for the profile `stagin`; did you mean `staging`?";
    assert!(told[0].ends_with(message), "{told:?}");
    assert!(!loaded.is_complete(), "what is missing may stand in that file");

    let loaded = Loader::new().profile("dev").load();
    assert_eq!(loaded.problems.len(), 1, "there is no file that it could stand beside");
}

#[test]
fn a_profile_with_two_files_is_a_mistake() {
    let folder = Folder::new();
    let path = folder.write("switchboard.toml", "");
    folder.write("switchboard.dev.toml", "");
    folder.write("switchboard.dev.json", "{}");
    let loaded = Loader::new().file(&path).profile("dev").load();
    assert_eq!(
        mistakes(&loaded),
        ["switchboard.dev.toml:1:1: : the profile has a second file, `switchboard.dev.json`"]
    );
}

#[test]
fn a_profile_is_a_name_and_no_way_to_other_folders() {
    let folder = Folder::new();
    let path = folder.write("conf/switchboard.toml", "");
    folder.write("evil.toml", "");
    for name in ["../evil", "", "a.b", "a/b", &"x".repeat(64)] {
        let told = mistakes(&Loader::new().file(&path).profile(name).load());
        assert_eq!(told.len(), 1, "{name}");
        assert!(told[0].contains("letters, digits, '-' and '_' only"), "{told:?}");
    }
}

#[test]
fn a_layer_from_code_without_a_bottom_is_refused() {
    let deep = || (0..100_000).fold(Settings::new(), |inner, _| Settings::new().with("in", inner));
    let loaded = text("[a]\nb = 1\n").code(deep()).defaults(deep()).load();
    let told = mistakes(&loaded);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|told| told.ends_with("are nested more than 128 deep")), "{told:?}");
    assert_eq!(said(&loaded, "a.b"), "1");
}

#[test]
fn a_loader_reads_anew_each_time() {
    let folder = Folder::new();
    let path = folder.write("switchboard.toml", "[a]\nb = 1\n");
    let loader = Loader::new().file(&path);
    assert_eq!(said(&loader.load(), "a.b"), "1");
    folder.write("switchboard.toml", "[a]\nb = 2\n");
    assert_eq!(said(&loader.load(), "a.b"), "2");
}

#[test]
fn every_file_that_matters_is_listed_once() {
    let folder = Folder::new();
    folder.write("secret", "x");
    let path = folder.write("switchboard.toml", "a = '${file:secret}'\nb = '${file:secret}'\n");
    let loaded = fine(Loader::new().file(&path).optional_file(folder.path("more.yaml")).load());
    assert_eq!(loaded.files, [path, folder.path("more.yaml"), folder.path("secret")]);
}

#[test]
fn settings_come_out_only_if_nothing_is_wrong() {
    assert!(text("[a]\nb = 1\n").load().into_settings().is_ok());
    let error = text("a = '${MISSING}'\n").load().into_settings().unwrap_err();
    assert_eq!(error.find::<Problems>().map(Problems::len), Some(1));
}

#[test]
fn what_only_follows_from_a_mistake_of_the_load_is_not_added() {
    let toml = "[cache.a]\nextends = 'gone'\nmax = 'x'\n[cache.b]\nurl = '${MISSING}'\n[cache.c]\n";
    let mut loaded = text(toml).load();
    let place = |path: &str| loaded.settings.get(path).unwrap().origin().clone();
    let missing = |path: &str, table: &str| {
        Problem::new(path, place(table), "this setting is missing").of_kind(ProblemKind::Missing)
    };
    let follows = [
        // What the base would have said.
        missing("cache.a.url", "cache.a"),
        // What the variable would have said.
        Problem::new("cache.b.url", place("cache.b.url"), "not an address"),
        Problem::new("cache.b", place("cache.b"), "no driver").of_kind(ProblemKind::Missing),
    ];
    let new = [
        Problem::new("cache.a.max", place("cache.a.max"), "expected an integer, found a string"),
        missing("cache.c.url", "cache.c"),
    ];
    assert_eq!(loaded.problems.len(), 2);
    loaded.add(Problems::from_iter(follows));
    assert_eq!(loaded.problems.len(), 2, "{:#}", loaded.problems);
    loaded.add(Problems::from_iter(new));
    assert_eq!(loaded.problems.len(), 4);
}

#[test]
fn a_mistake_of_a_base_that_a_check_finds_in_each_child_is_added_once() {
    let toml = "[cache.base]\nabstract = true\nmax = 'x'\nmin = 'x'\n[cache.a]\nextends = 'base'\n[cache.b]\nextends = 'base'\n";
    let mut loaded = fine(text(toml).load());
    let found: Vec<Problem> = ["cache.a.max", "cache.b.max", "cache.a.min", "cache.b.min"]
        .into_iter()
        .map(|path| {
            let origin = loaded.settings.get(path).unwrap().origin().clone();
            Problem::new(path, origin, "expected an integer")
        })
        .collect();
    loaded.add(found.into_iter().collect());
    assert_eq!(
        mistakes(&loaded),
        [
            "switchboard.toml:3:7: cache.a.max: expected an integer",
            "switchboard.toml:4:7: cache.a.min: expected an integer",
        ]
    );
}

#[test]
fn no_report_of_a_load_shows_what_variables_files_and_defaults_hold() {
    let folder = Folder::new();
    folder.write("secret", "canary\n");
    let toml = "a = '${A:-canary} ${MISSING}'\nb = 'canary ${file:secret} ${A'\n[c.d]\nextends = 'x'\nurl = 'redis://:canary@x'\n[c.e]\nextends = ['d']\n";
    let path = folder.write("switchboard.toml", toml);
    let variables =
        [("A", "canary"), ("SWITCHBOARD__C__D__URL__X", "canary"), ("SWITCHBOARD__X", "[canary")];
    let loaded = Loader::new().file(path).variables(variables).load();
    assert_eq!(loaded.problems.len(), 6, "{:#}", loaded.problems);
    let report = Report::new(&loaded.problems, &loaded.sources);
    let all = format!("{report} {} {} {loaded:?}", report.coloured(), report.json());
    assert!(!all.contains("canary"), "{all}");
}

#[test]
fn texts_and_files_are_layers_in_the_order_they_were_named() {
    let folder = Folder::new();
    let path = folder.write("switchboard.toml", "[a]\nb = 'file'\n");
    let text = |value: &str| format!("[a]\nb = '{value}'\n");
    let over = Loader::new().file(&path).text("over.toml", Format::Toml, text("over")).load();
    assert_eq!(said(&fine(over), "a.b"), "over");
    let under = Loader::new().text("under.toml", Format::Toml, text("under")).file(&path).load();
    assert_eq!(said(&fine(under), "a.b"), "file");
}
