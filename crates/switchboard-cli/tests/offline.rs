//! What the command does without a running board: every command, every exit code.

mod common;

use std::process::{Command, Stdio};

use common::Place;
use serde_json::json;

#[test]
fn without_any_file_the_embedded_defaults_are_right() {
    let place = Place::new();
    assert!(place.run(&["check"]).fine().starts_with("embedded defaults: no mistakes"));
    let checked = place.run(&["check", "--format", "json"]);
    assert_eq!(checked.json(), json!({ "ok": true, "problems": [] }));
}

#[test]
fn the_file_of_the_folder_is_read_and_a_named_one_in_its_place() {
    let place = Place::new();
    place.write("switchboard.toml", "[cache.here]\ndriver = 'memory'\n");
    place.write("other.toml", "[cache.there]\ndriver = 'memory'\n");
    assert!(place.run(&["explain", "cache.here"]).fine().starts_with("cache.here\n"));
    assert!(place.run(&["-c", "other.toml", "explain", "cache.there"]).fine().contains("memory"));
    place.run(&["explain", "cache.here", "-c", "other.toml"]).failed(3);
}

#[test]
fn two_files_that_could_be_meant_are_not_guessed_among() {
    let place = Place::new();
    place.write("switchboard.toml", "").write("switchboard.json", "{}");
    let told = place.run(&["check"]).failed(2);
    assert!(told.contains("switchboard.toml, switchboard.json") && told.contains("-c"), "{told}");
    let told = place.run(&["check", "--format", "json"]);
    assert_eq!((told.code, told.json()["ok"].as_bool()), (Some(2), Some(false)));
}

#[test]
fn a_mistake_is_exit_code_2_and_names_the_setting() {
    let place = Place::new();
    place.write("wrong.toml", "[cache]\ndefault = 'mian'\n[cache.main]\ndriver = 'memory'\n");
    let told = place.run(&["check", "-c", "wrong.toml"]).failed(2);
    assert!(told.contains("wrong.toml:") && told.contains("mian"), "{told}");

    let checked = place.run(&["check", "-c", "wrong.toml", "--format", "json"]);
    assert_eq!((checked.code, checked.errors.as_str()), (Some(2), ""), "{checked:?}");
    let told = checked.json();
    assert_eq!(told["ok"], false);
    let keys = ["file", "line", "column", "key", "message", "hint"];
    for problem in told["problems"].as_array().unwrap() {
        assert!(keys.iter().all(|key| problem.get(key).is_some()), "{problem}");
    }
}

#[test]
fn every_instance_is_connected_when_that_is_asked_for() {
    let place = Place::new();
    let checked = place.run(&["check", "--connect"]).fine();
    assert!(checked.contains("cache.main") && checked.contains("connected in"), "{checked}");
    let checked = place.run(&["check", "--connect", "--format", "json"]);
    assert_eq!(checked.json(), json!({ "ok": true, "problems": [] }));
}

#[test]
fn drivers_have_the_form_that_scripts_rely_on() {
    let place = Place::new();
    let drivers = place.run(&["drivers", "--format", "json"]).json();
    let memory = &drivers[0];
    assert_eq!((&memory["subsystem"], &memory["name"]), (&json!("cache"), &json!("memory")));
    for key in ["subsystem", "name", "aliases", "summary", "capabilities", "proven"] {
        assert!(memory.get(key).is_some(), "{key}");
    }
    let listed = place.run(&["drivers", "cache"]).fine();
    assert!(listed.lines().count() >= 3 && !listed.contains('\u{1b}'), "{listed}");
}

#[test]
fn drivers_are_listed_although_the_configuration_is_wrong() {
    let place = Place::new();
    place.write("switchboard.toml", "this is no TOML");
    assert!(place.run(&["drivers"]).fine().contains("memory"));
}

#[test]
fn a_subsystem_that_is_not_there_is_exit_code_3_with_the_nearest() {
    let told = Place::new().run(&["drivers", "cahce"]).failed(3);
    assert!(told.contains("did you mean \"cache\"?"), "{told}");
}

#[test]
fn an_explanation_has_the_form_that_scripts_rely_on() {
    let explained = Place::new().run(&["explain", "cache.main", "--format", "json"]).json();
    let last = explained["chain"].as_array().unwrap().last().unwrap();
    assert_eq!(last["gate"], "driver");
    assert!(last.get("settings").is_some() && last.get("origin").is_some(), "{last}");
}

#[test]
fn an_instance_that_is_not_there_is_exit_code_3_also_for_programs() {
    let place = Place::new();
    let told = place.run(&["explain", "cache.mian"]).failed(3);
    assert!(told.starts_with("error: ") && told.contains("did you mean \"main\"?"), "{told}");
    let told = place.run(&["explain", "cache.mian", "--format", "json"]).failed(3);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["error"]["kind"], "not registered");
}

#[test]
fn what_acts_says_how_to_start_a_board_when_there_is_none() {
    let place = Place::new();
    let acting: [&[&str]; 6] = [
        &["health"],
        &["plan"],
        &["reload"],
        &["swap", "cache.main", "driver=null"],
        &["cache", "get", "main", "key"],
        &["cache", "flush", "main"],
    ];
    for arguments in acting {
        let told = place.run(arguments).failed(4);
        assert!(told.contains("switchboard up") && told.contains("--offline"), "{told}");
    }
}

