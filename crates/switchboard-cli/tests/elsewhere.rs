//! The board of an application, asked by its address.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod common;

use std::time::Duration;

use common::{Place, Ran};
use switchboard::{Format, Switchboard};
use switchboard_cache::{Caches, drivers};
use switchboard_console::{ConsoleConfig, serve};
use switchboard_core::{Error, ErrorKind, NoSettings};
use tokio::runtime::Runtime;

#[test]
fn a_board_that_an_application_serves_is_reached_by_its_address() {
    let (place, shop) = (Place::new(), Shop::opened());
    let ask = |arguments: &[&str]| shop.asked(&place, arguments, Some(TOKEN));
    ask(&["cache", "put", "main", "who", "Ada"]).fine();
    assert_eq!(ask(&["cache", "get", "main", "who"]).fine(), "Ada");
    let explained = ask(&["explain", "cache.main"]).fine();
    assert!(explained.contains(&shop.address) && explained.contains("memory"), "{explained}");
    ask(&["swap", "cache.main", "driver=null"]).fine();
    ask(&["cache", "get", "main", "who"]).failed(3);
    assert!(ask(&["plan"]).fine().contains("~ cache.main"));
    assert!(ask(&["reload"]).fine().contains("1 changed"));
    assert!(ask(&["config", "show"]).fine().contains("cache.main.driver"));
    assert!(ask(&["health", "--format", "json"]).json()["ready"].is_boolean());
    assert!(!place.home().exists());
}

#[test]
fn a_variable_names_the_address_for_every_command() {
    let (place, shop) = (Place::new(), Shop::opened());
    let variables = [("SWITCHBOARD_ADDRESS", shop.address.as_str()), ("SWITCHBOARD_TOKEN", TOKEN)];
    place.run_with(&variables, &["cache", "put", "main", "who", "Ada"]).fine();
    assert!(place.run_with(&variables, &["explain", "cache.main"]).fine().contains(&shop.address));
    // What is said as an argument counts before a variable.
    let home = place.home();
    let home = ["health", "--home", home.to_str().unwrap()];
    assert!(place.run_with(&variables, &home).failed(4).contains("no board is running here"));
    let offline = ["explain", "cache.main", "--offline"];
    assert!(!place.run_with(&variables, &offline).fine().contains(&shop.address));
    let nobody = [("SWITCHBOARD_ADDRESS", "nowhere"), ("SWITCHBOARD_TOKEN", TOKEN)];
    let said = ["explain", "cache.main", "--address", &shop.address];
    assert!(place.run_with(&nobody, &said).fine().contains(&shop.address));
    // One that is not there does not end what asks nobody.
    place.run_with(&nobody, &["check"]).fine();
    place.run_with(&nobody, &["drivers"]).fine();
}

#[test]
fn a_home_in_the_folder_is_not_looked_at_where_an_address_is_said() {
    let (place, shop) = (Place::new(), Shop::opened());
    std::fs::create_dir(place.home()).unwrap();
    std::fs::write(place.note(), "this is no note").unwrap();
    let explained = shop.asked(&place, &["explain", "cache.main"], Some(TOKEN)).fine();
    assert!(explained.contains(&shop.address), "{explained}");
}

#[test]
fn without_the_token_it_is_told_where_that_goes_and_what_it_is_is_never_shown() {
    let (place, shop) = (Place::new(), Shop::opened());
    let swap = ["swap", "cache.main", "driver=null"];
    let told = shop.asked(&place, &swap, None).failed(1);
    assert!(told.contains("needs a token") && told.contains("SWITCHBOARD_TOKEN"), "{told}");
    let told = shop.asked(&place, &swap, Some("wrong-but-secret")).failed(1);
    assert!(told.contains("not the right one") && !told.contains("wrong-but-secret"), "{told}");
    let told = shop.asked(&place, &swap, Some("two\nlines")).failed(2);
    assert!(told.contains("SWITCHBOARD_TOKEN") && !told.contains("lines"), "{told}");
    let explained = shop.asked(&place, &["explain", "cache.main"], Some(TOKEN)).fine();
    assert!(explained.contains("memory"), "{explained}");
}

