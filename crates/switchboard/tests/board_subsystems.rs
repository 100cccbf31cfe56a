//! Which subsystems a board can have, and what those are told who add them.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod lamps;

use lamps::{Bulbs, LampDriver, Lamps};
use switchboard::{Builder, Switchboard};
use switchboard_core::{Error, ErrorKind, Line, Op, Registry, Result, Subsystem};

/// A subsystem of lamps that is called otherwise.
macro_rules! subsystem {
    ($Type:ident, $name:literal) => {
        struct $Type;

        impl Subsystem for $Type {
            const NAME: &'static str = $name;
            const OPERATIONS: &'static [Op] = lamps::op::ALL;
            type Driver = dyn LampDriver;
            type Handle = Line<Self>;

            fn register_built_ins(_: &Registry<Self>) -> Result<()> {
                Ok(())
            }
        }
    };
}

subsystem!(Twin, "lamp");
subsystem!(Policies, "policy");
subsystem!(Features, "feature");
subsystem!(Healths, "health");
subsystem!(Boards, "board");
subsystem!(Loud, "Lantern");
subsystem!(Odd, "street lamp");

/// The one thing that is wrong with a board.
#[track_caller]
fn refusal(builder: &Builder) -> Error {
    let error = builder.check().unwrap_err();
    let [refusal] = error.related() else { panic!("one mistake: {error:?}") };
    refusal.clone()
}

fn context<'e>(error: &'e Error, key: &str) -> &'e str {
    error.context_value(key).unwrap_or_default()
}

#[track_caller]
fn names_two_lines_of_this_file(error: &Error) {
    for key in ["first", "second"] {
        assert!(context(error, key).contains("board_subsystems.rs:"), "{key} in {error:?}");
    }
    assert_ne!(context(error, "first"), context(error, "second"));
}

#[test]
fn two_subsystems_of_one_name_are_refused_with_the_places_of_both() {
    let one = Switchboard::builder().subsystem::<Lamps>();
    let one = one.subsystem::<Twin>();
    let other = Switchboard::builder().subsystem::<Lamps>();
    let other = other.registry(Registry::<Twin>::empty());
    for builder in [one, other] {
        let error = refusal(&builder);
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
        assert_eq!(context(&error, "subsystem"), "lamp");
        names_two_lines_of_this_file(&error);
    }
}

#[test]
fn a_subsystem_that_is_added_again_does_not_lose_its_drivers_in_silence() {
    let bulbs = Bulbs::default();
    let board = bulbs.board("lamp.door = { driver = 'bulb', colour = 'red' }");
    board.check().unwrap();
    let error = refusal(&board.subsystem::<Lamps>());
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");

    let builder = Switchboard::builder();
    let builder = builder.registry(Registry::<Lamps>::empty());
    let builder = builder.registry(Registry::<Lamps>::empty());
    names_two_lines_of_this_file(&refusal(&builder));

    let error = refusal(&Switchboard::builder().subsystem::<switchboard::cache::Caches>());
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
}

#[test]
fn a_registry_takes_the_place_of_built_in_drivers_and_of_no_others() {
    let caches = Registry::<switchboard::cache::Caches>::empty();
    let builder = Switchboard::builder().registry(caches);
    assert!(builder.check().is_err(), "the embedded defaults need the driver called memory");
    let builder = Switchboard::builder().subsystem::<Lamps>().registry(Registry::<Lamps>::empty());
    builder.check().unwrap();

    let builder = Switchboard::builder().subsystem::<Lamps>();
    let builder = builder.drivers::<Lamps>(|_| Ok(()));
    let builder = builder.registry(Registry::<Lamps>::empty());
    names_two_lines_of_this_file(&refusal(&builder));
}

#[test]
fn a_subsystem_has_a_valid_name_that_is_no_section_of_the_board() {
    let refused = [
        (Switchboard::builder().subsystem::<Policies>(), "policy"),
        (Switchboard::builder().subsystem::<Features>(), "feature"),
        (Switchboard::builder().registry(Registry::<Healths>::empty()), "health"),
        (Switchboard::builder().subsystem::<Boards>(), "board"),
        (Switchboard::builder().subsystem::<Loud>(), "Lantern"),
        (Switchboard::builder().registry(Registry::<Odd>::empty()), "street lamp"),
    ];
    for (builder, name) in refused {
        let error = refusal(&builder);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
        assert_eq!(context(&error, "subsystem"), name);
        assert!(context(&error, "place").contains("board_subsystems.rs:"), "{error:?}");
    }
}

#[test]
fn drivers_of_a_subsystem_that_is_not_there_are_refused_where_they_are_added() {
    let error = refusal(&Switchboard::builder().drivers::<Lamps>(|_| Ok(())));
    assert_eq!(error.kind(), ErrorKind::NotRegistered);
    assert!(context(&error, "place").contains("board_subsystems.rs:"), "{error:?}");
    // The one that comes later gets no drivers that were meant for nobody.
    let late = Switchboard::builder().drivers::<Lamps>(|_| Ok(())).subsystem::<Lamps>();
    assert_eq!(refusal(&late).kind(), ErrorKind::NotRegistered);
}
