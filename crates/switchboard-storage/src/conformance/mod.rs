//! The rules every driver of storage keeps, as tests: what an application may rely on, proved.
//!
//! A driver file ends with one line, [`suite!`], which makes one test of each rule; one that reaches its
//! service over a network adds [`wire_suite!`]. The rules go through the handle that applications have, so they
//! prove what every disk does around its driver along with it. They are functions that answer, so that other
//! tests can ask whether a rule notices a bug ([`check`]).
//!
//! A driver that does not declare what a group of rules needs has nothing to prove there, and is held to that:
//! it must answer `Unsupported` and change nothing.
//!
//! `subject` is what a rule works on. The rules are beside it, by what they are about.
//!
//! Needs the feature `conformance`, in the tests of driver crates only.

mod closing;
mod conditions;
mod content;
mod copies;
mod corruption;
mod deletes;
mod drops;
mod keys;
mod lists;
mod parts;
mod reading;
mod subject;
mod undeclared;
mod wires;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use switchboard_core::{ErrorKind, Registry, Result, Settings};
use switchboard_testkit::rules::judged;
pub use switchboard_testkit::rules::{Failure, Verdict};

use crate::{Disks, capability};
pub use subject::Subject;
#[cfg(test)]
pub(crate) use subject::UNTIDY;

/// Makes one test of each of the [`RULES`], for the driver of a [`Fixture`].
///
/// It is the last line of a driver's file, beside the function that registers the driver:
///
/// ```
/// use switchboard_core::{Registry, Result, Settings};
/// use switchboard_storage::Disks;
/// use switchboard_storage::conformance::{Fixture, suite};
///
/// fn register(registry: &Registry<Disks>) -> Result<()> {
///     // …
/// #   Ok(())
/// }
///
/// suite!(Fixture::new(register).settings(|unique| Settings::new().with("folder", unique)));
/// ```
///
/// The tests are called `keeps_the_rules::`, what they are about, and the name of the rule.
#[doc(inline)]
pub use crate::__storage_suite as suite;
/// Makes one test of each of the [`RULES`] that break the network, for a [`Fixture`] that says
/// [where its server is](Fixture::server).
#[doc(inline)]
pub use crate::__storage_wire_suite as wire_suite;

/// One rule.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Rule {
    /// Its name, a sentence.
    pub name: &'static str,
    /// What a driver must declare to have something to prove.
    pub needs: &'static [&'static str],
    run: for<'s> fn(&'s Subject) -> LocalBoxFuture<'s, Verdict>,
}

/// A rule that cannot be kept with the server of the tests.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// Its name.
    pub rule: &'static str,
    /// The kind of error with which a call fails in it; `None` where the calls succeed, and what they answer is not
    /// what the rule asks for.
    pub kind: Option<ErrorKind>,
    /// Why.
    pub why: &'static str,
}

/// How to make disks of the driver under test.
///
/// ```no_run
/// use switchboard_core::{Registry, Result, Settings};
/// use switchboard_storage::Disks;
/// use switchboard_storage::conformance::Fixture;
///
/// fn register(registry: &Registry<Disks>) -> Result<()> {
///     // …
/// # Ok(())
/// }
///
/// let fixture = Fixture::new(register)
///     .settings(|unique| Settings::new().with("url", "mine://127.0.0.1:7000").with("prefix", unique))
///     .server("127.0.0.1:7000".parse().unwrap(), |settings, address| {
///         settings.with("url", format!("mine://{address}"))
///     });
/// # let _ = fixture;
/// ```
#[derive(Clone)]
pub struct Fixture {
    register: fn(&Registry<Disks>) -> Result<()>,
    settings: Arc<dyn Fn(&str) -> Settings + Send + Sync>,
    server: Option<Server>,
    stock: Option<Stock>,
    damage: Option<Damage>,
    excepted: &'static [Exception],
    over: Option<Over>,
}

/// The disk beneath that of the driver under test.
#[derive(Clone, Copy)]
struct Over {
    name: &'static str,
    register: fn(&Registry<Disks>) -> Result<()>,
}

