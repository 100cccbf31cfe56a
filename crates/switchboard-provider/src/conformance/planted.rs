//! Proves that the rules notice: one provider of all shapes that keeps them, and bugs to put into it, each
//! with the rule that must name it.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use switchboard_core::{Error, ErrorKind, Health, Lifecycle, Reply, Result};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

use super::{Suite, check, duplex, request_response, sink, stream};
use crate::{Conversation, Duplex, Items, Provider, RequestResponse, Sink, Stream};

/// What a provider gets wrong; all else is done right.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    None,
    HasNoName,
    ChangesItsName,
    IsNeverAvailable,
    AvailableHangs,
    IsDown,
    HangsAfterClose,
    PanicsAtSecondClose,
    CloseFails,

    AnswersOnce,
    AnswersForAnother,
    StaysBusyWhenDropped,

    GoesOnAfterTheEnd,
    LosesWhatIsDropped,
    TakesBeforeItIsPolled,
    RepeatsWhatIsDropped,
    GoesOnWhenClosed,
    SecondCloseFails,
    KeepsThePlaceWhenClosed,
    KeepsThePlaceWhenDropped,
    KeepsThePlaceOfAnOpening,
    SharesItsPosition,
    CloseEndsAll,

    ForgetsWhatItTook,

    AnswersLastFirst,
    SendingWaitsForReceiving,
    HearsAfterClose,
    SpeaksAfterClose,
    LetsWaitersWait,
    ForgetsADroppedClose,
}

/// A provider with room for a few opened things, and one bug or none.
struct Planted {
    bug: Bug,
    names: AtomicUsize,
    is_closed: AtomicBool,
    is_busy: AtomicBool,
    last: AtomicU64,
    journal: Journal,
    places: Arc<Semaphore>,
    shared: Arc<Shared>,
}

type Journal = Arc<Mutex<Vec<u64>>>;

/// What the things opened have in common where they should have nothing.
#[derive(Default)]
struct Shared {
    position: AtomicU64,
    is_ended: AtomicBool,
    answers: Mutex<VecDeque<u64>>,
}

const PLACES: usize = 8;

impl Planted {
    fn new(bug: Bug, journal: Journal) -> Self {
        Self {
            bug,
            names: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            last: AtomicU64::new(0),
            journal,
            places: Arc::new(Semaphore::new(PLACES)),
            shared: Arc::default(),
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    async fn work(&self) -> Result<()> {
        if self.has(Bug::HangsAfterClose) && self.is_closed.load(Ordering::SeqCst) {
            return pending().await;
        }
        if self.has(Bug::StaysBusyWhenDropped) && self.is_busy.swap(true, Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Overloaded, "a call is under way"));
        }
        yield_now().await;
        yield_now().await;
        self.is_busy.store(false, Ordering::SeqCst);
        Ok(())
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit> {
        let place = self.places.clone().try_acquire_owned().map_err(|error| {
            Error::new(ErrorKind::Overloaded, "all places are taken").with_source(error)
        })?;
        if self.has(Bug::KeepsThePlaceOfAnOpening) {
            place.forget();
            self.work().await?;
            self.places.add_permits(1);
            return self.places.clone().try_acquire_owned().map_err(|error| {
                Error::new(ErrorKind::Overloaded, "all places are taken").with_source(error)
            });
        }
        self.work().await?;
        Ok(place)
    }
}

impl Lifecycle for Planted {
    fn health(&self) -> Reply<'_, Health> {
        Reply::ready(Ok(if self.has(Bug::IsDown) {
            Health::down("it is broken")
        } else {
            Health::up()
        }))
    }

    fn close(&self) -> Reply<'_, ()> {
        let was_closed = self.is_closed.swap(true, Ordering::SeqCst);
        assert!(!(was_closed && self.has(Bug::PanicsAtSecondClose)), "closed already");
        if self.has(Bug::CloseFails) {
            return Reply::ready(Err(Error::new(ErrorKind::Unexpected, "it cannot be closed")));
        }
        Reply::ready(Ok(()))
    }
}