#[test]
fn an_address_that_leads_nowhere_is_told_with_the_reason() {
    let place = Place::new();
    for (address, reason) in [
        ("", "no URL"),
        ("127.0.0.1:7070", "no URL"),
        ("https://127.0.0.1:7070", "over http"),
        ("http://ada:hunter2@127.0.0.1:7070", "password"),
    ] {
        let told = place.run(&["health", "--address", address]).failed(2);
        assert!(told.contains(reason) && told.contains("--address"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let told = place.run_with(&[("SWITCHBOARD_ADDRESS", "shop")], &["explain", "cache.main"]);
    assert!(told.failed(2).contains("said by: SWITCHBOARD_ADDRESS"));
}

#[test]
fn nobody_at_the_address_is_exit_code_4() {
    let place = Place::new();
    // Nobody is given this port to listen at.
    let address = "http://127.0.0.1:1";
    for command in [&["health"][..], &["explain", "cache.main"], &["reload"]] {
        let told = place.run(&[command, &["--address", address]].concat()).failed(4);
        assert!(told.contains(address) && told.contains("cannot be reached"), "{told}");
    }
}

#[test]
fn an_address_beside_what_asks_no_running_board_is_a_mistake() {
    let place = Place::new();
    for command in [&["up"][..], &["check"], &["drivers"], &["completions", "bash"], &[]] {
        let told = place.run(&[command, &["--address", "http://127.0.0.1:1"]].concat()).failed(2);
        assert!(told.contains("for commands that ask a running board"), "{told}");
    }
    for other in [&["--offline"][..], &["--home", "here"]] {
        let said = [&["--address", "http://127.0.0.1:1", "health"], other].concat();
        assert!(place.run(&said).failed(2).contains(other[0]));
    }
}

#[test]
fn a_name_without_its_subsystem_is_told_the_instance_that_has_it() {
    let (place, shop) = (Place::new(), Shop::opened());
    let one = "hint: did you mean cache.main?";
    let all = "hint: did you mean cache.main or database.main or storage.main?";
    for command in [&["swap", "main", "driver=null"][..], &["explain", "main"]] {
        let told = shop.asked(&place, command, Some(TOKEN)).failed(2);
        assert!(told.contains(one), "{told}");
        let own = place.run(&[command, &["--offline"]].concat()).failed(2);
        assert!(own.contains(all), "{own}");
    }
    let told = shop.asked(&place, &["explain", "far"], Some(TOKEN)).failed(2);
    assert!(told.contains("hint: did you mean cache.far?"), "{told}");
    let told = shop.asked(&place, &["explain", "mian"], Some(TOKEN)).failed(2);
    assert!(!told.contains("did you mean") && told.contains("cache.sessions"), "{told}");
}

#[test]
fn why_an_instance_could_not_be_built_is_shown_with_its_health_and_its_explanation() {
    let (place, shop) = (Place::new(), Shop::opened());
    let refused = shop.runtime.block_on(shop.board.connect_instance("cache.far"));
    assert!(refused.is_err());
    let health = shop.asked(&place, &["health"], Some(TOKEN));
    let line = health.output.lines().find(|line| line.contains("cache.far")).unwrap();
    assert!(line.contains("down") && line.contains("nobody answers"), "{health:?}");
    let explained = shop.asked(&place, &["explain", "cache.far"], Some(TOKEN)).fine();
    let line = explained.lines().find(|line| line.contains("health")).unwrap();
    assert!(line.contains("down") && line.contains("nobody answers"), "{explained}");
    let well = shop.asked(&place, &["explain", "cache.main"], Some(TOKEN)).fine();
    assert!(!well.contains("health"), "{well}");
}

/// An application that serves its own board, here.
struct Shop {
    runtime: Runtime,
    board: Switchboard,
    address: String,
}

impl Shop {
    fn opened() -> Self {
        let runtime = Runtime::new().unwrap();
        let (board, address) = runtime.block_on(open());
        Self { runtime, board, address }
    }

    fn asked(&self, place: &Place, arguments: &[&str], token: Option<&str>) -> Ran {
        let arguments = [&["--address", &self.address], arguments].concat();
        let token = token.map(|token| ("SWITCHBOARD_TOKEN", token));
        place.run_with(token.as_slice(), &arguments)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let closed = self.runtime.block_on(self.board.close(Duration::from_secs(10)));
        assert!(std::thread::panicking() || closed.into_result().is_ok());
    }
}

async fn open() -> (Switchboard, String) {
    let builder = Switchboard::builder().drivers::<Caches>(|registry| {
        registry.register("far", |_: NoSettings, _| async {
            let error = Error::new(ErrorKind::Unavailable, "nobody answers");
            Err::<drivers::null::Null, _>(error)
        })
    });
    let builder = builder.section::<ConsoleConfig>("console");
    let board = builder.text("shop.toml", Format::Toml, CONFIGURATION).build().await.unwrap();
    let config = board.section::<ConsoleConfig>("console").unwrap();
    let console = serve(&board, &config).await.unwrap();
    let address = format!("http://{}", console.address());
    (board, address)
}

const TOKEN: &str = "the-token-of-the-shop";

const CONFIGURATION: &str = "
console.token = 'the-token-of-the-shop'
[cache]
default = 'main'
[cache.main]
driver = 'memory'
[cache.far]
driver = 'far'
";
