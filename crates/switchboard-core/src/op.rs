//! What a handle can ask of a driver: the operations of a subsystem and their effects.

use std::fmt;
use std::num::NonZeroU64;

/// What doing an operation twice would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Doing it twice is the same as doing it once.
    Idempotent,
    /// Harmless when repeated with the same key, because the backend remembers the key.
    Keyed,
    /// Doing it twice may do it twice.
    Unsafe,
}

impl Effect {
    /// Whether repeating the operation is harmless even if it was done the first time.
    pub const fn is_repeatable(self) -> bool {
        !matches!(self, Self::Unsafe)
    }

    /// Whether something may have changed in a call that failed with `error`.
    pub fn leaves_doubt(self, error: &crate::Error) -> bool {
        self != Self::Read && error.outcome() != crate::Outcome::NotApplied
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Idempotent => "idempotent",
            Self::Keyed => "keyed",
            Self::Unsafe => "unsafe",
        })
    }
}

/// One operation of a subsystem: its name in figures and errors, and its effect.
///
/// Declared with [`operations!`](crate::operations), which numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Op {
    name: &'static str,
    effect: Effect,
    index: usize,
    is_retried: bool,
    key: Option<NonZeroU64>,
}

impl Op {
    /// For [`operations!`](crate::operations): `index` is the position in the subsystem's list.
    #[doc(hidden)]
    pub const fn declared(index: usize, name: &'static str, effect: Effect) -> Self {
        Self { name, effect, index, is_retried: true, key: None }
    }

    /// The name in figures, spans and errors.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// What doing it twice would do.
    pub const fn effect(self) -> Effect {
        self.effect
    }

    /// The same operation, where this call has another effect than usual.
    #[must_use]
    pub const fn with_effect(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }

    /// The same operation, never made again by its line whatever its effect: only the caller knows
    /// what to do about a conversation that could not be opened. Another member of a group may still
    /// be asked where the effect allows it.
    #[must_use]
    pub const fn without_retry(self) -> Self {
        Self { is_retried: false, ..self }
    }

    /// Whether its line may make it again.
    pub const fn is_retried(self) -> bool {
        self.is_retried
    }

    /// The same operation, where this call is about the thing whose hash is `hash`.
    ///
    /// Groups that choose by key send calls of the same hash to the same member. It has nothing to do
    /// with [`Effect::Keyed`]: nobody remembers it. Handles say it through [`Line::keyed`], which
    /// hashes only where somebody looks at it; zero counts as another number.
    ///
    /// [`Line::keyed`]: crate::Line::keyed
    #[must_use]
    pub const fn keyed_by(self, hash: u64) -> Self {
        Self { key: Some(crate::select::nonzero(hash)), ..self }
    }

    /// The hash of what this call is about, if it was said.
    pub const fn key(self) -> Option<u64> {
        match self.key {
            Some(key) => Some(key.get()),
            None => None,
        }
    }

    /// The position in the subsystem's list.
    pub(crate) const fn index(self) -> usize {
        self.index
    }
}

/// Declares the operations of a subsystem, each with its effect, and the list of them all.
///
/// ```
/// use switchboard_core::Effect;
///
/// switchboard_core::operations! {
///     /// What a counter can be asked.
///     pub mod op {
///         READ = "read": Read;
///         ADD = "add": Unsafe;
///     }
/// }
///
/// assert_eq!(op::READ.name(), "read");
/// assert_eq!(op::ADD.effect(), Effect::Unsafe);
/// assert_eq!(op::ALL, [op::READ, op::ADD]);
/// ```
#[macro_export]
macro_rules! operations {
    (
        $(#[$about:meta])*
        $visibility:vis mod $module:ident {
            $( $(#[$doc:meta])* $constant:ident = $name:literal: $effect:ident; )+
        }
    ) => {
        $(#[$about])*
        $visibility mod $module {
            #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
            enum Position { $( $constant, )+ }

            $(
                $(#[$doc])*
                #[doc = concat!("`", $name, "`.")]
                pub const $constant: $crate::Op = $crate::Op::declared(
                    Position::$constant as usize, $name, $crate::Effect::$effect,
                );
            )+

            /// Every operation, in the order of declaration.
            pub const ALL: &[$crate::Op] = &[$( $constant, )+];
        }
    };
}
