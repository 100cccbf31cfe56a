//! Ejection against a plain model of it, and what the selector makes of it.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::ledger::{Ejection, Host, Ledger, Rules};
use super::*;
use crate::{Clock, ErrorKind, HealthCheck, LeastLoaded, Priority};

const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Ejected(usize, Ejection),
    Returned(usize),
}

#[derive(Default)]
struct Log(Mutex<Vec<Told>>);

impl Host for Log {
    fn ejected(&self, member: usize, ejection: Ejection) {
        self.0.lock().push(Told::Ejected(member, ejection));
    }

    fn returned(&self, member: usize) {
        self.0.lock().push(Told::Returned(member));
    }
}

/// The same in the plainest way: one thread, all members looked at each time.
struct Reference {
    rules: Rules,
    members: Vec<Plain>,
    told: Vec<Told>,
}

#[derive(Clone, Default)]
struct Plain {
    run: u32,
    /// When it returns, while it is ejected.
    until: Option<u64>,
    returned: u64,
    times: u64,
}

impl Reference {
    fn look(&mut self, now: u64) {
        for (member, plain) in self.members.iter_mut().enumerate() {
            if plain.until.is_some_and(|until| until <= now) {
                plain.returned = plain.until.take().unwrap();
                plain.run = 0;
                self.told.push(Told::Returned(member));
            }
        }
    }

    fn failed(&mut self, member: usize, now: u64) {
        let ejected = self.members.iter().filter(|plain| plain.until.is_some()).count();
        let count = self.members.len();
        #[expect(clippy::cast_precision_loss, reason = "a few members")]
        let in_share = (ejected + 1) as f64 <= self.rules.share_max * count as f64 || ejected == 0;
        let plain = &mut self.members[member];
        plain.run += 1;
        if plain.run < self.rules.outages
            || plain.until.is_some()
            || !in_share
            || ejected + 1 >= count
        {
            return;
        }
        let forgiven = (now - plain.returned) / self.rules.eject_for;
        plain.times = plain.times.saturating_sub(forgiven) + 1;
        let eject_for = (self.rules.eject_for * plain.times).min(self.rules.eject_for_max);
        plain.until = Some(now + eject_for);
        let times = u32::try_from(plain.times).unwrap();
        self.told.push(Told::Ejected(member, Ejection { eject_for, times }));
    }
}

