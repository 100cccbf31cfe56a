//! What comes with a statement: values in order, or by name.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use switchboard_core::Result;

use super::{Value, encode};

/// The values that come with a statement.
#[derive(Clone, Default, PartialEq)]
pub enum Params {
    /// None.
    #[default]
    None,
    /// One for each placeholder, in order.
    Positional(Vec<Value>),
    /// One for each name, whatever their order.
    Named(Vec<(Cow<'static, str>, Value)>),
}

/// What can come with a statement: nothing, a tuple, an array, a vector, [`Params`], or the fields of
/// a struct as [`Named`] values.
///
/// ```
/// use switchboard_database::{IntoParams, Params, Value, params};
///
/// assert_eq!(().into_params()?, Params::None);
/// assert_eq!((7, "Ada").into_params()?, params![7, "Ada"]);
/// assert_eq!([1, 2].into_params()?, params![1, 2]);
/// # Ok::<(), switchboard_core::Error>(())
/// ```
pub trait IntoParams {
    /// The values.
    fn into_params(self) -> Result<Params>;
}

/// The fields of a struct, or the entries of a map, as values by name.
///
/// Numbers, texts, bytes, options and the types of this crate become the value that they are;
/// sequences become arrays, save those of bytes; whatever has fields or entries itself becomes JSON; a
/// variant without fields is its name.
///
/// ```
/// use serde::Serialize;
/// use switchboard_database::{IntoParams, Named, params};
///
/// #[derive(Serialize)]
/// struct User<'u> {
///     id: u32,
///     name: &'u str,
/// }
///
/// let user = Named(User { id: 7, name: "Ada" });
/// assert_eq!(user.into_params()?, params! { "id" => 7, "name" => "Ada" });
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Named<T>(pub T);

impl Params {
    /// Values in order.
    ///
    /// ```
    /// use switchboard_database::{Params, params};
    ///
    /// assert_eq!(Params::positional(1..=2), params![1, 2]);
    /// ```
    pub fn positional<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::Positional(values.into_iter().map(Into::into).collect())
    }

    /// Values by name.
    pub fn named<N, V>(values: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Cow<'static, str>>,
        V: Into<Value>,
    {
        Self::Named(values.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Positional(values) => values.len(),
            Self::Named(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The values that come with a statement, each of whatever type becomes a [`Value`].
///
/// ```
/// use switchboard_database::{Params, Value, params};
///
/// assert_eq!(params![], Params::None);
/// assert_eq!(params![7, "Ada"], Params::Positional(vec![Value::from(7), Value::from("Ada")]));
/// assert_eq!(params! { "id" => 7, "name" => None::<&str> }.len(), 2);
/// ```
#[macro_export]
macro_rules! params {
    () => { $crate::Params::None };
    ($($name:expr => $value:expr),+ $(,)?) => {
        $crate::Params::named([$(($name, $crate::Value::from($value))),+])
    };
    ($($value:expr),+ $(,)?) => {
        $crate::Params::Positional(::std::vec![$($crate::Value::from($value)),+])
    };
}

impl fmt::Debug for Params {
    // Values may be anybody's secrets; their names are part of the statement.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Positional(values) => f.debug_tuple("Positional").field(&values.len()).finish(),
            Self::Named(values) => {
                f.write_str("Named")?;
                f.debug_set().entries(values.iter().map(|(name, _)| name)).finish()
            }
        }
    }
}

impl<T> fmt::Debug for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Named").field(&std::any::type_name::<T>()).finish()
    }
}

impl IntoParams for Params {
    fn into_params(self) -> Result<Params> {
        Ok(self)
    }
}

impl IntoParams for () {
    fn into_params(self) -> Result<Params> {
        Ok(Params::None)
    }
}

impl<V: Into<Value>> IntoParams for Vec<V> {
    fn into_params(self) -> Result<Params> {
        Ok(Params::positional(self))
    }
}

impl<V: Into<Value>, const N: usize> IntoParams for [V; N] {
    fn into_params(self) -> Result<Params> {
        Ok(Params::positional(self))
    }
}

impl IntoParams for &[Value] {
    fn into_params(self) -> Result<Params> {
        Ok(Params::positional(self))
    }
}

impl<T: Serialize> IntoParams for Named<T> {
    fn into_params(self) -> Result<Params> {
        encode::named(&self.0).map(Params::Named)
    }
}

/// Tuples of these and of all that are shorter.
macro_rules! tuples {
    () => {};
    ($first:ident $($rest:ident)*) => {
        impl<$first: Into<Value>, $($rest: Into<Value>),*> IntoParams for ($first, $($rest,)*) {
            #[expect(non_snake_case, reason = "each value is named like its type")]
            fn into_params(self) -> Result<Params> {
                let ($first, $($rest,)*) = self;
                Ok(Params::Positional(vec![$first.into(), $($rest.into()),*]))
            }
        }

        tuples!($($rest)*);
    };
}

tuples!(A B C D E F G H I J K L M N O P);