impl Provider for Planted {
    fn name(&self) -> &str {
        match self.bug {
            Bug::HasNoName => " ",
            Bug::ChangesItsName => ["this", "that"][self.names.fetch_add(1, Ordering::SeqCst) % 2],
            _ => "planted",
        }
    }

    fn is_available(&self) -> Reply<'_, bool> {
        if self.has(Bug::AvailableHangs) {
            return Reply::run(pending());
        }
        Reply::ready(Ok(!self.has(Bug::IsNeverAvailable)))
    }
}

impl RequestResponse<u64, u64> for Planted {
    fn execute(&self, input: u64) -> Reply<'_, u64> {
        Reply::run(async move {
            let before = self.last.swap(input, Ordering::SeqCst);
            if self.has(Bug::AnswersOnce) && before == input {
                return Err(Error::new(ErrorKind::Conflict, "asked already"));
            }
            self.work().await?;
            let last = self.last.load(Ordering::SeqCst);
            Ok(2 * if self.has(Bug::AnswersForAnother) { last } else { input })
        })
    }
}

impl Sink<u64> for Planted {
    fn send(&self, input: u64) -> Reply<'_, ()> {
        Reply::run(async move {
            self.work().await?;
            if !self.has(Bug::ForgetsWhatItTook) {
                self.journal.lock().unwrap().push(input);
            }
            Ok(())
        })
    }
}

impl Stream<u64, u64> for Planted {
    fn open(&self, input: u64) -> Reply<'_, Box<dyn Items<u64>>> {
        Reply::run(async move {
            let place = self.place().await?;
            let items: Box<dyn Items<u64>> = Box::new(Counting {
                bug: self.bug,
                next: 0,
                end: input,
                place: Some(place),
                shared: self.shared.clone(),
                is_closed: false,
            });
            Ok(items)
        })
    }
}

/// Counts up to its end.
struct Counting {
    bug: Bug,
    next: u64,
    end: u64,
    place: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
    is_closed: bool,
}

impl Counting {
    fn position(&self) -> u64 {
        match self.bug {
            Bug::SharesItsPosition => self.shared.position.load(Ordering::SeqCst),
            _ => self.next,
        }
    }

    fn advance(&mut self) {
        self.next += 1;
        self.shared.position.fetch_add(1, Ordering::SeqCst);
    }

    fn step(&mut self) -> Option<u64> {
        let has_ended = self.position() >= self.end
            || (self.is_closed && self.bug != Bug::GoesOnWhenClosed)
            || (self.bug == Bug::CloseEndsAll && self.shared.is_ended.load(Ordering::SeqCst));
        if has_ended {
            if self.bug == Bug::GoesOnAfterTheEnd && !self.is_closed {
                self.next = 0;
            }
            if self.bug == Bug::SharesItsPosition {
                self.shared.position.store(0, Ordering::SeqCst);
            }
            return None;
        }
        let item = self.position();
        self.advance();
        Some(item)
    }
}

impl Items<u64> for Counting {
    fn next(&mut self) -> Reply<'_, Option<u64>> {
        if self.bug == Bug::TakesBeforeItIsPolled {
            return Reply::ready(Ok(self.step()));
        }
        Reply::run(async {
            if self.bug == Bug::LosesWhatIsDropped {
                let item = self.step();
                yield_now().await;
                return Ok(item);
            }
            if self.bug == Bug::RepeatsWhatIsDropped {
                let before = self.next;
                self.next = before.saturating_sub(1);
                yield_now().await;
                self.next = before;
            }
            yield_now().await;
            Ok(self.step())
        })
    }

    fn close(&mut self) -> Reply<'_, ()> {
        Reply::run(async {
            if self.bug == Bug::SecondCloseFails && self.is_closed {
                return Err(Error::new(ErrorKind::InvalidInput, "closed already"));
            }
            self.is_closed = true;
            self.shared.is_ended.store(true, Ordering::SeqCst);
            if self.bug != Bug::KeepsThePlaceWhenClosed {
                self.place = None;
            }
            Ok(())
        })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        keep_if(self.bug == Bug::KeepsThePlaceWhenDropped, &mut self.place);
    }
}

