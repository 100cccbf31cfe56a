//! What a driver answers, call by call, as the test says.
//!
//! Knows no contract. The driver that plays a script is a few lines in the test of each subsystem.

use std::any::{Any, type_name};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use switchboard_core::{Clock, Error, Reply, Result};
use tokio::sync::oneshot;

/// The calls that a test expects of a driver, in order, and what each is answered.
///
/// `Q` is how a call is written down: an enum, a tuple, a text. Clones are the same script: one goes
/// into the driver, the test keeps another.
///
/// ```
/// use switchboard_core::{Lifecycle, Reply, Result};
/// use switchboard_testkit::{Answer, Script};
///
/// trait CountersDriver: Lifecycle {
///     fn read<'a>(&'a self, name: &'a str) -> Reply<'a, u64>;
///     fn names(&self) -> Reply<'_, Vec<String>>;
/// }
///
/// #[derive(Clone, Debug, PartialEq)]
/// enum Ask { Read(String), Names }
///
/// struct Scripted(Script<Ask>);
///
/// impl Lifecycle for Scripted {}
///
/// impl CountersDriver for Scripted {
///     fn read<'a>(&'a self, name: &'a str) -> Reply<'a, u64> { self.0.call(Ask::Read(name.into())) }
///     fn names(&self) -> Reply<'_, Vec<String>> { self.0.call(Ask::Names) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let script = Script::new();
/// script.expect(Ask::Names, Answer::reply(vec!["visits".to_owned()]));
/// script.expect(Ask::Read("visits".into()), Answer::reply(7_u64));
///
/// let driver = Scripted(script.clone());
/// assert_eq!(driver.names().await?, ["visits"]);
/// assert_eq!(driver.read("visits").await?, 7);
/// script.assert_done();
/// # Ok(()) }
/// ```
pub struct Script<Q>(Arc<Mutex<State<Q>>>);

struct State<Q> {
    expected: VecDeque<Expected<Q>>,
    otherwise: Option<Arc<Otherwise<Q>>>,
    /// A test makes as many as it makes; there is no limit to keep.
    calls: Vec<Q>,
    mistakes: Vec<String>,
}

struct Expected<Q> {
    asked: Q,
    answer: Answer,
    place: &'static Location<'static>,
}

type Otherwise<Q> = dyn Fn(&Q) -> Answer + Send + Sync;

/// What becomes of one call.
///
/// ```
/// use std::time::Duration;
/// use switchboard_core::{Error, ErrorKind};
/// use switchboard_testkit::{Answer, Script};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let script = Script::new();
/// let down = Error::new(ErrorKind::Unavailable, "connection reset");
/// script.expect("slow", Answer::fail(down).after(Duration::from_secs(2)));
///
/// let answer = script.call::<u64>("slow").await;
/// assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
/// # }
/// ```
#[derive(Debug)]
#[must_use = "an answer does nothing until a script has it"]
pub struct Answer {
    delay: Option<Duration>,
    held: Option<oneshot::Receiver<Infallible>>,
    ending: Ending,
}

#[derive(Debug)]
enum Ending {
    Reply(Box<dyn Any + Send>, &'static str),
    Fail(Error),
    Hang,
    Panic(String),
}

/// Keeps an answer back until it is dropped.
#[derive(Debug)]
#[must_use = "the answer is let go when this is dropped"]
pub struct Release {
    _sender: oneshot::Sender<Infallible>,
}

impl<Q> Script<Q> {
    /// Expects no call.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Expects `asked` after all that is expected already, and answers it so.
    #[track_caller]
    pub fn expect(&self, asked: Q, answer: Answer) {
        let place = Location::caller();
        self.state().expected.push_back(Expected { asked, answer, place });
    }

    /// Answers every call that is not the expected one, instead of refusing it.
    ///
    /// ```
    /// use switchboard_testkit::{Answer, Script};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let script = Script::new();
    /// script.otherwise(|name: &&str| Answer::reply(name.len()));
    /// assert_eq!(script.call::<usize>("visits").await.unwrap(), 6);
    /// # }
    /// ```
    pub fn otherwise(&self, answer: impl Fn(&Q) -> Answer + Send + Sync + 'static) {
        self.state().otherwise = Some(Arc::new(answer));
    }

    /// Whether every expected call was made, and no other.
    ///
    /// # Panics
    ///
    /// With each call that is missing or was one too many, if not.
    #[track_caller]
    pub fn assert_done(&self)
    where
        Q: fmt::Debug,
    {
        let left = self.state().left();
        assert!(left.is_empty(), "the script was not followed\n{}", left.join("\n"));
    }

