//! Driver names: registered, replaced, removed, described, resolved.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{
    BuildContext, Descriptor, Environment, Error, ErrorKind, Name, Registry, Result, Settings,
    Support,
};

use crate::desk::{Desks, Driver, Script, Step, World, labelled};

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

fn context() -> BuildContext {
    BuildContext::new(&Environment::new(), Name::parse("test").unwrap())
}

/// A registry of drivers that answer with these names.
fn registry_of(names: &[&'static str]) -> (Registry<Desks>, Script) {
    let (registry, script) = (Registry::empty(), Script::new());
    for name in names {
        add(&registry, &script, *name, name).unwrap();
    }
    (registry, script)
}

/// Registers `name`, whose drivers call themselves `who`.
#[track_caller]
fn add(
    registry: &Registry<Desks>,
    script: &Script,
    name: impl Into<Descriptor>,
    who: &'static str,
) -> Result<()> {
    let script = script.clone();
    registry.register(name, move |_: Nothing, _| {
        let driver: Driver = script.driver(who);
        async { Ok(driver) }
    })
}

#[track_caller]
fn replace(
    registry: &Registry<Desks>,
    script: &Script,
    name: impl Into<Descriptor>,
    who: &'static str,
) -> Result<switchboard_core::Replacement<Desks>> {
    let script = script.clone();
    registry.replace(name, move |_: Nothing, _| {
        let driver: Driver = script.driver(who);
        async { Ok(driver) }
    })
}

/// Who answers when `name` is resolved; `None` if nobody is registered.
async fn who(registry: &Registry<Desks>, name: &str) -> Option<String> {
    let driver = match registry.resolve(name, &Settings::new(), context()).await {
        Ok(driver) => driver,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotRegistered, "{error}");
            return None;
        }
    };
    let answer = driver.ask("?").await.unwrap();
    driver.close().await.unwrap();
    Some(answer.trim_end_matches(": ?").to_owned())
}

#[tokio::test]
async fn a_driver_answers_to_its_name_however_it_is_written_and_to_its_aliases() {
    let (registry, script) = registry_of(&[]);
    add(&registry, &script, Descriptor::new(" Paper ").alias("Sheet"), "paper").unwrap();
    for name in ["paper", "PAPER", "\tpaper\n", "sheet", " SHEET"] {
        assert!(registry.has(name), "{name:?}");
        assert_eq!(who(&registry, name).await.as_deref(), Some("paper"), "{name:?}");
        assert_eq!(registry.get(name).unwrap().name(), "paper");
    }
    assert!(!registry.has("pape"));
    assert!(!registry.has(""));
}

#[test]
fn names_are_sorted_and_without_aliases() {
    let (registry, script) = registry_of(&["wood", "glass", "Paper"]);
    add(&registry, &script, Descriptor::new("stone").alias("a-rock"), "stone").unwrap();
    assert_eq!(registry.names(), ["glass", "paper", "stone", "wood"]);
}

#[test]
fn a_driver_describes_itself_before_anything_is_built() {
    let (registry, script) = (Registry::<Desks>::empty(), Script::new());
    let descriptor = Descriptor::new("Oak")
        .alias("zeder")
        .alias("Ash")
        .summary("heavy")
        .capability("drawer", Support::Emulated)
        .proven();
    let line = line!() + 1;
    script.register(&registry, descriptor).unwrap();
    let [oak] = registry.describe().try_into().unwrap();
    assert_eq!(oak.name, "oak");
    assert_eq!(oak.aliases, ["ash", "zeder"]);
    assert_eq!(oak.summary, "heavy");
    assert_eq!(oak.capabilities.support("drawer"), Support::Emulated);
    assert!(!oak.exclusive && oak.proven);
    let schema = serde_json::to_value(&oak.settings).unwrap();
    assert!(schema["properties"]["label"].is_object(), "{schema}");
    assert!(schema["properties"]["needs"].is_object(), "{schema}");
    assert_eq!((oak.place.line(), oak.place.file()), (line, file!()));
    assert_eq!(script.count(Step::Build), 0);
}

