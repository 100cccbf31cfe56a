//! The rules every driver of a database keeps, as tests: what an application may rely on, proved.
//!
//! A driver file ends with one line, [`suite!`], which makes one test of each rule; one that reaches
//! its server over a network adds [`wire_suite!`]. The rules go through the handle that applications
//! have, so they prove pools, sessions and transactions on that driver along with it. They are functions
//! that answer, so that other tests can ask whether a rule notices a bug ([`check`]).
//!
//! `subject` is what a rule works on. The rules are beside it, by what they are about.
//!
//! Needs the feature `conformance`, in the tests of driver crates only.

mod conflicts;
mod dropping;
mod pools;
mod reading;
mod sandboxes;
mod sessions;
mod statements;
mod subject;
mod transactions;
mod upserts;
mod values;
mod violations;
mod wires;
mod words;

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use switchboard_core::{Error, Registry, Result, Settings};

use crate::Databases;
pub use subject::Subject;
pub use words::{Residue, Words};

/// Makes one test of each of the [`RULES`] that need no network, for the driver of a [`Fixture`].
///
/// It is the last line of a driver's file, beside the function that registers the driver:
///
/// ```
/// use switchboard_core::{Registry, Result, Settings};
/// use switchboard_database::Databases;
/// use switchboard_database::conformance::{Fixture, suite};
///
/// fn register(registry: &Registry<Databases>) -> Result<()> {
///     // …
/// #   Ok(())
/// }
///
/// suite!(Fixture::new(register).settings(|_unique| Settings::new().with("url", "…")));
/// ```
///
/// The tests are called `keeps_the_rules::`, what they are about, and the name of the rule.
#[doc(inline)]
pub use crate::__database_suite as suite;
/// Makes one test of each of the [`RULES`] that break the network, for a [`Fixture`] that says
/// [where its server is](Fixture::server).
#[doc(inline)]
pub use crate::__database_wire_suite as wire_suite;

/// What a rule says: nothing, or what was wrong.
pub type Verdict = std::result::Result<(), Failure>;

/// What a driver did against a rule, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub(crate) String);

/// One rule.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Rule {
    /// Its name, a sentence.
    pub name: &'static str,
    run: for<'s> fn(&'s Subject) -> LocalBoxFuture<'s, Verdict>,
}

/// How to make databases of the driver under test.
///
/// ```no_run
/// use switchboard_core::{Registry, Result, Settings};
/// use switchboard_database::Databases;
/// use switchboard_database::conformance::{Fixture, Words};
///
/// fn register(registry: &Registry<Databases>) -> Result<()> {
///     // …
/// # Ok(())
/// }
///
/// let fixture = Fixture::new(register)
///     .settings(|_unique| Settings::new().with("url", "mine://127.0.0.1/test"))
///     .server("127.0.0.1:7000".parse().unwrap(), |settings, address| {
///         settings.with("url", format!("mine://{address}/test"))
///     })
///     .words(Words { bytes: "blob", ..Words::default() });
/// # let _ = fixture;
/// ```
#[derive(Clone)]
pub struct Fixture {
    register: Register,
    settings: Arc<dyn Fn(&str) -> Settings + Send + Sync>,
    is_private: bool,
    server: Option<Server>,
    words: Words,
}

type Register = fn(&Registry<Databases>) -> Result<()>;

/// A server that a wire can be put before.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    through: fn(Settings, SocketAddr) -> Settings,
}

impl Fixture {
    /// The driver that `register` adds to a registry, as the only one, with default settings.
    pub fn new(register: Register) -> Self {
        Self {
            register,
            settings: Arc::new(|_| Settings::new()),
            is_private: false,
            server: None,
            words: Words::default(),
        }
    }

    /// Settings for the instances of one rule. They are given a text that no other rule is given, also
    /// not by another process; a file is called after it. Several instances of these settings are the
    /// same database, unless it is [private](Self::private).
    #[must_use]
    pub fn settings(mut self, settings: impl Fn(&str) -> Settings + Send + Sync + 'static) -> Self {
        self.settings = Arc::new(settings);
        self
    }

    /// Each instance is a database of its own, as one in memory is.
    #[must_use]
    pub fn private(mut self) -> Self {
        self.is_private = true;
        self
    }

    /// Where the server is, and how settings say that it is elsewhere, with nothing encrypted on the
    /// way there.
    #[must_use]
    pub fn server(
        mut self,
        address: SocketAddr,
        through: fn(Settings, SocketAddr) -> Settings,
    ) -> Self {
        self.server = Some(Server { address, through });
        self
    }

    /// How the database writes what rules need, and what it can tell.
    #[must_use]
    pub fn words(mut self, words: Words) -> Self {
        self.words = words;
        self
    }
}

/// Where the server is that a URL names, for [`Fixture::server`].
///
/// # Panics
///
/// If it names none that is known here.
#[track_caller]
#[expect(clippy::panic, reason = "a test fails by a panic")]
pub fn address_in(url: &str, port: u16) -> SocketAddr {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next());
    let place = authority.and_then(|authority| authority.rsplit('@').next()).unwrap_or_default();
    let found = match place.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or_default()).to_socket_addrs(),
        None => (place, port).to_socket_addrs(),
    };
    match found.ok().and_then(|mut addresses| addresses.next()) {
        Some(address) => address,
        None => panic!("there is no server in the address of the service"),
    }
}