    // A test that failed while it held the lock has said why; the rest may still be read.
    fn state(&self) -> MutexGuard<'_, State<Q>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Clone + fmt::Debug + PartialEq> Script<Q> {
    /// Plays one call: what a method of the scripted driver returns.
    ///
    /// # Panics
    ///
    /// If the call is not the one that comes next; with how it differs from that one. If the script
    /// answers with another type than the method returns. If the answer is a panic.
    pub fn call<T: Send + 'static>(&self, asked: Q) -> Reply<'static, T> {
        let answer = self.next(asked);
        if answer.is_immediate() {
            return Reply::ready(answer.ending.give());
        }
        Reply::run(answer.give())
    }

    /// Plays one call of a contract that does not wait.
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call), and if the answer has to be waited for.
    pub fn call_now<T: 'static>(&self, asked: Q) -> Result<T> {
        let answer = self.next(asked);
        assert!(answer.is_immediate(), "the script lets a call wait that cannot");
        answer.ending.give()
    }

    /// All calls so far, in order.
    ///
    /// ```
    /// use switchboard_testkit::{Answer, Script};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let script = Script::new();
    /// script.otherwise(|_| Answer::reply(0_u64));
    /// script.call::<u64>("visits").await.unwrap();
    /// assert_eq!(script.calls(), ["visits"]);
    /// # }
    /// ```
    pub fn calls(&self) -> Vec<Q> {
        self.state().calls.clone()
    }

    #[expect(clippy::needless_pass_by_value, reason = "drivers have no further use for it")]
    fn next(&self, asked: Q) -> Answer {
        let mut state = self.state();
        state.calls.push(asked.clone());
        let is_next = state.expected.front().is_some_and(|next| next.asked == asked);
        if let Some(next) = state.expected.pop_front_if(|_| is_next) {
            return next.answer;
        }
        if let Some(otherwise) = state.otherwise.clone() {
            drop(state);
            return otherwise(&asked);
        }
        let mistake = state.describe_mistake(&asked);
        state.mistakes.push(mistake.clone());
        drop(state);
        panic!("{mistake}");
    }
}

impl Answer {
    /// The call succeeds with `value`, which is of the type that the driver's method returns.
    pub fn reply<T: Send + 'static>(value: T) -> Self {
        Self::ending(Ending::Reply(Box::new(value), type_name::<T>()))
    }

    /// The call fails.
    pub fn fail(error: Error) -> Self {
        Self::ending(Ending::Fail(error))
    }

    /// The call never ends; its caller can only go away.
    pub fn hang() -> Self {
        Self::ending(Ending::Hang)
    }

    /// The driver panics, saying so.
    pub fn panic(words: impl Into<String>) -> Self {
        Self::ending(Ending::Panic(words.into()))
    }

    /// The same, this long after the call.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// The same, not before the test lets go of it.
    ///
    /// ```
    /// use switchboard_testkit::{Answer, Script, poll_settled};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let script = Script::new();
    /// let (answer, release) = Answer::reply(7_u64).held();
    /// script.expect("visits", answer);
    ///
    /// let mut call = script.call::<u64>("visits");
    /// assert!(poll_settled(&mut call).await.is_pending());
    /// drop(release);
    /// assert_eq!(call.await.unwrap(), 7);
    /// # }
    /// ```
    pub fn held(mut self) -> (Self, Release) {
        let (sender, receiver) = oneshot::channel();
        self.held = Some(receiver);
        (self, Release { _sender: sender })
    }

    fn ending(ending: Ending) -> Self {
        Self { delay: None, held: None, ending }
    }

    fn is_immediate(&self) -> bool {
        self.delay.is_none() && self.held.is_none() && !matches!(self.ending, Ending::Hang)
    }

    async fn give<T: 'static>(self) -> Result<T> {
        if let Some(held) = self.held {
            // Nothing is ever sent; it ends when the other side is dropped.
            let _ = held.await;
        }
        if let Some(delay) = self.delay {
            Clock::system().sleep(delay).await;
        }
        if let Ending::Hang = self.ending {
            return pending().await;
        }
        self.ending.give()
    }
}

impl Ending {
    fn give<T: 'static>(self) -> Result<T> {
        match self {
            Self::Reply(value, named) => {
                let Ok(value) = value.downcast() else {
                    panic!(
                        "the script replies with `{named}`, the call returns `{}`",
                        type_name::<T>()
                    );
                };
                Ok(*value)
            }
            Self::Fail(error) => Err(error),
            Self::Hang => panic!("the script lets a call wait that cannot"),
            Self::Panic(words) => panic!("{words}"),
        }
    }
}

impl<Q: fmt::Debug> State<Q> {
    /// What should have been and was not, and what was and should not have been.
    fn left(&self) -> Vec<String> {
        let missing = self.expected.iter().map(|expected| format!("never asked: {expected}"));
        self.mistakes.iter().cloned().chain(missing).collect()
    }

