//! A running board, and the commands that find it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use common::{PATIENCE, Place, Up};
use serde_json::{Value, json};

#[test]
fn it_says_where_it_serves_and_what_and_stops_cleanly_on_ctrl_c() {
    let place = Place::new();
    let mut up = place.up(&[]);
    assert!(up.address.starts_with("http://127.0.0.1:"), "{}", up.address);
    assert!(up.ask("/livez").starts_with("HTTP/1.1 200"));
    up.signal("INT");
    assert_eq!(up.ended(), Some(0));
    assert!(!place.note().exists());
}

#[test]
fn it_is_what_is_done_without_a_command() {
    let place = Place::new();
    let mut up = Up::started(place.command(&["--listen", "127.0.0.1:0"]));
    up.signal("TERM");
    assert_eq!(up.ended(), Some(0));
}

#[test]
fn each_instance_has_a_line() {
    let place = Place::new();
    place.write(
        "switchboard.toml",
        "[cache.one]\ndriver = 'memory'\n[cache.two]\ndriver = 'null'\neager = true\n",
    );
    let mut command = place.command(&["up", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = String::new();
    let mut output = child.stdout.take().unwrap();
    while !seen.contains("Ctrl-C") {
        let mut bytes = [0; 512];
        let read = output.read(&mut bytes).unwrap();
        assert_ne!(read, 0, "{seen}");
        seen += std::str::from_utf8(&bytes[..read]).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let expected =
        [("cache.one", "memory", "when first used"), ("cache.two", "null", "connected in")];
    for (name, driver, since) in expected {
        let line = seen.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.contains(driver) && line.contains(since), "{line}");
    }
    assert!(seen.contains("switchboard.toml"), "{seen}");
}

#[test]
fn programs_get_one_line_of_json() {
    let place = Place::new();
    let mut command = place.command(&["up", "--listen", "127.0.0.1:0", "--format", "json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut bytes = [0; 4096];
    let read = child.stdout.take().unwrap().read(&mut bytes).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let greeting: Value = serde_json::from_slice(&bytes[..read]).unwrap();
    assert!(greeting["address"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{greeting}");
    assert_eq!(greeting["instances"][0]["name"], "main");
}

#[test]
fn the_note_is_for_its_owner_only_and_has_all_that_it_takes() {
    let place = Place::new();
    let up = place.up(&[]);
    let note: Value = serde_json::from_slice(&fs::read(place.note()).unwrap()).unwrap();
    assert_eq!(note["address"], up.address.as_str());
    assert_eq!(note["pid"], up.pid());
    assert!(note["token"].as_str().unwrap().len() >= 16);
    let mode = fs::metadata(place.note()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    up.stop();
}

#[test]
fn a_note_that_others_can_read_is_not_used() {
    let place = Place::new();
    let up = place.up(&[]);
    fs::set_permissions(place.note(), fs::Permissions::from_mode(0o644)).unwrap();
    let told = place.run(&["health"]).failed(1);
    assert!(told.contains("open to others") && told.contains("644"), "{told}");
    up.stop();
}

#[test]
fn the_note_of_one_that_was_killed_is_known_for_what_it_is() {
    let place = Place::new();
    place.up(&[]).kill();
    assert!(place.note().exists());
    let told = place.run(&["health"]).failed(4);
    assert!(told.contains("ended without a word") && told.contains("switchboard up"), "{told}");
    // Whoever only reads does so from the files, and the next one to start takes over.
    place.run(&["explain", "cache.main"]).fine();
    let up = place.up(&[]);
    place.run(&["health"]).fine();
    up.stop();
}

#[test]
fn nobody_is_asked_at_the_address_of_a_note_that_was_left_behind() {
    let place = Place::new();
    place.up(&[]).kill();
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let address = format!("http://{}", stranger.local_addr().unwrap());
    let note = json!({ "address": address, "token": "mine", "pid": 1 });
    fs::write(place.note(), note.to_string()).unwrap();
    place.run(&["health"]).failed(4);
    assert!(stranger.accept().is_err(), "the token was for somebody else");
}

#[test]
fn two_boards_do_not_run_from_one_home() {
    let place = Place::new();
    let up = place.up(&[]);
    let told = place.run(&["up", "--listen", "127.0.0.1:0"]).failed(1);
    assert!(told.contains("running here already") && told.contains(&up.address), "{told}");
    place.run(&["health"]).fine();
    let other = place.up(&["--home", "another"]);
    other.stop();
    up.stop();
}

#[test]
fn an_address_that_is_taken_ends_it_with_an_error_and_leaves_nothing_behind() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = place.run(&["up", "--listen", &address]);
    assert!(ran.code != Some(0) && ran.errors.contains(&address), "{ran:?}");
    assert!(!place.note().exists());
}

#[test]
fn mistakes_of_the_configuration_end_it_before_it_serves() {
    let place = Place::new();
    place.write("switchboard.toml", "[cahce.main]\ndriver = 'memory'\n");
    let told = place.run(&["up"]).failed(2);
    assert!(told.contains("did you mean \"cache\"?"), "{told}");
    assert!(!place.note().exists());
}

#[test]
fn what_is_put_by_one_command_is_found_by_the_next() {
    let place = Place::new();
    let up = place.up(&[]);
    let missing = place.run(&["cache", "get", "main", "who"]).failed(3);
    assert!(missing.starts_with("error: not found"), "{missing}");
    // A key and a value that nothing on the way takes for something else.
    let (key, value) = ("a/b?c=d&ü %25", b"\x00\xff\r\n{}");
    place.run_with_input(&["cache", "put", "main", key], value).fine();
    let got = place.output(&["cache", "get", "main", key], b"");
    assert_eq!(got.stdout, value);

    place.run(&["cache", "put", "cache.main", "who", "Ada", "--ttl", "10m"]).fine();
    assert_eq!(place.run(&["cache", "get", "main", "who"]).fine(), "Ada");
    let got = place.run(&["cache", "get", "main", "who", "--format", "json"]).json();
    assert_eq!(got, json!({ "value": "Ada" }));

    place.run(&["cache", "forget", "main", "who"]).fine();
    place.run(&["cache", "get", "main", "who"]).failed(3);
    place.run(&["cache", "flush", "main"]).fine();
    place.run(&["cache", "get", "main", key]).failed(3);
    up.stop();
}

#[test]
fn a_swap_is_seen_by_whoever_asks_after_it() {
    let place = Place::new();
    let up = place.up(&[]);
    place.run(&["cache", "put", "main", "who", "Ada"]).fine();
    assert!(place.run(&["explain", "cache.main"]).fine().contains(&up.address));
    let before = place.run(&["explain", "cache.main", "--format", "json"]).json();
    assert_eq!(before["driver"], "memory");

    place.run(&["swap", "cache.main", "driver=null"]).fine();
    let after = place.run(&["explain", "cache.main", "--format", "json"]).json();
    assert_eq!(after["driver"], "null");
    assert!(after["generation"].as_u64() > before["generation"].as_u64(), "{after}");
    place.run(&["cache", "get", "main", "who"]).failed(3);

    // What was named is read from files, and those say nothing of a swap.
    place.write("named.toml", "[cache.main]\ndriver = 'memory'\n");
    let named = place.run(&["explain", "cache.main", "-c", "named.toml"]).fine();
    assert!(named.contains("memory"), "{named}");
    up.errors.next("swap cache.main");
    up.stop();
}

#[test]
fn a_swap_that_cannot_be_changes_nothing_and_says_why() {
    let place = Place::new();
    let up = place.up(&[]);
    let told = place.run(&["swap", "cache.main", "driver=memory", "max_entires=5"]).failed(2);
    assert!(told.contains("max_entries"), "{told}");
    let told = place.run(&["swap", "cache.mian", "driver=null"]).failed(3);
    assert!(told.contains("main"), "{told}");
    let explained = place.run(&["explain", "cache.main", "--format", "json"]).json();
    assert_eq!(explained["driver"], "memory");
    up.stop();
}

#[test]
fn health_is_shown_to_people_and_to_programs_and_again_and_again() {
    let place = Place::new();
    let up = place.up(&[]);
    assert!(place.run(&["health"]).fine().starts_with("ready"));
    assert_eq!(place.run(&["health", "--format", "json"]).json()["live"], true);

    let mut command = place.command(&["health", "--watch", "--format", "json"]);
    let mut watching = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = common::Lines::of(watching.stdout.take().unwrap());
    for _ in 0..2 {
        let line: Value = serde_json::from_str(&lines.next("live")).unwrap();
        assert_eq!(line["live"], true);
    }
    up.stop();
    // What it looked at has gone, and that is what it says.
    assert_eq!(watching.wait().unwrap().code(), Some(4));
}

#[test]
fn nobody_has_to_read_what_it_prints() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = place.command(&["up", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let errors = common::Lines::of(child.stderr.take().unwrap());
    // It serves although its greeting was lost: the commands find it as soon as it is noted down.
    while !place.note().exists() {
        assert!(child.try_wait().unwrap().is_none(), "{:?}", errors.end());
        std::thread::yield_now();
    }
    place.run(&["health"]).fine();
    let pid = child.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    errors.next("stopped");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_secret_is_in_no_output() {
    const CANARY: &str = "canary-5b1f0c7e";
    let place = Place::new();
    place.write(
        "switchboard.toml",
        format!("[console]\ntoken = '{CANARY}'\n[cache.main]\ndriver = 'memory'\n"),
    );
    let up = place.up(&[]);
    let asked: [(&[&str], bool); 9] = [
        (&["config", "show"], true),
        (&["config", "show", "--format", "json"], true),
        (&["config", "show", "--offline"], true),
        (&["explain", "cache.main"], true),
        (&["health"], true),
        (&["check"], true),
        (&["check", "--connect"], true),
        (&["drivers"], true),
        (&["swap", "cache.main", "driver=memory", "password=canary-5b1f0c7e"], false),
    ];
    for (arguments, is_fine) in asked {
        let ran = place.run(arguments);
        assert_eq!(ran.code == Some(0), is_fine, "{arguments:?}: {ran:?}");
        assert!(!(ran.output + &ran.errors).contains(CANARY), "{arguments:?}");
    }
    up.signal("INT");
    let said = [up.output.end(), up.errors.end()].concat().join("\n");
    assert!(!said.contains(CANARY), "{said}");
}

#[test]
fn it_stops_although_nobody_reads_what_it_notes() {
    let place = Place::new();
    let mut command = place.command(&["up", "--listen", "127.0.0.1:0", "--format", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = common::Lines::of(child.stdout.take().unwrap());
    let greeting: Value = serde_json::from_str(&output.next("address")).unwrap();
    let host = greeting["address"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    flush_often(&host, 3_000);
    let pid = child.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    // The end of its output is the end of it.
    output.end();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Changes that are noted, more of them than a pipe holds.
fn flush_often(host: &str, times: usize) {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    // In one piece, so that the system does not wait for the rest of it.
    let request = format!(
        "POST /api/v1/cache/main/flush HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
    );
    for _ in 0..times {
        stream.write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert!(line.contains(" 204 "), "{line}");
        while line != "\r\n" {
            line.clear();
            answers.read_line(&mut line).unwrap();
        }
    }
}

#[test]
fn it_stops_although_nobody_reads_its_greeting() {
    let place = Place::new();
    let many = (0..3_000).map(|number| format!("[cache.c{number}]\ndriver = 'memory'\n"));
    place.write("switchboard.toml", many.collect::<String>());
    let mut command = place.command(&["up", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let errors = common::Lines::of(child.stderr.take().unwrap());
    while !place.note().exists() {
        assert!(child.try_wait().unwrap().is_none(), "{:?}", errors.end());
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    errors.next("stopped");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_hangup_before_it_is_there_does_not_end_it() {
    let place = Place::new();
    let many = (0..3_000).map(|number| format!("[cache.c{number}]\ndriver = 'memory'\n"));
    place.write("switchboard.toml", many.collect::<String>());
    let mut command = place.command(&["up", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lock = place.home().join("run.lock");
    // It has its signals before it has its home.
    while !lock.exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    let output = common::Lines::of(child.stdout.take().unwrap());
    let errors = common::Lines::of(child.stderr.take().unwrap());
    output.next("Ctrl-C");
    // What it was asked too early it does late.
    errors.next("reload board by SIGHUP");
    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    errors.next("stopped");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_command_ends_alike_on_a_running_board_and_on_one_of_its_own() {
    let place = Place::new();
    let up = place.up(&[]);
    let asked: [(&[&str], i32); 12] = [
        (&["swap", "cache.main", "driver=memory", "--format", "json"], 0),
        (&["swap", "cache.main", "driver=memry"], 2),
        (&["swap", "cache.mian", "driver=memory"], 3),
        (&["swap", "cache.main", "--settings", r#"{"driver":"null","driver":"memory"}"#], 2),
        (&["cache", "forget", "main", "nobody"], 0),
        (&["cache", "forget", "mian", "key"], 3),
        (&["cache", "get", "main", "nobody"], 3),
        (&["cache", "get", "main", ""], 2),
        (&["cache", "put", "main", "key", "-5", "--ttl", "500us"], 0),
        (&["cache", "put", "main", "key", "value", "--ttl", "1 h"], 0),
        (&["cache", "put", "main", "key", "value", "--ttl", "0s"], 2),
        (&["explain", "main"], 2),
    ];
    for (arguments, code) in asked {
        let running = place.run(arguments);
        let own = place.run(&[arguments, &["--offline"]].concat());
        assert_eq!((running.code, own.code), (Some(code), Some(code)), "{running:?} {own:?}");
        if !running.output.is_empty() {
            let shape = |ran: &common::Ran| {
                ran.json().as_object().unwrap().keys().cloned().collect::<Vec<_>>()
            };
            assert_eq!(shape(&running), ["generation", "instance"]);
            assert_eq!(shape(&running), shape(&own));
        }
    }
    up.stop();
}

#[test]
fn a_value_that_begins_with_a_hyphen_is_one() {
    let place = Place::new();
    let up = place.up(&[]);
    place.run(&["cache", "put", "main", "key", "-5"]).fine();
    assert_eq!(place.run(&["cache", "get", "main", "key"]).fine(), "-5");
    place.run(&["cache", "put", "main", "key", "--ttl", "1h", "--home", "home", "-x"]).fine();
    assert_eq!(place.run(&["cache", "get", "main", "key"]).fine(), "-x");
    up.stop();
}

#[test]
fn a_value_that_is_too_large_is_refused_with_the_limit() {
    let place = Place::new();
    let up = place.up(&[]);
    let large = vec![b'x'; 20_000_000];
    for _ in 0..3 {
        let told = place.run_with_input(&["cache", "put", "main", "key"], &large).failed(1);
        assert!(told.contains("too large") && told.contains("bytes_max: "), "{told}");
    }
    let fits = vec![b'x'; 3_500_000];
    place.run_with_input(&["cache", "put", "main", "key"], &fits).fine();
    assert_eq!(place.run(&["cache", "get", "main", "key"]).fine().len(), fits.len());
    up.stop();
}

#[test]
fn it_listens_where_the_name_of_this_machine_leads() {
    let place = Place::new();
    let up = Up::started(place.command(&["up", "--listen", "localhost:0"]));
    assert!(up.address.starts_with("http://127.0.0.1:"), "{}", up.address);
    up.stop();
}