/// Whether the driver keeps the rule of that name.
///
/// A rule that panics or takes longer than five minutes has failed; so has one that does not exist.
pub fn check(fixture: &Fixture, rule: &str) -> Verdict {
    let Some(rule) = RULES.iter().find(|known| known.name == rule) else {
        return Err(Failure(format!("there is no rule {rule:?}")));
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure(error.to_string()))?;
    runtime.block_on(async {
        let subject = Subject::new(fixture).await?;
        let run = AssertUnwindSafe((rule.run)(&subject)).catch_unwind();
        let verdict = match tokio::time::timeout(RULE_LIMIT, run).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(panic)) => Err(Failure(format!("it panicked: {}", subject::words_of(&*panic)))),
            Err(_) => Err(Failure(format!("it took longer than {RULE_LIMIT:?}"))),
        };
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
    if let Err(failure) = check(fixture, rule) {
        panic!("{rule}: {failure}");
    }
}

/// Lists the rules that need no network, once: for [`RULES`] and for the tests that [`suite!`] makes.
#[doc(hidden)]
#[macro_export]
macro_rules! __database_rules {
    ($callback:path $(, $argument:tt)*) => {
        $callback! { ($( $argument )*)
            values {
                every_kind_of_value_comes_back_as_it_was_put
                nothing_comes_back_from_a_column_of_every_kind
                the_limits_of_numbers_times_texts_and_bytes_are_kept
                what_a_column_cannot_hold_is_refused
                arrays_come_back_where_there_are_some_and_are_refused_elsewhere
                a_row_is_read_as_a_tuple_a_struct_and_one_value
                a_mismatch_names_the_column_and_both_kinds
            }
            statements {
                parameters_are_given_in_every_style
                what_looks_like_a_parameter_in_texts_and_comments_stays
                missing_and_unused_parameters_are_errors_and_nothing_is_done
                a_list_of_any_length_is_looked_for
                a_statement_counts_the_rows_it_changed
                the_last_id_is_told_where_the_server_tells_it
                many_sets_are_executed_all_or_none
                a_script_stops_at_the_first_statement_that_fails
                a_script_is_divided_where_its_statements_end
                a_stack_that_stops_leaves_nothing_of_what_it_did
                a_stack_that_continues_answers_for_each_statement
                a_stack_in_a_transaction_leaves_the_transaction_usable
                many_rows_are_inserted_all_or_none
                what_is_all_or_none_is_so_inside_of_a_transaction
                what_is_all_or_none_is_so_on_a_connection_of_ones_own
                rows_inserted_in_bulk_are_what_was_given
                two_statements_in_one_call_are_refused
                what_ends_a_transaction_is_not_taken_as_a_statement
            }
            upserts {
                rows_that_are_there_are_updated_and_others_inserted
                only_the_columns_that_are_named_are_updated
                rows_that_are_kept_stay_as_they_are
                the_last_of_several_rows_with_one_key_counts
                more_rows_than_a_statement_takes_are_put_all_or_none
                an_upsert_is_all_or_none_inside_of_a_transaction
                columns_that_make_no_sense_are_refused_before_anything_is_asked
                what_is_told_of_many_rows_goes_up_to_all_of_them
            }
            reading {
                one_row_is_told_from_none_and_from_many
                one_value_is_told_from_none_and_from_several_columns
                one_value_is_read_by_what_takes_anything
                rows_as_csv_are_the_same_from_every_database
                csv_that_is_left_gives_its_connection_back
                a_stream_brings_all_rows_in_order
                a_stream_without_end_is_read_a_few_rows_at_a_time
                a_stream_gives_its_connection_back_after_the_last_row
                a_stream_that_is_left_leaves_its_transaction_as_it_was
                an_error_in_a_stream_ends_it
                columns_are_known_where_there_are_no_rows
                a_table_that_changes_under_a_statement_is_read_as_it_is_now
            }
            violations {
                a_unique_violation_is_told_with_its_constraint
                a_violation_of_a_reference_is_told_with_its_constraint
                a_violation_of_a_check_is_told_with_its_constraint
                a_missing_value_is_told_with_its_column
                a_violation_at_the_commit_is_told_and_nothing_lasts
                a_statement_the_server_does_not_understand_is_invalid_and_harmless
                no_error_shows_the_value_of_a_parameter
            }
            transactions {
                what_ends_well_lasts
                what_fails_panics_or_is_dropped_is_taken_back
                a_transaction_of_ones_own_is_ended_by_hand_or_taken_back
                a_lazy_transaction_takes_no_connection_before_its_first_statement
                savepoints_five_deep_keep_what_is_outside_of_the_one_rolled_back
                a_savepoint_that_panics_or_is_dropped_is_taken_back
                hooks_run_once_in_their_order
                a_failing_hook_before_the_commit_takes_all_back
                a_hook_after_the_commit_runs_outside_of_the_connection
                a_panic_after_the_commit_undoes_nothing
                hooks_of_a_savepoint_rolled_back_do_not_run
                whoever_uses_what_has_ended_gets_an_error
                the_outer_one_is_refused_while_a_savepoint_is_in_use
                several_tasks_use_one_transaction
                a_statement_that_fails_leaves_no_half_of_its_transaction
                a_transaction_that_repeats_reads_sees_one_state
                a_transaction_that_only_reads_refuses_to_write
                a_transaction_that_takes_too_long_is_taken_back
                a_statement_that_takes_too_long_is_ended
            }
            conflicts {
                workers_on_one_counter_all_succeed_and_none_is_lost
                two_that_wait_for_each_other_both_succeed
                a_violation_is_not_tried_again
                what_is_tried_again_has_its_hooks_once
            }
            sessions {
                what_is_left_on_a_connection_is_gone_for_the_next
                what_a_statement_of_the_handle_leaves_is_gone_for_the_next
                a_connection_of_ones_own_keeps_what_is_left_on_it
                a_read_only_database_refuses_to_write_in_every_form
            }
            pools {
                who_wants_a_second_connection_of_one_is_told_so
                an_exhausted_pool_names_who_holds_it
                many_callers_share_few_connections
                closing_waits_for_who_has_a_connection
                a_swap_lets_open_transactions_end
                a_database_at_work_is_healthy
            }
            sandboxes {
                nothing_of_a_sandbox_lasts
                a_sandbox_lets_transactions_hooks_and_violations_be
                tasks_in_a_sandbox_take_turns
                a_transaction_in_a_sandbox_keeps_other_tasks_out
                a_statement_of_the_same_task_joins_its_transaction_in_a_sandbox
                a_transaction_inside_of_another_in_a_sandbox_ends_for_itself
                what_runs_side_by_side_in_a_sandbox_is_kept_apart
                who_waits_for_a_sandbox_is_told_who_is_in_it
                what_commits_is_refused_in_a_sandbox
                what_only_reads_refuses_to_write_in_a_sandbox
            }
            dropping {
                a_dropped_connect_leaves_the_pool_whole
                a_dropped_acquire_leaves_the_pool_whole
                a_dropped_begin_leaves_the_pool_whole
                a_dropped_execute_is_done_or_not
                a_dropped_query_leaves_the_pool_whole
                a_dropped_stream_leaves_the_pool_whole
                dropped_csv_leaves_the_pool_whole
                a_dropped_commit_is_done_or_not
                a_dropped_rollback_is_done
                a_dropped_savepoint_is_taken_back_with_its_transaction
                a_dropped_bulk_insert_is_done_or_not
                a_dropped_upsert_is_done_or_not
                a_dropped_batch_is_done_or_not
                a_dropped_call_leaves_its_sandbox_whole
                a_dropped_batch_leaves_its_transaction_without_a_part_of_it
                a_dropped_batch_leaves_its_connection_without_a_part_of_it
                a_storm_of_drops_leaves_the_pool_whole
            }
        }
    };
}