fn keep_if(is_wrong: bool, place: &mut Option<OwnedSemaphorePermit>) {
    if let Some(place) = place.take_if(|_| is_wrong) {
        place.forget();
    }
}

impl Duplex<u64, u64> for Planted {
    fn open(&self) -> Reply<'_, Box<dyn Conversation<u64, u64>>> {
        Reply::run(async {
            let place = self.place().await?;
            let shared = match self.bug {
                Bug::SharesItsPosition | Bug::CloseEndsAll => self.shared.clone(),
                _ => Arc::default(),
            };
            let conversation: Box<dyn Conversation<u64, u64>> = Box::new(Mirror {
                bug: self.bug,
                place: Mutex::new(Some(place)),
                shared,
                one_at_a_time: tokio::sync::Mutex::default(),
                changed: Notify::new(),
                is_closed: AtomicBool::new(false),
            });
            Ok(conversation)
        })
    }
}

/// Whatever is said comes back.
struct Mirror {
    bug: Bug,
    place: Mutex<Option<OwnedSemaphorePermit>>,
    shared: Arc<Shared>,
    one_at_a_time: tokio::sync::Mutex<()>,
    changed: Notify,
    is_closed: AtomicBool,
}

impl Mirror {
    fn is_closed(&self) -> bool {
        match self.bug {
            Bug::CloseEndsAll => self.shared.is_ended.load(Ordering::SeqCst),
            _ => self.is_closed.load(Ordering::SeqCst),
        }
    }

    fn take(&self) -> Option<u64> {
        let mut answers = self.shared.answers.lock().unwrap();
        match self.bug {
            Bug::AnswersLastFirst => answers.pop_back(),
            _ => answers.pop_front(),
        }
    }

    async fn one_at_a_time(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match self.bug {
            Bug::SendingWaitsForReceiving => Some(self.one_at_a_time.lock().await),
            _ => None,
        }
    }
}

impl Conversation<u64, u64> for Mirror {
    fn send(&self, message: u64) -> Reply<'_, ()> {
        Reply::run(async move {
            let _alone = self.one_at_a_time().await;
            if self.is_closed() && self.bug != Bug::SpeaksAfterClose {
                return Err(crate::duplex::closed());
            }
            yield_now().await;
            self.shared.answers.lock().unwrap().push_back(message);
            self.changed.notify_waiters();
            Ok(())
        })
    }

    fn receive(&self) -> Reply<'_, Option<u64>> {
        if self.bug == Bug::TakesBeforeItIsPolled
            && let Some(message) = self.take()
        {
            return Reply::ready(Ok(Some(message)));
        }
        Reply::run(async {
            let _alone = self.one_at_a_time().await;
            loop {
                let changed = self.changed.notified();
                if self.is_closed() && self.bug != Bug::HearsAfterClose {
                    return Ok(None);
                }
                if self.bug != Bug::LosesWhatIsDropped {
                    yield_now().await;
                }
                if let Some(message) = self.take() {
                    if self.bug == Bug::LosesWhatIsDropped {
                        yield_now().await;
                    }
                    return Ok(Some(message));
                }
                if self.is_closed() {
                    return Ok(None);
                }
                changed.await;
            }
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        Reply::run(async {
            let was_closing = self.is_closed.swap(true, Ordering::SeqCst);
            if was_closing && self.bug == Bug::SecondCloseFails {
                return Err(Error::new(ErrorKind::InvalidInput, "closed already"));
            }
            if was_closing && self.bug == Bug::ForgetsADroppedClose {
                return Ok(());
            }
            yield_now().await;
            self.shared.is_ended.store(true, Ordering::SeqCst);
            if self.bug != Bug::LetsWaitersWait {
                self.changed.notify_waiters();
            }
            if self.bug != Bug::KeepsThePlaceWhenClosed {
                self.place.lock().unwrap().take();
            }
            Ok(())
        })
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        keep_if(self.bug == Bug::KeepsThePlaceWhenDropped, self.place.get_mut().unwrap());
    }
}