type Stock = Arc<dyn Fn(Settings, String, Bytes) -> BoxFuture<'static, Result<()>> + Send + Sync>;
type Damage = Arc<dyn Fn(&Settings, &str) + Send + Sync>;

/// A server that a wire can be put before.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    through: fn(Settings, SocketAddr) -> Settings,
}

impl Fixture {
    /// The driver that `register` adds to a registry, as the only one, with default settings.
    pub fn new(register: fn(&Registry<Disks>) -> Result<()>) -> Self {
        let settings = Arc::new(|_: &str| Settings::new());
        Self {
            register,
            settings,
            server: None,
            stock: None,
            damage: None,
            excepted: &[],
            over: None,
        }
    }

    /// Settings for the disk of one rule. They are given a text that no other rule is given, also not by
    /// another process; what keeps disks apart (a folder, a bucket, a prefix) is called after it. Several
    /// instances of these settings are the same disk, unless the driver keeps its objects in itself.
    #[must_use]
    pub fn settings(mut self, settings: impl Fn(&str) -> Settings + Send + Sync + 'static) -> Self {
        self.settings = Arc::new(settings);
        self
    }

    /// Where the server is, and how settings say that it is elsewhere, with nothing encrypted on the way
    /// there.
    #[must_use]
    pub fn server(
        mut self,
        address: SocketAddr,
        through: fn(Settings, SocketAddr) -> Settings,
    ) -> Self {
        self.server = Some(Server { address, through });
        self
    }

    /// What the driver under test stands on: the disk `name`, of the driver that `register` adds, with default
    /// settings. Where the one above only reads, objects come from there.
    #[must_use]
    pub fn over(
        mut self,
        name: &'static str,
        register: fn(&Registry<Disks>) -> Result<()>,
    ) -> Self {
        self.over = Some(Over { name, register });
        self
    }

    /// How an object comes under a key of the disk with these settings, where the driver only reads.
    #[must_use]
    pub fn stocked(
        mut self,
        stock: impl Fn(Settings, String, Bytes) -> BoxFuture<'static, Result<()>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.stock = Some(Arc::new(stock));
        self
    }

    /// How a byte is changed of the object under a key of the disk with these settings, so that the driver
    /// does not notice.
    #[must_use]
    pub fn damaged(mut self, damage: impl Fn(&Settings, &str) + Send + Sync + 'static) -> Self {
        self.damage = Some(Arc::new(damage));
        self
    }

    /// Rules that cannot be kept with the server of the tests. One that is kept all the same is a failure, and so is
    /// one that fails in another way: then it is no exception any more.
    #[must_use]
    pub fn except(mut self, excepted: &'static [Exception]) -> Self {
        self.excepted = excepted;
        self
    }
}

/// Whether the driver keeps the rule of that name.
///
/// A rule that panics or takes longer than five minutes has failed; so has one that does not exist. One that
/// [needs](Rule::needs) what the driver does not declare is kept.
pub fn check(fixture: &Fixture, rule: &str) -> Verdict {
    let Some(rule) = RULES.iter().find(|known| known.name == rule) else {
        return Err(Failure::new(format!("there is no rule {rule:?}")));
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(error.to_string()))?;
    runtime.block_on(async {
        let subject = Subject::new(fixture).await?;
        if !rule.needs.iter().all(|needed| subject.can(needed)) {
            return subject.tidy().await;
        }
        let verdict = judged(RULE_LIMIT, (rule.run)(&subject)).await;
        let tidied = subject.tidy().await;
        verdict.and(tidied)
    })
}

/// Like [`check`], for a test: a rule that is not kept is a panic that says why.
///
/// # Panics
///
/// If the driver does not keep the rule.
#[track_caller]
#[expect(clippy::panic, reason = "a test fails by a panic")]
pub fn prove(fixture: &Fixture, rule: &str) {
    let excepted = fixture.excepted.iter().find(|excepted| excepted.rule == rule);
    match (check(fixture, rule), excepted) {
        (Ok(()), None) => {}
        (Err(failure), Some(excepted)) if failure.kind() == excepted.kind => {}
        (Err(failure), _) => panic!("{rule}: {failure}"),
        (Ok(()), Some(Exception { why, .. })) => {
            panic!("{rule} is kept, and no exception any more: {why}")
        }
    }
}

