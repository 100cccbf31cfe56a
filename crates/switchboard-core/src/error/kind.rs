//! The closed vocabularies of an error: kind, class, retry, outcome, gate.

use std::fmt;
use std::time::Duration;

macro_rules! vocabulary {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $( $(#[$doc:meta])* $variant:ident => $text:literal, )*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$doc])* $variant, )*
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// The word used in logs, figures and configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

vocabulary! {
    /// What happened, in words common to all backends.
    pub enum ErrorKind {
        /// A driver, instance or subsystem of that name is not registered.
        NotRegistered => "not registered",
        /// The name is taken by another registration.
        AlreadyRegistered => "already registered",
        /// The program or its configuration asks for something that cannot be.
        Config => "configuration",

        /// What was asked for is not there.
        NotFound => "not found",
        /// It is there already, and was not to be replaced.
        AlreadyExists => "already exists",
        /// The condition that came with the request does not hold.
        PreconditionFailed => "precondition failed",
        /// Somebody else changed it at the same time; starting over may succeed.
        Conflict => "conflict",
        /// The request itself is wrong and will be wrong again.
        InvalidInput => "invalid input",
        /// The request is larger than the backend takes.
        TooLarge => "too large",
        /// Who is asking is not known to the backend.
        Unauthenticated => "unauthenticated",
        /// Who is asking may not do this.
        PermissionDenied => "permission denied",
        /// A quota is used up, and waiting a little does not help.
        QuotaExceeded => "quota exceeded",
        /// The backend cannot do this; nothing happened.
        Unsupported => "unsupported",
        /// The backend answered with something that cannot be what was stored.
        Corrupt => "corrupt",

        /// The backend cannot be reached, or cannot work now.
        Unavailable => "unavailable",
        /// No answer came in time.
        Timeout => "timeout",
        /// Too many requests in too short a time.
        RateLimited => "rate limited",
        /// Too many requests at once.
        Overloaded => "overloaded",
        /// The backend failed in a way its driver does not know.
        Unexpected => "unexpected",

        /// The caller gave up.
        Cancelled => "cancelled",
    }
}

vocabulary! {
    /// What an error says about the backend. Gates look at this, and at nothing finer.
    pub enum Class {
        /// The program or its configuration is wrong; no backend was asked.
        Program => "program",
        /// The backend works and said no: never retried, never failed over, never held against it.
        Answer => "answer",
        /// The backend did not do its work.
        Outage => "outage",
        /// The caller went away: says nothing about the backend.
        Cancelled => "cancelled",
    }
}

vocabulary! {
    /// Whether the effect of a failed call may have happened. Ordered by how worrying it is.
    pub enum Outcome {
        /// Nothing happened.
        NotApplied => "not applied",
        /// It happened, although an error came back.
        Applied => "applied",
        /// Nobody knows.
        Unknown => "unknown",
    }
}

vocabulary! {
    /// One protection on the line, from the outermost to the innermost.
    pub enum Gate {
        /// The time the whole call may take.
        Deadline => "deadline",
        /// The circuit breaker.
        Breaker => "breaker",
        /// The rate limiter.
        RateLimit => "rate limit",
        /// The bound on calls at the same time.
        Bulkhead => "bulkhead",
        /// The retry loop.
        Retry => "retry",
        /// The time one attempt may take.
        AttemptTimeout => "attempt timeout",
    }
}

/// Whether another try may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// The same request will fail again.
    Never,
    /// A later try may succeed.
    Later,
    /// The service asked for this much time first.
    After(Duration),
    /// Retries were made and used up; nobody further out should start over.
    Exhausted,
}

impl ErrorKind {
    /// What the kind says about the backend.
    pub const fn class(self) -> Class {
        match self {
            Self::NotRegistered | Self::AlreadyRegistered | Self::Config => Class::Program,
            Self::NotFound
            | Self::AlreadyExists
            | Self::PreconditionFailed
            | Self::Conflict
            | Self::InvalidInput
            | Self::TooLarge
            | Self::Unauthenticated
            | Self::PermissionDenied
            | Self::QuotaExceeded
            | Self::Unsupported
            | Self::Corrupt => Class::Answer,
            Self::Unavailable
            | Self::Timeout
            | Self::RateLimited
            | Self::Overloaded
            | Self::Unexpected => Class::Outage,
            Self::Cancelled => Class::Cancelled,
        }
    }

    pub(super) const fn usual_retry(self) -> Retry {
        match self {
            Self::Unavailable | Self::Timeout | Self::RateLimited | Self::Overloaded => {
                Retry::Later
            }
            _ => Retry::Never,
        }
    }

    pub(super) const fn usual_outcome(self) -> Outcome {
        match self.class() {
            Class::Program | Class::Answer => Outcome::NotApplied,
            Class::Outage | Class::Cancelled => Outcome::Unknown,
        }
    }
}

impl Gate {
    pub(super) const fn refusal_kind(self) -> ErrorKind {
        match self {
            Self::Deadline | Self::AttemptTimeout => ErrorKind::Timeout,
            Self::RateLimit => ErrorKind::RateLimited,
            Self::Bulkhead => ErrorKind::Overloaded,
            Self::Breaker | Self::Retry => ErrorKind::Unavailable,
        }
    }
}

impl Retry {
    /// The advice that lets a caller come back sooner.
    pub(super) fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::After(a), Self::After(b)) => Self::After(a.min(b)),
            (Self::Later, _) | (_, Self::Later) => Self::Later,
            (Self::After(delay), _) | (_, Self::After(delay)) => Self::After(delay),
            (Self::Exhausted, _) | (_, Self::Exhausted) => Self::Exhausted,
            (Self::Never, Self::Never) => Self::Never,
        }
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Later => f.write_str("later"),
            Self::After(delay) => write!(f, "after {delay:?}"),
            Self::Exhausted => f.write_str("exhausted"),
        }
    }
}
