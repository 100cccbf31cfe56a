//! Several providers under one roof, each with a name: started, checked and ended together.
//!
//! What they are asked, and what follows from their answers, is for whoever has them.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use switchboard_core::{
    Class, Error, ErrorKind, Health, Lifecycle, Outcome, Reply, Result, Retry, Status,
};
use tokio::sync::Mutex;

use super::contained;
use crate::Provider;

/// Providers that belong to one; what it says about them, it says with their names.
pub(crate) struct Several<P: ?Sized> {
    name: String,
    /// What each of them is, in messages and as the key of its name: `sink`.
    noun: &'static str,
    members: Vec<Member<P>>,
}

/// Not all of them did what was asked.
pub(crate) struct Failed<T> {
    pub(crate) error: Error,
    /// What those gave that did.
    pub(crate) given: Vec<T>,
}

/// One of several providers.
pub(crate) struct Member<P: ?Sized> {
    name: Arc<str>,
    noun: &'static str,
    provider: Arc<P>,
    /// So that none is closed twice: after a failed start it is, before whoever started it closes. Set
    /// when it has closed; a lock that is waited for, so that nobody closes it while another does.
    is_closed: Mutex<bool>,
}

impl<P: Provider + ?Sized> Several<P> {
    /// All of `members`, each a `noun`, as one that is called `name`; between one and so many, each
    /// with a name of its own.
    pub(crate) fn new<N: Into<String>>(
        name: impl Into<String>,
        noun: &'static str,
        members: impl IntoIterator<Item = (N, Arc<P>)>,
        members_max: usize,
    ) -> Result<Self> {
        let name = name.into();
        let wrong =
            |message: String| Error::new(ErrorKind::Config, message).with_context("fan_out", &name);
        let members: Vec<_> =
            members.into_iter().map(|(name, provider)| Member::new(name, noun, provider)).collect();
        if members.is_empty() || members.len() > members_max {
            let message = format!("a fan-out has between 1 and {members_max} {noun}s");
            return Err(wrong(message).with_context("members", members.len()));
        }
        let mut names = HashSet::new();
        if let Some(twin) = members.iter().find(|member| !names.insert(&member.name)) {
            let message = format!("two {noun}s of a fan-out have one name");
            return Err(wrong(message).with_context(noun, &twin.name));
        }
        Ok(Self { name, noun, members })
    }

    /// Their names, in the order in which they were given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| &*member.name)
    }

    /// What all of them gave. If some failed, the error has those of all that did, `what` is what was
    /// expected of each, and its outcome and its advice are those of the whole.
    pub(crate) fn all_of<T>(
        &self,
        what: &str,
        answers: Vec<(&str, Result<T>)>,
    ) -> Result<Vec<T>, Failed<T>> {
        let outcome = shared_outcome(&answers);
        let (mut given, mut errors) = (Vec::new(), Vec::new());
        for (_, answer) in answers {
            match answer {
                Ok(value) => given.push(value),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            return Ok(given);
        }
        let retry = errors.iter().map(Error::retry).reduce(later).unwrap_or(Retry::Never);
        let failed = format!("{} of {} {}s", errors.len(), self.members.len(), self.noun);
        let error = self.joined(what, errors).with_context("failed", failed);
        Err(Failed { error: error.with_outcome(outcome).with_retry(retry), given })
    }

    /// One error for those of several; an outage only if one of them is.
    pub(crate) fn joined(&self, what: &str, errors: Vec<Error>) -> Error {
        let message = format!("not every {} {what}", self.noun);
        match errors.first().map(Error::kind) {
            Some(kind) if errors.iter().all(|error| error.class() != Class::Outage) => {
                Error::new(kind, message).with_related(errors)
            }
            _ => Error::joined(message, errors),
        }
    }

    async fn close_all(&self) -> Vec<Error> {
        let closings = self.members.iter().map(|member| member.answer(member.close()));
        errors_of(join_all(closings).await)
    }
}

impl<P: Provider + ?Sized> Lifecycle for Several<P> {
    /// Starts all of them; if one fails, all are closed again. A start that was dropped is undone by
    /// closing, as that of any driver.
    fn init(&self) -> Reply<'_, ()> {
        Reply::run(async {
            let starts = self
                .members
                .iter()
                .map(|member| member.answer(async { member.provider.init().await }));
            let errors = errors_of(join_all(starts).await);
            if errors.is_empty() {
                return Ok(());
            }
            let left_open = self.close_all().await;
            Err(self.joined("could be started", errors).with_related(left_open))
        })
    }

    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async {
            let checks = self
                .members
                .iter()
                .map(|member| member.answer(async { member.provider.health().await }));
            Ok(worst(join_all(checks).await))
        })
    }

    /// Closes all of them that are not closed yet, whatever becomes of the others. One whose closing was
    /// dropped or failed is closed the next time.
    fn close(&self) -> Reply<'_, ()> {
        Reply::run(async {
            match self.close_all().await {
                errors if errors.is_empty() => Ok(()),
                errors => Err(self.joined("closed", errors)),
            }
        })
    }
}

impl<P: Provider + ?Sized> Provider for Several<P> {
    fn name(&self) -> &str {
        &self.name
    }

    /// Whether all of them are available; an error names those that are not.
    fn is_available(&self) -> Reply<'_, bool> {
        Reply::run(async {
            let asked = self.members.iter().map(|member| member.answer(member.available()));
            match errors_of(join_all(asked).await) {
                errors if errors.is_empty() => Ok(true),
                errors => Err(self.joined("is available", errors)),
            }
        })
    }
}