#[derive(Clone, Debug)]
enum Happening {
    Succeeded(usize),
    Failed(usize),
    Chosen,
    Passed(u64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let happening = prop_oneof![
        1 => (0_usize..12).prop_map(Happening::Succeeded),
        8 => (0_usize..12).prop_map(Happening::Failed),
        2 => Just(Happening::Chosen),
        2 => (1_u64..60).prop_map(Happening::Passed),
    ];
    proptest::collection::vec(happening, 0..300)
}

proptest! {
    #[test]
    fn members_are_ejected_and_return_as_in_the_plain_model(
        count in 1_usize..12,
        outages in 1_u32..5,
        eject_for in 1_u64..40,
        longer in 0_u64..100,
        share_max in 0.0_f64..=1.0,
        happenings in happenings(),
    ) {
        let rules = Rules { outages, eject_for, eject_for_max: eject_for + longer, share_max };
        let (ledger, log) = (Ledger::new(rules, 64), Log::default());
        ledger.grow(count);
        let members = vec![Plain::default(); count];
        let mut reference = Reference { rules, members, told: Vec::new() };
        let mut now = 0;
        for happening in happenings {
            match happening {
                Happening::Succeeded(member) if member < count => {
                    ledger.succeeded(member);
                    reference.members[member].run = 0;
                }
                Happening::Failed(member) if member < count => {
                    if ledger.failed(member) {
                        ledger.eject(member, now, &log);
                    }
                    reference.failed(member, now);
                }
                Happening::Passed(time) => now += time,
                _ => {
                    if ledger.is_due(now) {
                        ledger.let_return(now, &log);
                    }
                    reference.look(now);
                }
            }
            let ejected = ledger.ejected().count_ones() as usize;
            prop_assert!(ejected < count, "all are ejected");
            prop_assert!(ejected <= rules.ejected_max(count));
            prop_assert_eq!(&*log.0.lock(), &reference.told);
        }
    }
}

/// A group of `count`, its selector, what it has told, and a moment to start from.
fn group(
    count: usize,
    policy: EjectPolicy,
) -> (Ejecting<Priority>, Arc<Mutex<Vec<String>>>, Instant) {
    let selector = Ejecting::new(Priority, policy);
    let environment = Environment::new();
    let told = Arc::<Mutex<Vec<String>>>::default();
    let into = told.clone();
    let subscription = environment.events().subscribe(move |event| {
        into.lock().push(match event {
            Event::Ejected { member, eject_for, times, error, .. } => {
                let error = error.as_ref().map_or("a panic", |error| error.kind().as_str());
                format!("{member} ejected for {eject_for:?}, {times}: {error}")
            }
            Event::Returned { member, .. } => format!("{member} returned"),
            other => panic!("{other:?}"),
        });
    });
    // It listens as long as the test runs.
    std::mem::forget(subscription);
    selector.chooses_for(&Source::new("test", "group"), &environment);
    let names: Vec<_> = (0..count).map(|member| format!("m{member}")).collect();
    selector.members(&names.iter().map(String::as_str).collect::<Vec<_>>());
    // The hub lives as long as somebody tells it something.
    (selector, told, environment.clock().now())
}

fn fail(selector: &impl Selector, member: usize, times: usize, at: Instant) {
    let error = Error::new(ErrorKind::Unavailable, "no connection");
    for _ in 0..times {
        selector.began(member);
        selector.ended(member, &CallEnd::new(Ending::Failed(&error), SECOND, at));
    }
}

#[test]
fn a_run_of_outages_ejects_for_a_while_and_longer_each_time() {
    let (selector, told, mut now) = group(3, EjectPolicy::default());
    let pick = |now| selector.pick(Candidates::all(3).with_now(now));
    for seconds in [30, 60, 90] {
        fail(&selector, 0, 4, now);
        assert_eq!(pick(now), Some(0));
        fail(&selector, 0, 1, now);
        assert_eq!((pick(now), selector.ejected()), (Some(1), vec![0]));
        let back = now + seconds * SECOND;
        now += (seconds - 1) * SECOND;
        assert_eq!(pick(now), Some(1));
        now = back;
        assert_eq!(pick(now), Some(0));
    }
    // Sixty seconds of service: two of the three are forgiven.
    now += 60 * SECOND;
    fail(&selector, 0, 5, now);
    let ejected = |seconds, times| format!("m0 ejected for {seconds}s, {times}: unavailable");
    let back = || "m0 returned".to_owned();
    let expected =
        [ejected(30, 1), back(), ejected(60, 2), back(), ejected(90, 3), back(), ejected(60, 2)];
    assert_eq!(*told.lock(), expected);
}

#[test]
fn answers_end_a_run_and_drops_and_mistakes_of_the_program_do_not_count() {
    let (selector, told, now) = group(2, EjectPolicy::default());
    let end = |ending| selector.ended(0, &CallEnd::new(ending, SECOND, now));
    let nothing_there = Error::new(ErrorKind::NotFound, "nothing there");
    let program = Error::new(ErrorKind::Config, "no such thing");
    for _ in 0..20 {
        fail(&selector, 0, 4, now);
        end(Ending::Failed(&nothing_there));
        end(Ending::Dropped);
        end(Ending::Failed(&program));
    }
    assert!(told.lock().is_empty());
    fail(&selector, 0, 4, now);
    end(Ending::Dropped);
    end(Ending::Failed(&program));
    assert!(told.lock().is_empty());
    end(Ending::Panicked);
    assert_eq!(*told.lock(), ["m0 ejected for 30s, 1: a panic"]);
}

#[test]
fn one_may_always_be_ejected_and_one_always_stays() {
    let (alone, told, now) = group(1, EjectPolicy::default());
    fail(&alone, 0, 50, now);
    assert!(told.lock().is_empty());
    let greedy = EjectPolicy { share_max: 1.0, panic_below: 0.0, ..EjectPolicy::default() };
    let (three, _, now) = group(3, greedy);
    for member in 0..3 {
        fail(&three, member, 50, now);
    }
    assert_eq!(three.ejected(), [0, 1]);
    let (three, _, now) = group(3, EjectPolicy::default());
    for member in [2, 1] {
        fail(&three, member, 50, now);
    }
    assert_eq!(three.ejected(), [2], "a tenth of three is none, but one may always be");
    fail(&three, 1, 1, now + 30 * SECOND);
    assert_eq!(three.ejected(), [2], "it returns when somebody chooses");
}

#[test]
fn where_too_few_are_left_ejections_are_forgotten_and_health_is_not() {
    let (selector, _, now) = group(4, EjectPolicy::default());
    let pick = |down| selector.pick(Candidates::all(4).with_down(down).with_now(now));
    assert_eq!(pick(0b0111), Some(3), "nobody is ejected: there is nothing to forget");
    assert_eq!(pick(0b1111), Some(0));
    fail(&selector, 0, 5, now);
    assert_eq!(pick(0b0000), Some(1));
    assert_eq!(pick(0b0010), Some(2), "a half is left, which is enough");
    assert_eq!(pick(0b0110), Some(0), "a quarter is not: the ejected one is used");
    let left = Candidates::all(4).with_down(0b0110).without(0).with_now(now);
    assert_eq!(selector.pick(left), Some(3), "before what is down");
    assert_eq!(selector.pick(left.without(3)), Some(1), "which is tried when nothing else is left");
}

#[test]
fn health_check_refuses_when_all_are_down_also_where_some_may_be_ejected() {
    let (strict, now) = (Ejecting::new(HealthCheck, EjectPolicy::default()), Clock::system().now());
    strict.members(&["a", "b"]);
    let pick = |down| strict.pick(Candidates::all(2).with_down(down).with_now(now));
    assert_eq!(pick(0b11), None);
    fail(&strict, 0, 5, now);
    assert_eq!((pick(0b00), pick(0b01), pick(0b11)), (Some(1), Some(1), None));
    assert_eq!(pick(0b10), Some(0), "ejected, but the only one that is well");
}

#[test]
fn a_call_that_has_tried_the_others_tries_the_ejected_one() {
    let (selector, _, now) = group(2, EjectPolicy::default());
    fail(&selector, 0, 5, now);
    let all = Candidates::all(2).with_now(now);
    assert_eq!(selector.pick(all), Some(1));
    assert_eq!(selector.pick(all.without(1)), Some(0));
}

#[test]
fn the_selector_inside_is_told_all_that_it_wants_to_know() {
    let selector = Ejecting::new(Arc::new(LeastLoaded::new()), EjectPolicy::default());
    assert_eq!((selector.name(), selector.watches()), ("least_loaded", true));
    selector.members(&["a", "b"]);
    selector.began(1);
    assert_eq!(selector.inner().under_way(1), 1);
    selector.ended(1, &CallEnd::new(Ending::Answered, SECOND, Clock::system().now()));
    assert_eq!((selector.inner().under_way(1), selector.inner().latency(1)), (0, Some(SECOND)));
    let by_key = Ejecting::new(crate::HashByKey::new(), EjectPolicy::default());
    assert!(by_key.chooses_by_key() && !selector.chooses_by_key());
}

#[test]
fn a_policy_names_all_that_is_wrong_with_it() {
    EjectPolicy::default().check().unwrap();
    let wrong = EjectPolicy {
        outages: 0,
        eject_for: 9 * SECOND,
        eject_for_max: SECOND,
        share_max: f64::NAN,
        panic_below: 1.5,
    };
    assert_eq!(wrong.check().unwrap_err().related().len(), 4);
}