#[test]
fn a_name_that_cannot_be_one_is_an_error_with_its_place_and_changes_nothing() {
    let (registry, script) = registry_of(&["paper"]);
    let long = "x".repeat(64);
    for name in ["", "  \t", "größe", "İstanbul", "pap\u{131}r", "a.b", "a b", &long] {
        let line = (line!() + 1).to_string();
        let error = add(&registry, &script, name, "never").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
        let quoted = Name::quotable(name).map(|name| format!("{name:?}"));
        assert_eq!(error.context_value("name"), quoted.as_deref());
        let place = error.context_value("place").unwrap();
        assert!(place.contains("registry.rs") && place.contains(&line), "{place}");
        let error = add(&registry, &script, Descriptor::new("fine").alias(name), "never");
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput, "alias {name:?}");
        let error = replace(&registry, &script, name, "never").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "replaced {name:?}");
    }
    assert_eq!(registry.names(), ["paper"]);
}

#[tokio::test]
async fn a_name_that_is_taken_is_an_error_with_both_places_and_changes_nothing() {
    let (registry, script) = registry_of(&[]);
    let first = format!("registry.rs:{}", line!() + 1);
    add(&registry, &script, Descriptor::new("paper").alias("sheet"), "paper").unwrap();
    let attempts = [
        (Descriptor::new("  PAPER "), "  PAPER "),
        (Descriptor::new("Sheet"), "Sheet"),
        (Descriptor::new("glass").alias("Paper"), "Paper"),
        (Descriptor::new("glass").alias("sheeT"), "sheeT"),
    ];
    for (descriptor, spelling) in attempts {
        let second = format!("registry.rs:{}", line!() + 1);
        let error = add(&registry, &script, descriptor, "usurper").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyRegistered);
        assert!(error.context_value("first").unwrap().contains(&first), "{error}");
        assert!(error.context_value("second").unwrap().contains(&second), "{error}");
        assert!(error.to_string().contains(&format!("{spelling:?}")), "{error}");
    }
    assert_eq!(registry.names(), ["paper"]);
    assert!(!registry.has("glass"));
    assert_eq!(who(&registry, "sheet").await.as_deref(), Some("paper"));
}

#[test]
fn one_driver_may_not_say_a_name_twice() {
    let (registry, script) = registry_of(&[]);
    for twice in [
        Descriptor::new("paper").alias("Paper"),
        Descriptor::new("paper").alias("sheet").alias(" SHEET"),
    ] {
        let error = add(&registry, &script, twice, "paper").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyRegistered);
    }
    assert!(registry.names().is_empty());
}

#[tokio::test]
async fn an_unknown_driver_is_an_error_that_lists_all_and_names_the_nearest() {
    let (registry, _script) = registry_of(&["wood", "paper", "glass"]);
    let error = registry.resolve(" Papre", &Settings::new(), context()).await.map(drop);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegistered);
    assert_eq!(error.context_value("subsystem"), Some("desk"));
    assert_eq!(error.context_value("driver"), Some("\"Papre\""));
    assert_eq!(error.context_value("available"), Some("glass, paper, wood"));
    assert_eq!(error.hints().collect::<Vec<_>>(), ["did you mean \"paper\"?"]);
}

#[tokio::test]
async fn an_unknown_driver_of_an_empty_registry_is_an_error_as_well() {
    let (registry, _script) = registry_of(&[]);
    let error = registry.check("zzz", &Settings::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegistered);
    assert_eq!(error.context_value("available"), Some("none"));
    assert_eq!(error.hints().count(), 0);
}