    fn describe_mistake(&self, asked: &Q) -> String
    where
        Q: PartialEq,
    {
        let number = self.calls.len();
        let asked_text = format!("{asked:?}");
        let head =
            format!("call {number} is not in the script\n  asked:    {asked_text}\n  expected:");
        let Some(next) = self.expected.front() else {
            return format!("{head} no further call");
        };
        let expected_text = format!("{:?}", next.asked);
        let alike = asked_text.chars().zip(expected_text.chars());
        let same = alike.take_while(|(one, other)| one == other).count();
        let later = self.expected.iter().position(|expected| expected.asked == *asked);
        let hint = later.map_or_else(String::new, |ahead| {
            format!("\n  it is expected as call {}", number + ahead)
        });
        format!("{head} {next}\n            {:same$}^ differs from here on{hint}", "")
    }
}

impl<Q: fmt::Debug> fmt::Display for Expected<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({})", self.asked, self.place)
    }
}

impl<Q> Clone for Script<Q> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Q> Default for Script<Q> {
    fn default() -> Self {
        let (expected, calls, mistakes) = (VecDeque::new(), Vec::new(), Vec::new());
        Self(Arc::new(Mutex::new(State { expected, otherwise: None, calls, mistakes })))
    }
}

impl<Q> fmt::Debug for Script<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Script")
            .field("calls", &state.calls.len())
            .field("expected", &state.expected.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use switchboard_core::ErrorKind;

    use super::*;
    use crate::{advance, poll_settled};

    fn words_of<T>(run: impl FnOnce() -> T) -> String {
        let payload = catch_unwind(AssertUnwindSafe(run)).err().unwrap();
        *payload.downcast::<String>().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn answers_come_in_order_whatever_they_are() {
        let script = Script::new();
        script.expect(1, Answer::reply("one"));
        script.expect(2, Answer::fail(Error::new(ErrorKind::NotFound, "two")));
        script.expect(3, Answer::hang());
        assert_eq!(script.call::<&str>(1).await.unwrap(), "one");
        assert_eq!(script.call::<&str>(2).await.unwrap_err().kind(), ErrorKind::NotFound);
        let mut third = script.call::<&str>(3);
        advance(Duration::from_hours(24)).await;
        assert!(poll_settled(&mut third).await.is_pending());
        assert_eq!(script.calls(), [1, 2, 3]);
        script.assert_done();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_be_held_and_then_take_its_time() {
        let script = Script::new();
        let (answer, release) = Answer::reply(7).after(Duration::from_secs(1)).held();
        script.expect((), answer);
        let mut call = script.call::<i32>(());
        assert!(poll_settled(&mut call).await.is_pending());
        drop(release);
        assert!(poll_settled(&mut call).await.is_pending());
        advance(Duration::from_secs(1)).await;
        assert_eq!(call.await.unwrap(), 7);
    }

    #[test]
    fn an_unexpected_call_shows_how_it_differs_and_where_it_was_expected() {
        let script = Script::new();
        script.expect(("get", "sessions"), Answer::reply(1));
        script.expect(("get", "sessoins"), Answer::reply(2));
        let words = words_of(|| script.call::<i32>(("get", "sessoins")));
        let line = words.lines().nth(3).unwrap();
        assert_eq!(line.find('^'), Some("  expected: (\"get\", \"sess".len()), "{words}");
        assert!(words.contains("it is expected as call 2"), "{words}");
        assert!(words.contains("script.rs:"), "{words}");
    }

    #[test]
    fn a_mistake_that_was_swallowed_is_still_known_at_the_end() {
        let script = Script::new();
        words_of(|| script.call_now::<()>("one too many"));
        let words = words_of(|| script.assert_done());
        assert!(words.contains("one too many") && words.contains("no further call"), "{words}");
    }

    #[test]
    fn a_call_that_was_never_made_is_missed_at_the_end() {
        let script = Script::new();
        script.expect("flush", Answer::reply(()));
        let words = words_of(|| script.assert_done());
        assert!(words.contains("never asked: \"flush\""), "{words}");
    }

    #[test]
    fn an_expected_call_goes_before_the_answer_for_all_others() {
        let script = Script::new();
        script.otherwise(|_| Answer::reply(0));
        script.expect("a", Answer::reply(1));
        let calls = ["b", "a", "a"].map(|asked| script.call_now::<i32>(asked).unwrap());
        assert_eq!(calls, [0, 1, 0]);
    }

    #[test]
    fn a_reply_of_the_wrong_type_names_both_types() {
        let script = Script::new();
        script.expect((), Answer::reply(1_u64));
        let words = words_of(|| script.call_now::<String>(()));
        assert!(words.contains("u64") && words.contains("String"), "{words}");
    }

    #[tokio::test]
    #[should_panic = "the driver is broken"]
    async fn a_driver_may_panic() {
        let script = Script::new();
        script.expect((), Answer::panic("the driver is broken"));
        let _ = script.call::<()>(()).await;
    }

    #[test]
    #[should_panic = "lets a call wait that cannot"]
    fn a_call_that_cannot_wait_is_not_let_hang() {
        let script = Script::new();
        script.expect((), Answer::hang());
        let _ = script.call_now::<()>(());
    }
}