/// Lists the rules that break the network.
#[doc(hidden)]
#[macro_export]
macro_rules! __database_wire_rules {
    ($callback:path $(, $argument:tt)*) => {
        $callback! { ($( $argument )*)
            wires {
                an_answer_that_is_lost_leaves_the_outcome_open
                a_transaction_whose_connection_is_cut_leaves_nothing
                a_commit_whose_answer_is_lost_is_in_doubt_and_not_run_again
                a_commit_that_never_arrives_leaves_nothing
                a_stream_that_is_cut_ends_with_an_error
                idle_connections_that_were_cut_are_not_noticed_by_callers
                a_network_that_swallows_everything_is_given_up_in_time
                a_server_that_refuses_is_asked_by_few_at_a_time_and_the_error_says_why
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __database_suite {
    ($fixture:expr) => {
        #[cfg(test)]
        mod keeps_the_rules {
            use super::*;

            fn fixture_of_the_suite() -> $crate::conformance::Fixture {
                $fixture
            }

            $crate::__database_rules! { $crate::__database_tests }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __database_wire_suite {
    ($fixture:expr) => {
        #[cfg(test)]
        mod keeps_the_rules_of_networks {
            use super::*;

            fn fixture_of_the_suite() -> $crate::conformance::Fixture {
                $fixture
            }

            $crate::__database_wire_rules! { $crate::__database_tests }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __database_tests {
    (() $( $group:ident { $( $rule:ident )+ } )+) => {
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
    (($name:ident) $( $group:ident { $( $rule:ident )+ } )+) => {
        const $name: &[Rule] = &[
            $( $(
                Rule { name: stringify!($rule), run: |on| Box::pin($group::$rule(on)) },
            )+ )+
        ];
    };
}

crate::__database_rules! { rules, OF_ALL }
crate::__database_wire_rules! { rules, OF_NETWORKS }

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
        f.debug_struct("Fixture")
            .field("is_private", &self.is_private)
            .field("words", &self.words)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.name).finish()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(format!("a call failed: {error:?}"))
    }
}

const THREADS: usize = 2;
const RULE_LIMIT: Duration = Duration::from_mins(5);