/// Lists the rules that need no network, once: for [`RULES`] and for the tests that [`suite!`] makes. After
/// the name of a group is what a driver must declare to have something to prove in it.
#[doc(hidden)]
#[macro_export]
macro_rules! __storage_rules {
    ($callback:path $(, $argument:tt)*) => {
        $callback! { ($( $argument )*)
            content [WRITE] {
                bytes_come_back_as_they_were_put
                large_objects_come_back_to_the_last_byte
                what_is_said_of_an_object_comes_back
                put_replaces_the_bytes_and_what_is_said_of_them
                an_object_was_stored_when_it_was_stored
                a_body_that_comes_in_pieces_is_stored_whole
                a_body_of_another_length_than_was_said_stores_nothing
                a_body_that_fails_half_way_stores_nothing
                bytes_that_do_not_add_up_store_nothing
            }
            keys [WRITE LIST] {
                a_key_comes_back_as_it_was_written
                keys_that_look_alike_are_told_apart
                the_longest_keys_are_kept_or_refused
                what_is_no_key_is_refused_by_every_method
                what_looks_like_a_way_out_is_only_a_key
                nothing_outside_of_a_prefix_can_be_reached
                nothing_outside_of_a_scope_can_be_reached
                a_key_beside_those_beneath_it_is_kept_or_refused
            }
            reading [] {
                nothing_is_found_where_nothing_is
                a_range_is_the_bytes_that_it_names
                a_range_without_bytes_is_refused
                what_is_unchanged_is_not_sent_again
                a_version_that_is_asked_for_is_read_or_refused
                an_object_that_is_replaced_while_it_is_read_is_never_a_mix
                many_readers_at_once_read_the_same
            }
            conditions [WRITE] {
                an_object_is_created_only_where_nothing_is
                of_many_creators_one_is_the_first
                an_object_is_replaced_only_as_the_version_that_was_named
                a_counter_that_many_tasks_replace_loses_nothing
                an_object_is_deleted_only_as_the_version_that_was_named
                a_write_whose_answer_was_lost_is_known_again
                a_write_that_was_lost_is_refused_if_somebody_else_was_there
                a_write_that_somebody_replaced_before_it_was_known_again_is_refused
            }
            lists [LIST] {
                keys_are_in_the_order_of_their_bytes
                rare_letters_are_in_the_order_of_their_bytes
                a_prefix_is_a_text_and_not_a_directory
                a_flat_list_tells_what_is_common_up_to_a_slash
                a_flat_list_tells_every_prefix_once
                a_list_begins_after_the_key_that_was_named
                pages_are_as_long_as_was_said_and_miss_nothing
                an_entry_says_what_a_look_at_the_object_says
                what_changes_between_pages_changes_nothing_else
                a_list_of_nothing_is_empty
                a_long_list_is_complete
            }
            deletes [WRITE] {
                what_is_deleted_is_gone
                a_deletion_of_nothing_is_fine
                many_are_deleted_and_each_has_its_answer
                more_are_deleted_than_go_into_one_request
                what_begins_alike_is_deleted_and_nothing_else
                a_dry_run_tells_what_would_go_and_leaves_it
            }
            copies [WRITE] {
                a_copy_has_the_bytes_and_all_that_is_said_of_them
                a_copy_onto_itself_changes_nothing
                a_copy_of_nothing_is_refused_and_changes_nothing
                a_copy_may_ask_for_nothing_to_be_there
                a_copy_may_ask_for_a_version
                what_is_renamed_is_only_under_its_new_key
                a_renaming_of_nothing_changes_nothing
                a_renaming_may_ask_for_nothing_to_be_there
            }
            parts [WRITE PARTS] {
                parts_make_one_object_whatever_the_order_they_came_in
                the_last_part_of_a_number_counts
                what_is_on_its_way_cannot_be_seen
                what_is_given_up_leaves_nothing
                parts_are_made_an_object_only_where_the_condition_holds
                what_one_process_began_another_completes
                what_nobody_goes_on_with_is_swept
            }
            drops [WRITE LIST] {
                a_dropped_put_is_done_or_not
                a_dropped_put_of_pieces_is_done_or_not
                a_dropped_read_leaves_the_object_as_it_was
                a_dropped_list_leaves_the_disk_usable
                a_dropped_deletion_is_done_or_not
                a_dropped_copy_is_done_or_not
                a_storm_of_drops_leaves_only_whole_objects
            }
            corruption [WRITE CHECKSUM] {
                bytes_that_are_not_those_that_were_stored_are_corrupt
                bytes_that_are_changed_behind_the_driver_are_corrupt
            }
            undeclared [] {
                what_is_not_declared_is_unsupported_and_changes_nothing
            }
            closing [] {
                a_disk_at_work_is_healthy
                after_the_close_nothing_hangs
            }
        }
    };
}