fn requests(bug: Bug) -> request_response::Fixture<u64, u64> {
    let make = move || async move { Ok(Planted::new(bug, Journal::default())) };
    request_response::Fixture::new(make, || vec![1, 2, 3])
        .judged(|input, output| *output == 2 * input)
}

fn streams(bug: Bug) -> stream::Fixture<u64, u64> {
    let make = move || async move { Ok(Planted::new(bug, Journal::default())) };
    stream::Fixture::new(make, || 4)
}

fn sinks(bug: Bug) -> sink::Fixture<u64> {
    let journal = Journal::default();
    let kept = journal.clone();
    let make = move || {
        let planted = Planted::new(bug, journal.clone());
        async { Ok(planted) }
    };
    sink::Fixture::new(make, || vec![1, 2, 3])
        .arrived(move |input| kept.lock().unwrap().contains(input))
}

fn duplexes(bug: Bug) -> duplex::Fixture<u64, u64> {
    let make = move || async move { Ok(Planted::new(bug, Journal::default())) };
    duplex::Fixture::new(make, || vec![(1, vec![1]), (2, vec![2]), (3, vec![3])])
}

/// One test for each shape: each rule notices its bugs, and is content without them.
macro_rules! notices {
    ($test:ident, $fixture:ident: $( $rule:ident: $( $bug:ident ),+; )+) => {
        #[test]
        fn $test() {
            let bugs = [$( (stringify!($rule), &[$( Bug::$bug ),+][..]) ),+];
            prove_all(&$fixture, &bugs);
        }
    };
}

fn prove_all<F: Suite>(fixture: &impl Fn(Bug) -> F, bugs: &[(&str, &[Bug])]) {
    for rule in F::RULES {
        let Some((_, bugs)) = bugs.iter().find(|(name, _)| *name == rule.name) else {
            panic!("no bug here is noticed by {}", rule.name);
        };
        assert_eq!(check(&fixture(Bug::None), rule.name), Ok(()), "{}", rule.name);
        for bug in *bugs {
            let verdict = check(&fixture(*bug), rule.name);
            assert!(verdict.is_err(), "{} did not notice {bug:?}", rule.name);
        }
    }
    assert_eq!(bugs.len(), F::RULES.len(), "a rule that is not there");
}

notices! {
    the_rules_of_request_response_notice, requests:
    every_input_has_its_output: AnswersOnce;
    calls_at_once_do_not_disturb_each_other: AnswersForAnother;
    a_call_dropped_at_any_await_leaves_the_provider_usable: StaysBusyWhenDropped;
    it_has_a_name_that_stays: HasNoName, ChangesItsName;
    it_says_that_it_is_available: IsNeverAvailable, AvailableHangs;
    health_says_that_it_works: IsDown;
    after_close_nothing_hangs: HangsAfterClose, PanicsAtSecondClose, CloseFails;
}

notices! {
    the_rules_of_stream_notice, streams:
    the_end_stays_the_end: GoesOnAfterTheEnd;
    a_next_dropped_at_any_await_loses_no_item:
        LosesWhatIsDropped, TakesBeforeItIsPolled, RepeatsWhatIsDropped;
    a_closed_stream_has_no_items_and_can_be_closed_again: GoesOnWhenClosed, SecondCloseFails;
    what_is_closed_early_is_given_back: KeepsThePlaceWhenClosed;
    what_is_dropped_early_is_given_back: KeepsThePlaceWhenDropped;
    streams_at_once_do_not_disturb_each_other: SharesItsPosition, CloseEndsAll;
    an_opening_dropped_at_any_await_leaves_the_provider_usable:
        KeepsThePlaceOfAnOpening, StaysBusyWhenDropped;
    it_has_a_name_that_stays: HasNoName, ChangesItsName;
    it_says_that_it_is_available: IsNeverAvailable, AvailableHangs;
    health_says_that_it_works: IsDown;
    after_close_nothing_hangs: HangsAfterClose, PanicsAtSecondClose, CloseFails;
}