#[tokio::test]
async fn a_driver_that_this_build_leaves_out_is_named_with_its_feature() {
    let (registry, _script) = registry_of(&["paper"]);
    for asked in ["marble", " MARBLE", "marbel"] {
        let error = registry.check(asked, &Settings::new()).unwrap_err();
        let hints: Vec<_> = error.hints().collect();
        assert_eq!(hints.len(), 1, "{error:?}");
        assert!(hints[0].contains("this build leaves \"marble\" out"), "{error:?}");
        assert!(hints[0].contains("enable the feature \"stone\""), "{error:?}");
    }
}

#[tokio::test]
async fn a_replacement_serves_until_its_guard_is_dropped() {
    let (registry, script) = registry_of(&["paper"]);
    let guard = replace(&registry, &script, "PAPER", "fake").unwrap();
    assert_eq!(who(&registry, "paper").await.as_deref(), Some("fake"));
    drop(guard);
    assert_eq!(who(&registry, "paper").await.as_deref(), Some("paper"));
}

#[tokio::test]
async fn a_replacement_of_nothing_installs_and_leaves_nothing_behind() {
    let (registry, script) = registry_of(&[]);
    let guard = replace(&registry, &script, Descriptor::new("paper").alias("sheet"), "fake");
    assert_eq!(who(&registry, "sheet").await.as_deref(), Some("fake"));
    drop(guard);
    assert_eq!(who(&registry, "paper").await, None);
    add(&registry, &script, "sheet", "sheet").unwrap();
}

#[tokio::test]
async fn a_replacement_by_an_alias_takes_the_place_of_its_driver() {
    let (registry, script) = registry_of(&[]);
    add(&registry, &script, Descriptor::new("paper").alias("sheet"), "paper").unwrap();
    let guard = replace(&registry, &script, "sheet", "fake").unwrap();
    assert_eq!(who(&registry, "paper").await.as_deref(), Some("fake"));
    assert_eq!(registry.names(), ["paper"]);
    drop(guard);
    assert_eq!(who(&registry, "sheet").await.as_deref(), Some("paper"));
}

#[tokio::test]
async fn nested_replacements_end_in_any_order() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let (registry, script) = registry_of(&["paper"]);
        let names = ["one", "two", "three"];
        let mut guards: Vec<_> =
            names.map(|name| replace(&registry, &script, "paper", name).ok()).into();
        for dropped in order {
            guards[dropped] = None;
            let topmost = guards.iter().rposition(Option::is_some).map_or("paper", |at| names[at]);
            assert_eq!(who(&registry, "paper").await.as_deref(), Some(topmost), "{order:?}");
        }
    }
}

#[tokio::test]
async fn a_kept_replacement_stays_while_others_around_it_go() {
    let (registry, script) = registry_of(&["paper"]);
    let outer = replace(&registry, &script, "paper", "outer").unwrap();
    replace(&registry, &script, "paper", "kept").unwrap().keep();
    drop(outer);
    assert_eq!(who(&registry, "paper").await.as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_guard_restores_when_its_scope_panics() {
    let (registry, script) = registry_of(&["paper"]);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = replace(&registry, &script, "paper", "fake").unwrap();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert_eq!(who(&registry, "paper").await.as_deref(), Some("paper"));
}

#[tokio::test]
async fn a_removed_driver_is_gone_with_all_its_names_and_no_guard_brings_it_back() {
    let (registry, script) = registry_of(&["glass"]);
    add(&registry, &script, Descriptor::new("paper").alias("sheet"), "paper").unwrap();
    let guard = replace(&registry, &script, "paper", "fake").unwrap();
    assert!(registry.remove(" Sheet"));
    assert!(!registry.remove("paper"), "it is gone already");
    assert!(!registry.remove("ünïcode"));
    assert_eq!(registry.names(), ["glass"]);
    add(&registry, &script, "paper", "new").unwrap();
    drop(guard);
    assert_eq!(who(&registry, "paper").await.as_deref(), Some("new"));
    assert!(!registry.has("sheet"));
}

#[tokio::test]
async fn a_factory_may_use_the_registry_while_it_runs() {
    let (registry, script) = registry_of(&["paper"]);
    let (inner, inner_script) = (registry.clone(), script.clone());
    let make = move |_: Nothing, context: BuildContext| {
        let (inner, script) = (inner.clone(), inner_script.clone());
        // Both the closure and its future run without any lock held.
        add(&inner, &script, "added", "added").unwrap();
        async move {
            assert!(inner.remove("added"));
            let _guard = replace(&inner, &script, "glass", "fake")?;
            inner.resolve("paper", &Settings::new(), context).await?.close().await?;
            Ok::<Driver, Error>(script.driver("nested"))
        }
    };
    registry.register("nested", make).unwrap();
    assert_eq!(who(&registry, "nested").await.as_deref(), Some("nested"));
    assert_eq!(registry.names(), ["nested", "paper"]);
}

#[derive(Debug)]
struct OfTheService(u32);

impl std::fmt::Display for OfTheService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "code {}", self.0)
    }
}

