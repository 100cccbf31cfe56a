//! What the handles of all shapes have in common: which operation a call is, and what they say of
//! their line.

use switchboard_core::{Effect, Op, Subsystem};

/// How the calls of one handle differ from those its family usually makes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) effect: Option<Effect>,
    /// The hash of what the calls are about, where somebody chooses by it.
    pub(crate) key: Option<u64>,
}

impl Asked {
    /// The operation as the family declares it, with what this handle says of it.
    #[inline]
    pub(crate) fn op<S: Subsystem>(self, usual: Op) -> Op {
        let declared = S::OPERATIONS.iter().find(|op| op.name() == usual.name());
        let op = declared.copied().unwrap_or(usual);
        let op = self.effect.map_or(op, |effect| op.with_effect(effect));
        self.key.map_or(op, |key| op.keyed_by(key))
    }
}

/// The list of operations in which the first has `effect`.
macro_rules! with_effect {
    ($effect:expr, $first:expr $(, $other:expr)*) => {{
        const READ: &[Op] = &[$first.with_effect(Effect::Read) $(, $other)*];
        const IDEMPOTENT: &[Op] = &[$first.with_effect(Effect::Idempotent) $(, $other)*];
        const KEYED: &[Op] = &[$first.with_effect(Effect::Keyed) $(, $other)*];
        const UNSAFE: &[Op] = &[$first.with_effect(Effect::Unsafe) $(, $other)*];
        match $effect {
            Effect::Read => READ,
            Effect::Idempotent => IDEMPOTENT,
            Effect::Keyed => KEYED,
            Effect::Unsafe => UNSAFE,
        }
    }};
}
pub(crate) use with_effect;

/// The part of a handle that does not depend on its shape.
macro_rules! handle {
    ($handle:ident) => {
        impl<S: Subsystem> $handle<S> {
            /// The same handle, where asking twice has this effect instead of the family's.
            #[must_use]
            pub fn with_effect(&self, effect: Effect) -> Self {
                let mut same = self.clone();
                same.asked.effect = Some(effect);
                same
            }

            /// The same handle for calls that are about `key`: a tenant, a user, a document.
            ///
            /// A group that chooses by key sends them to the same provider, wherever that is possible.
            #[must_use]
            pub fn with_key(&self, key: &[u8]) -> Self {
                let mut same = self.clone();
                same.asked.key =
                    S::OPERATIONS.first().and_then(|op| self.line.keyed(*op, key).key());
                same
            }

            /// The path to the provider, for figures, gates and health.
            pub fn line(&self) -> &Line<S> {
                &self.line
            }
        }

        impl<S: Subsystem> From<Line<S>> for $handle<S> {
            fn from(line: Line<S>) -> Self {
                Self { line, asked: Asked::default() }
            }
        }

        impl<S: Subsystem> Clone for $handle<S> {
            fn clone(&self) -> Self {
                Self { line: self.line.clone(), asked: self.asked }
            }
        }

        impl<S: Subsystem> fmt::Debug for $handle<S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($handle))
                    .field("line", &self.line)
                    .finish_non_exhaustive()
            }
        }

        /// The manager looks after the provider behind it. How that is, is what was last found; nobody
        /// is asked once more.
        impl<S: Subsystem> Lifecycle for $handle<S> {
            fn health(&self) -> Reply<'_, Health> {
                let found = self.line.known_down();
                Reply::ready(Ok(found.map_or_else(Health::not_checked, Health::from)))
            }
        }

        impl<S: Subsystem> Provider for $handle<S> {
            fn name(&self) -> &str {
                self.line.instance()
            }

            fn is_available(&self) -> Reply<'_, bool> {
                Reply::ready(Ok(self.line.known_down().is_none()))
            }
        }
    };
}
pub(crate) use handle;