notices! {
    the_rules_of_sink_notice, sinks:
    what_is_acknowledged_has_arrived: ForgetsWhatItTook;
    sends_at_once_are_all_acknowledged: StaysBusyWhenDropped;
    a_send_dropped_at_any_await_leaves_the_provider_usable: StaysBusyWhenDropped;
    it_has_a_name_that_stays: HasNoName, ChangesItsName;
    it_says_that_it_is_available: IsNeverAvailable, AvailableHangs;
    health_says_that_it_works: IsDown;
    after_close_nothing_hangs: HangsAfterClose, PanicsAtSecondClose, CloseFails;
}

notices! {
    the_rules_of_duplex_notice, duplexes:
    every_message_is_answered_in_order: AnswersLastFirst;
    a_receive_dropped_at_any_await_loses_no_message: LosesWhatIsDropped, TakesBeforeItIsPolled;
    sending_does_not_wait_for_receiving: SendingWaitsForReceiving;
    a_closed_conversation_is_silent_and_can_be_closed_again:
        HearsAfterClose, SpeaksAfterClose, SecondCloseFails;
    closing_ends_a_receive_that_waits: LetsWaitersWait;
    a_close_dropped_at_any_await_can_be_made_again: ForgetsADroppedClose;
    what_is_closed_is_given_back: KeepsThePlaceWhenClosed;
    what_is_dropped_is_given_back: KeepsThePlaceWhenDropped;
    conversations_at_once_do_not_disturb_each_other: SharesItsPosition, CloseEndsAll;
    an_opening_dropped_at_any_await_leaves_the_provider_usable:
        KeepsThePlaceOfAnOpening, StaysBusyWhenDropped;
    it_has_a_name_that_stays: HasNoName, ChangesItsName;
    it_says_that_it_is_available: IsNeverAvailable, AvailableHangs;
    health_says_that_it_works: IsDown;
    after_close_nothing_hangs: HangsAfterClose, PanicsAtSecondClose, CloseFails;
}

#[test]
fn a_sample_that_says_nothing_is_a_failure_that_says_what_is_missing() {
    let make = || async { Ok(Planted::new(Bug::None, Journal::default())) };
    let short = stream::Fixture::new(make, || 1);
    let failure = check(&short, "streams_at_once_do_not_disturb_each_other").unwrap_err();
    assert!(failure.to_string().contains("two items or more"), "{failure}");
    let mute = duplex::Fixture::new(make, || vec![(1, vec![])]);
    let failure = check(&mute, "every_message_is_answered_in_order").unwrap_err();
    assert!(failure.to_string().contains("a message with an answer"), "{failure}");
    let none = request_response::Fixture::new(make, Vec::new);
    let failure = check(&none, "every_input_has_its_output").unwrap_err();
    assert!(failure.to_string().contains("no inputs"), "{failure}");
}

#[test]
fn a_rule_that_does_not_exist_is_not_kept() {
    check(&requests(Bug::None), "no_such_rule").unwrap_err();
}

#[test]
fn a_provider_that_cannot_be_made_is_a_failure_and_no_panic() {
    let fails = || async {
        Err::<Planted, _>(Error::new(ErrorKind::Unavailable, "the service is not there"))
    };
    let fixture = request_response::Fixture::<u64, u64>::new(fails, || vec![1]);
    let failure = check(&fixture, "every_input_has_its_output").unwrap_err();
    assert!(failure.to_string().contains("the service is not there"), "{failure}");
}
