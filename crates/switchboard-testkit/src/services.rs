//! Real servers that tests share: where they are, and names that do not meet on them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use switchboard_core::Clock;

/// Where the tests find the server `service`: what `SWITCHBOARD_TEST_<SERVICE>_URL` says, else
/// `standard`.
///
/// Whoever runs the tests sets the variable, as `cargo xtask test` does with servers it starts.
///
/// ```
/// use switchboard_testkit::service_url;
///
/// let url = service_url("redis", "redis://127.0.0.1:6379/0");
/// assert!(url.starts_with("redis://"));
/// ```
pub fn service_url(service: &str, standard: &str) -> String {
    named(service, "URL").unwrap_or_else(|| standard.to_owned())
}

/// Where the tests find a server that was started for them, as one that encrypts is: its URL, and
/// the folder with the certificates its clients need.
///
/// Both are in variables as that of [`service_url`] is, ending with `_URL` and `_FILES`.
///
/// ```no_run
/// use switchboard_testkit::private_service;
///
/// let (url, files) = private_service("postgres-tls");
/// assert!(url.starts_with("postgres://") && files.join("ca.pem").is_file());
/// ```
///
/// # Panics
///
/// Where nobody started it.
pub fn private_service(service: &str) -> (String, PathBuf) {
    let given = named(service, "URL").zip(named(service, "FILES"));
    let (url, files) = given.unwrap_or_else(|| {
        panic!("nobody started {service}: run the tests with `cargo xtask test`")
    });
    (url, files.into())
}

#[expect(clippy::disallowed_methods, reason = "servers for tests are named by the process")]
fn named(service: &str, what: &str) -> Option<String> {
    let service = service.to_ascii_uppercase().replace('-', "_");
    std::env::var(format!("SWITCHBOARD_TEST_{service}_{what}")).ok()
}

/// A name that no other test has, in this process, another one, or on another machine.
///
/// `prefix`, then lower-case letters and digits, 24 at most: good for a key, a table, a bucket or a
/// queue.
///
/// ```
/// use switchboard_testkit::unique;
///
/// assert!(unique("jobs").starts_with("jobs"));
/// assert_ne!(unique("jobs"), unique("jobs"));
/// ```
pub fn unique(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let random = Clock::system().random() & 0xFFFF_FFFF;
    // A letter that is no digit keeps the parts apart.
    format!("{prefix}{process:x}x{count:x}x{random:x}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn unique_names_are_short_and_plain_and_never_the_same() {
        let names: BTreeSet<_> = (0..1_000).map(|_| unique("t")).collect();
        assert_eq!(names.len(), 1_000);
        for name in names {
            assert!(name.len() <= 25, "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{name}");
        }
    }

    #[test]
    fn a_service_nobody_named_is_at_its_standard_place() {
        assert_eq!(service_url("no-such", "here://"), "here://");
    }

    #[test]
    #[should_panic = "nobody started no-such"]
    fn a_service_nobody_started_is_nowhere() {
        private_service("no-such");
    }
}