impl<P: ?Sized> Several<P> {
    /// Each of them, in the order in which they were given.
    pub(crate) fn members(&self) -> &[Member<P>] {
        &self.members
    }
}

impl<P: Provider + ?Sized> Member<P> {
    fn new(name: impl Into<String>, noun: &'static str, provider: Arc<P>) -> Self {
        Self { name: name.into().into(), noun, provider, is_closed: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn provider(&self) -> &P {
        &self.provider
    }

    /// What comes of `asked`, under the name of the one that was asked.
    pub(crate) async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T>>,
    ) -> (&str, Result<T>) {
        let answer = contained(asked).await;
        (&self.name, answer.map_err(|error| error.with_context(self.noun, &self.name)))
    }

    async fn available(&self) -> Result<()> {
        if self.provider.is_available().await? {
            return Ok(());
        }
        let message = format!("the {} is not available", self.noun);
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    async fn close(&self) -> Result<()> {
        let mut is_closed = self.is_closed.lock().await;
        if !*is_closed {
            self.provider.close().await?;
            *is_closed = true;
        }
        Ok(())
    }
}

fn errors_of<T>(answers: Vec<(&str, Result<T>)>) -> Vec<Error> {
    answers.into_iter().filter_map(|(_, answer)| answer.err()).collect()
}

/// The worst of all verdicts, with what each says that is not well.
fn worst(answers: Vec<(&str, Result<Health>)>) -> Health {
    let verdicts = answers
        .into_iter()
        .map(|(name, answer)| (name, answer.unwrap_or_else(Health::from)))
        .collect::<Vec<_>>();
    let mut health = Health::up();
    health.status = verdicts.iter().map(|(_, health)| health.status).max().unwrap_or(Status::Up);
    let reasons: Vec<_> =
        verdicts.iter().filter_map(|(name, health)| reason(name, health)).collect();
    health.reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    health
}

/// Why one is not up, and which; nothing where nobody has looked.
fn reason(name: &str, health: &Health) -> Option<String> {
    match (health.status, &health.reason) {
        (Status::Up | Status::NotChecked, _) => None,
        (status, Some(reason)) => Some(format!("{name} is {status}: {reason}")),
        (status, None) => Some(format!("{name} is {status}")),
    }
}

/// What is true of the effect at every one; nobody can say it where they differ.
fn shared_outcome<T>(answers: &[(&str, Result<T>)]) -> Outcome {
    let outcome_of = |answer: &Result<T>| match answer {
        Ok(_) => Outcome::Applied,
        Err(error) => error.outcome(),
    };
    answers
        .iter()
        .map(|(_, answer)| outcome_of(answer))
        .reduce(|one, other| if one == other { one } else { Outcome::Unknown })
        .unwrap_or(Outcome::NotApplied)
}

/// The advice that both can follow: all of them have to do it.
fn later(one: Retry, other: Retry) -> Retry {
    match (one, other) {
        (Retry::Never, _) | (_, Retry::Never) => Retry::Never,
        (Retry::Exhausted, _) | (_, Retry::Exhausted) => Retry::Exhausted,
        (Retry::After(one), Retry::After(other)) => Retry::After(one.max(other)),
        (Retry::After(delay), _) | (_, Retry::After(delay)) => Retry::After(delay),
        (Retry::Later, Retry::Later) => Retry::Later,
        // Advice that is not known here is not followed.
        _ => Retry::Never,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use switchboard_testkit::drop_at_every_await;
    use tokio::time::sleep;

    use super::*;

    /// Takes two awaits to close, and cannot while it is `stuck`.
    #[derive(Default)]
    struct Slow {
        stuck: AtomicBool,
        closed: AtomicUsize,
    }

    impl Lifecycle for Slow {
        fn close(&self) -> Reply<'_, ()> {
            Reply::run(async {
                sleep(Duration::from_secs(1)).await;
                sleep(Duration::from_secs(1)).await;
                if self.stuck.load(Ordering::Relaxed) {
                    return Err(Error::new(ErrorKind::Unavailable, "it is stuck"));
                }
                self.closed.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
        }
    }

    impl Provider for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }
    }

    fn several(slow: &Arc<Slow>) -> Several<Slow> {
        Several::new("all", "sink", [("slow", slow.clone())], 1).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_dropped_at_any_await_is_made_again_and_one_that_was_made_is_not() {
        let slow = Arc::new(Slow::default());
        let latest = std::cell::RefCell::new(Arc::new(several(&slow)));
        let closing = async || {
            slow.closed.store(0, Ordering::Relaxed);
            *latest.borrow_mut() = Arc::new(several(&slow));
            let all = latest.borrow().clone();
            all.close().await
        };
        let check = async |_| {
            let all = latest.borrow().clone();
            all.close().await.unwrap();
            assert_eq!(slow.closed.load(Ordering::Relaxed), 1);
        };
        assert_eq!(drop_at_every_await(closing, check).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_closed_is_closed_the_next_time() {
        let slow = Arc::new(Slow::default());
        let all = several(&slow);
        slow.stuck.store(true, Ordering::Relaxed);
        all.close().await.unwrap_err();
        slow.stuck.store(false, Ordering::Relaxed);
        all.close().await.unwrap();
        assert_eq!(slow.closed.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_closes_while_another_does_waits_for_it() {
        let slow = Arc::new(Slow::default());
        let all = several(&slow);
        let (one, other) = tokio::join!(all.close(), async {
            all.close().await.unwrap();
            slow.closed.load(Ordering::Relaxed)
        });
        one.unwrap();
        assert_eq!((other, slow.closed.load(Ordering::Relaxed)), (1, 1));
    }
}