#[test]
fn offline_it_acts_on_a_board_of_its_own() {
    let place = Place::new();
    let health = place.run(&["health", "--offline"]).fine();
    assert!(health.starts_with("ready") && health.contains("cache.main     up"), "{health}");
    assert!(place.run(&["plan", "--offline"]).fine().starts_with("+ cache.main  added\n"));
    let swap = ["swap", "cache.main", "driver=memory", "max_entries=5", "--offline"];
    assert!(place.run(&swap).fine().starts_with("cache.main: generation "));
    place.run(&["cache", "put", "main", "key", "value", "--ttl", "10m", "--offline"]).fine();
    place.run(&["cache", "forget", "cache.main", "key", "--offline"]).fine();
    place.run(&["cache", "flush", "main", "--offline"]).fine();
    assert!(!place.note().exists(), "nothing is noted down of it");
}

#[test]
fn a_value_that_is_not_there_is_exit_code_3() {
    let told = Place::new().run(&["cache", "get", "main", "nobody", "--offline"]).failed(3);
    assert!(told.starts_with("error: not found"), "{told}");
}

#[test]
fn usage_that_cannot_be_is_exit_code_2() {
    let place = Place::new();
    let wrong: [&[&str]; 9] = [
        &["nonsense"],
        &["check", "--nonsense"],
        &["explain"],
        &["--listen", "127.0.0.1:0", "check"],
        &["up", "--listen", "nowhere"],
        &["swap", "cache.main", "no assignment"],
        &["swap", "cache.main", "--settings", "[1]", "--offline"],
        &["swap", "cache.main", "a=1", "a=2", "--offline"],
        &["cache", "put", "main", "key", "value", "--ttl", "10", "--offline"],
    ];
    for arguments in wrong {
        let told = place.run(arguments).failed(2);
        assert!(told.starts_with("error: "), "{arguments:?}: {told}");
    }
    let told = place.run(&["nonsense", "--format", "json"]).failed(2);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["error"]["kind"], "invalid input");
}

#[test]
fn help_and_version_are_data() {
    let place = Place::new();
    let help = place.run(&["--help"]).fine();
    let commands = [
        "up", "check", "plan", "drivers", "explain", "health", "config", "swap", "reload", "cache",
        "db",
    ];
    assert!(commands.iter().all(|command| help.contains(&format!("\n  {command} "))), "{help}");
    assert!(place.run(&["--version"]).fine().starts_with("switchboard 0."));
}

#[test]
fn settings_come_from_stdin_too() {
    let place = Place::new();
    let swap = ["swap", "cache.main", "--settings", "-", "--offline"];
    place.run_with_input(&swap, b"{ \"driver\": \"null\" }").fine();
    let told = place.run_with_input(&swap, b"{ \"driver\": \"nul\" }");
    assert_ne!(told.code, Some(0));
    assert!(told.errors.contains("null"), "{told:?}");
}

#[test]
fn completions_are_scripts_that_their_shells_can_read() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).fine();
        assert!(script.contains("switchboard") && script.contains("explain"), "{shell}");
        place.write(shell, script);
        // A shell that is not installed cannot be asked; bash is.
        let Ok(read) = Command::new(shell).arg("-n").arg(place.path().join(shell)).output() else {
            assert_ne!(shell, "bash");
            continue;
        };
        assert!(read.status.success(), "{shell}: {read:?}");
    }
    place.run(&["completions", "cobol"]).failed(2);
}

#[test]
fn a_reader_that_goes_away_is_nobodys_mistake() {
    let place = Place::new();
    for arguments in
        [&["completions", "bash"][..], &["drivers"], &["--help"], &["explain", "cache.main"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = place.command(arguments);
        let ended = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!((ended.status.code(), told.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let ended = Place::new().command(&["drivers"]).stdout(full).output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(told.contains("the output cannot be written"), "{told}");
}

#[test]
fn what_an_argument_says_wrong_is_not_placed_in_the_source_of_the_command() {
    let place = Place::new();
    let told = place.run(&["swap", "cache.main", "driver=memry", "--offline"]).failed(2);
    assert!(told.contains("argument") && !told.contains(".rs:"), "{told}");
    place.write("switchboard.toml", "[cache.main]\ndriver = 'memory'\n");
    let told = place.run(&["check", "--profile", "prod"]).failed(2);
    assert!(told.contains("--profile") && !told.contains(".rs:"), "{told}");
    let told = place.run(&["check", "--profile", "prod", "--format", "json"]).json();
    assert_eq!(told["problems"][0]["file"], serde_json::Value::Null, "{told}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_a_mistake_where_it_is_a_setting() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let place = Place::new();
    let no_text = OsStr::from_bytes(b"\xff");
    let run = |name: &str| {
        let mut command = place.command(&["check", "--format", "json"]);
        command.env(name, no_text).output().unwrap()
    };
    assert_eq!(run("SOMETHING").status.code(), Some(0));
    let ended = run("SWITCHBOARD__CACHE__MAIN__DRIVER");
    let told: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert_eq!(told["problems"][0]["variable"], "SWITCHBOARD__CACHE__MAIN__DRIVER");

    let home = place.path().join(no_text);
    let mut command = place.command(&["health"]);
    let ended = command.env("SWITCHBOARD_HOME", &home).output().unwrap();
    assert_eq!(ended.status.code(), Some(4));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("home: "));
}

#[test]
fn a_plan_of_many_instances_is_made_in_one_pass() {
    let place = Place::new();
    let many = (0..4_000).map(|number| format!("[cache.c{number}]\ndriver = 'memory'\n"));
    place.write("many.toml", many.collect::<String>());
    let plan = place.run(&["plan", "--offline", "-c", "many.toml"]).fine();
    assert!(plan.ends_with("4000 would change, 0 kept\n"));
}
