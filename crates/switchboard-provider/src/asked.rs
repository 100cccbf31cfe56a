//! What the handles of all shapes have in common: which operation a call is, and what they say of
//! their line.

use switchboard_core::{Effect, Line, Op, Subsystem};

/// How the calls of one handle differ from those its family usually makes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) effect: Option<Effect>,
}

impl Asked {
    /// The operation as the family declares it, with what this handle says of it.
    #[inline]
    pub(crate) fn op<S: Subsystem>(self, _line: &Line<S>, usual: Op) -> Op {
        let declared = S::OPERATIONS.iter().find(|op| op.name() == usual.name());
        let op = declared.copied().unwrap_or(usual);
        match self.effect {
            Some(effect) => op.with_effect(effect),
            None => op,
        }
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

        /// The manager looks after the provider behind it.
        impl<S: Subsystem> Lifecycle for $handle<S> {}

        impl<S: Subsystem> Provider for $handle<S> {
            fn name(&self) -> &str {
                self.line.instance()
            }
        }
    };
}
pub(crate) use handle;