/// Lists the rules that break the network.
#[doc(hidden)]
#[macro_export]
macro_rules! __storage_wire_rules {
    ($callback:path $(, $argument:tt)*) => {
        $callback! { ($( $argument )*)
            wires [] {
                a_body_that_is_cut_is_taken_up_again_or_an_outage
                a_body_that_is_cut_again_and_again_is_never_taken_for_whole
                an_object_that_is_replaced_while_reading_is_cut_is_no_mix
                connections_that_were_cut_while_idle_do_no_harm
                a_put_whose_answer_is_lost_is_stored_or_in_doubt
                a_put_that_is_cut_half_way_leaves_the_old_or_the_new
                a_creation_whose_answer_is_lost_is_known_again
                a_large_creation_whose_answers_are_cut_is_whole_or_not_there
                a_network_that_swallows_everything_is_given_up_in_time
                a_server_that_refuses_is_unavailable
                a_slow_network_changes_nothing
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __storage_suite {
    ($fixture:expr) => {
        #[cfg(test)]
        mod keeps_the_rules {
            use super::*;

            fn fixture_of_the_suite() -> $crate::conformance::Fixture {
                $fixture
            }

            $crate::__storage_rules! { $crate::__storage_tests }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __storage_wire_suite {
    ($fixture:expr) => {
        #[cfg(test)]
        mod keeps_the_rules_of_networks {
            use super::*;

            fn fixture_of_the_suite() -> $crate::conformance::Fixture {
                $fixture
            }

            $crate::__storage_wire_rules! { $crate::__storage_tests }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __storage_tests {
    (() $( $group:ident [$( $need:ident )*] { $( $rule:ident )+ } )+) => {
        $(
            mod $group {
                $(
                    #[test]
                    fn $rule() {
                        $crate::conformance::prove(&super::fixture_of_the_suite(), stringify!($rule));
                    }
                )+
            }
        )+
    };
}

macro_rules! rules {
    (($name:ident) $( $group:ident $needs:tt { $( $rule:ident )+ } )+) => {
        pub(crate) const $name: &[Rule] = &[
            $( $(
                Rule {
                    name: stringify!($rule),
                    needs: needs!($needs),
                    run: |on| Box::pin($group::$rule(on)),
                },
            )+ )+
        ];
    };
}

macro_rules! needs {
    ([$( $need:ident )*]) => { &[$( capability::$need ),*] };
}

crate::__storage_rules! { rules, OF_ALL }
crate::__storage_wire_rules! { rules, OF_NETWORKS }

/// Every rule, in the order in which [`suite!`] and [`wire_suite!`] make tests of them.
pub const RULES: &[Rule] = &{
    let mut rules = [OF_ALL[0]; OF_ALL.len() + OF_NETWORKS.len()];
    let mut index = 0;
    while index < rules.len() {
        rules[index] =
            if index < OF_ALL.len() { OF_ALL[index] } else { OF_NETWORKS[index - OF_ALL.len()] };
        index += 1;
    }
    rules
};

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.name).finish()
    }
}

const THREADS: usize = 2;
const RULE_LIMIT: Duration = Duration::from_mins(5);