impl std::error::Error for OfTheService {}

#[tokio::test]
async fn an_error_of_a_factory_keeps_its_identity() {
    let world = World::new();
    world.desks.configure("a", &labelled("broken", "a")).unwrap_err();
    let make = |_: Nothing, _| async {
        Err::<Driver, _>(Error::new(ErrorKind::QuotaExceeded, "full").with_source(OfTheService(7)))
    };
    let registry = world.desks.registry();
    registry.register("broken", make).unwrap();
    let resolved = registry.resolve("broken", &Settings::new(), context()).await.map(drop);
    let error = resolved.unwrap_err();
    assert_eq!(error.message(), "full");
    assert_eq!(error.find::<OfTheService>().map(|found| found.0), Some(7));

    world.desks.configure("a", &Settings::new().with("driver", "broken")).unwrap();
    let error = world.desks.get("a").await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    assert_eq!(error.find::<OfTheService>().map(|found| found.0), Some(7));
    assert_eq!(error.place().unwrap().to_string(), "desk.a (broken) build");
}

#[tokio::test]
async fn settings_that_do_not_fit_are_an_error_before_anything_is_built() {
    let (registry, script) = (Registry::<Desks>::empty(), Script::new());
    script.register(&registry, "paper").unwrap();
    let wrong = Settings::new().with("lable", "x").with("needs", 7);
    let error = registry.resolve("paper", &wrong, context()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(script.count(Step::Build), 0);
}

#[test]
fn two_registries_share_nothing_and_clones_of_one_share_all() {
    let one = Registry::<Desks>::with_built_ins().unwrap();
    let other = Registry::<Desks>::empty();
    assert_eq!(one.names(), ["paper"]);
    assert!(other.names().is_empty());
    assert!(one.clone().remove("paper"));
    assert!(one.names().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_tasks_resolve_while_another_overrides_and_none_sees_a_torn_state() {
    let (registry, script) = registry_of(&[]);
    add(&registry, &script, Descriptor::new("paper").alias("sheet"), "paper").unwrap();
    let start = Arc::new(tokio::sync::Barrier::new(1001));
    let tasks: Vec<_> = (0..1000)
        .map(|number| {
            let (registry, start) = (registry.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                let name = if number % 2 == 0 { "paper" } else { "Sheet" };
                let who = who(&registry, name).await;
                assert!(matches!(who.as_deref(), Some("paper" | "fake")), "{who:?}");
                let (entry, names) = (registry.get(name).unwrap(), registry.names());
                assert_eq!(entry.describe().name, "paper");
                assert_eq!(names, ["paper"]);
            })
        })
        .collect();
    start.wait().await;
    for _ in 0..500 {
        let _outer = replace(&registry, &script, "paper", "fake").unwrap();
        let _inner = replace(&registry, &script, "sheet", "fake").unwrap();
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    script.assert_tidy(0);
}
