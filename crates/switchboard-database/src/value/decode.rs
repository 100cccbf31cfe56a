//! Reads rows as types of an application.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use switchboard_core::{Error, Result};

use super::cell::{Cell, expected, is_json, is_mark, is_nothing};
use super::fresh::Fresh;
use super::mismatch::Mismatch;
use super::{Columns, Row, Value};
use crate::{Fields, RowReader, Rows};

/// What a row can be read into: any type that `serde` can read, or the [`Row`] itself.
///
/// - A struct by the names of its fields, and where no column has a field's name, the one whose name
///   differs only in capitals; of columns of one name the first counts. `rename`, `default`, `flatten`
///   and options work; columns that no field asks for are passed over. Where the only column is JSON
///   and no field, it has the fields.
/// - A map by the names of the columns, and so `serde_json::Value`.
/// - A tuple by position; it has as many members as there are columns.
/// - Everything else is the value of the only column: numbers, texts, options, vectors, newtypes, enums by
///   the text of their variants, and types that take whatever they are given but no map.
///
/// Where one value is asked for, as by [`select_value`](crate::Statements::select_value), a map too is read
/// from the value of the only column, and so `serde_json::Value`.
///
/// A value is read strictly: a text is no number, and a number no text. What databases write in
/// different ways is taken as any of them: truth as 0 or 1; lists and structures as JSON, or as a text
/// that has JSON; numbers as any that hold them exactly; days, times, decimal numbers and UUIDs by
/// whatever type reads their text. JSON that is read into a text gives what the operator `->>` does.
/// Inside of what is flattened, tagged or untagged a value is what it is, and nothing else.
///
/// A row that does not fit is an error that names the column, what was expected and what was found, and
/// never the value.
///
/// ```
/// use serde::Deserialize;
/// use switchboard_database::{Column, Columns, Date, FromRow, Row, Value};
///
/// #[derive(Debug, PartialEq, Deserialize)]
/// struct User {
///     name: String,
///     born: Option<Date>,
/// }
///
/// let columns = ["name", "born"].map(|name| Column { name: name.into(), type_name: None });
/// let row = Row::new(Columns::new(columns), vec![Value::from("Ada"), Value::Null]);
///
/// let user = User::from_row(row.clone())?;
/// assert_eq!(user, User { name: "Ada".to_owned(), born: None });
/// let pair = <(String, Option<Date>)>::from_row(row)?;
/// assert_eq!(pair, ("Ada".to_owned(), None));
/// # Ok::<(), switchboard_core::Error>(())
/// ```
pub trait FromRow: Sized {
    /// Reads one row.
    fn from_row(row: Row) -> Result<Self>;

    /// Reads the value of a row that has only one.
    fn from_value(row: Row) -> Result<Self> {
        Self::from_row(row)
    }

    /// Reads one of several rows while it is there; `plan` is what was found out about those before.
    fn from_fields(columns: &Columns, fields: &mut dyn Fields, _plan: &mut Plan) -> Result<Self> {
        let values: Option<_> = (0..columns.len()).map(|index| fields.take(index)).collect();
        let values = values.ok_or_else(|| Mismatch::unreadable().into_error(columns))?;
        Self::from_row(Row::new(columns.clone(), values))
    }
}

impl FromRow for Row {
    fn from_row(row: Row) -> Result<Self> {
        Ok(row)
    }
}

impl<T: DeserializeOwned> FromRow for T {
    fn from_row(row: Row) -> Result<Self> {
        let (columns, mut values) = row.into_parts();
        Self::from_fields(&columns, &mut values, &mut Plan::default())
    }

    fn from_value(row: Row) -> Result<Self> {
        let (columns, mut values) = row.into_parts();
        Self::from_fields(&columns, &mut values, &mut Plan::of_values())
    }

    fn from_fields(columns: &Columns, fields: &mut dyn Fields, plan: &mut Plan) -> Result<Self> {
        plan.values.resize(columns.len(), Value::Null);
        let read = if columns.len() == 1 {
            only_of(columns, fields, plan)
        } else {
            T::deserialize(plan.reader(columns, Some(fields)))
        };
        read.map_err(|mismatch| mismatch.into_error(columns))
    }
}

/// Reads a row of one value: as a row, or as that value if `T` takes no map.
fn only_of<T: DeserializeOwned>(
    columns: &Columns,
    fields: &mut dyn Fields,
    plan: &mut Plan,
) -> Read<T> {
    plan.values[0] = fields.take(0).ok_or_else(Mismatch::unreadable)?;
    match T::deserialize(plan.reader(columns, None)) {
        // It has taken nothing of the row.
        Err(mismatch) if mismatch.is_about_a_map() && !plan.wants_value => {
            plan.wants_value = true;
            T::deserialize(plan.reader(columns, None))
        }
        read => read,
    }
}

impl Row {
    /// The value of the column of that name as a type of the application; see [`FromRow`] for how
    /// values are read, and [`Columns::position`] for how names are.
    ///
    /// ```
    /// use switchboard_database::{Column, Columns, Row, Value};
    ///
    /// let id = Column { name: "id".into(), type_name: None };
    /// let row = Row::new(Columns::new([id]), vec![Value::from(7)]);
    /// assert_eq!(row.read::<u8>("id")?, 7);
    /// # Ok::<(), switchboard_core::Error>(())
    /// ```
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        match self.columns().position(name) {
            Some(index) => self.at(index),
            None => Err(Mismatch::missing(name.to_owned()).into_error(self.columns())),
        }
    }

    /// The value of the column that stands there as a type of the application; see [`FromRow`].
    pub fn at<T: DeserializeOwned>(&self, index: usize) -> Result<T> {
        let Some(value) = self.values().get(index) else {
            let missing = Mismatch::missing(index.to_string());
            return Err(missing.into_error(self.columns()));
        };
        let read = T::deserialize(Cell(&mut value.clone()));
        read.map_err(|mismatch| mismatch.in_column(index).into_error(self.columns()))
    }
}

impl Rows {
    /// All rows as a type of the application; see [`FromRow`]. Errors count the rows from one.
    pub fn read<T: FromRow>(self) -> Result<Vec<T>> {
        let mut read = Collected::default();
        for row in self.rows {
            let (columns, mut values) = row.into_parts();
            read.add(&columns, &mut values);
        }
        read.into_rows()
    }
}

/// Rows that were read as they came.
pub(crate) struct Collected<T> {
    rows: Vec<T>,
    plan: Plan,
    count: u64,
    /// Why one was not read; those after it are not either.
    error: Option<Error>,
}

impl<T> Collected<T> {
    /// How many came.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// All of them, if each is what it was read into. Errors count them from one.
    pub(crate) fn into_rows(self) -> Result<Vec<T>> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.rows),
        }
    }
}

impl<T: FromRow> Collected<T> {
    /// Reads one more row.
    #[inline]
    fn add(&mut self, columns: &Columns, row: &mut dyn Fields) {
        self.count += 1;
        if self.error.is_some() {
            return;
        }
        match T::from_fields(columns, row, &mut self.plan) {
            Ok(row) => self.rows.push(row),
            Err(error) => self.error = Some(error.with_context("row", self.count)),
        }
    }
}

impl<T: FromRow + Send> RowReader for Collected<T> {
    fn read(&mut self, columns: &Columns, row: &mut dyn Fields) {
        self.add(columns, row);
    }
}

impl<T> Default for Collected<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), plan: Plan::default(), count: 0, error: None }
    }
}

/// What is found out about the first row that is read into a type, and holds for those that follow.
#[derive(Debug, Default)]
pub struct Plan {
    keys: Keys,
    /// Where values lie while they are taken apart.
    values: Vec<Value>,
    /// What may be a map is the value of the only column, and not the row.
    wants_value: bool,
}

impl Plan {
    /// One for values, and not for rows.
    fn of_values() -> Self {
        Self { wants_value: true, ..Self::default() }
    }

    /// One row, whose values are in their places unless they come from `fields`.
    fn reader<'r>(
        &'r mut self,
        columns: &'r Columns,
        fields: Option<&'r mut dyn Fields>,
    ) -> Reader<'r, 'r> {
        let Self { keys, values, wants_value } = self;
        Reader { columns, fields, values, keys, wants_value: *wants_value }
    }
}

/// Which column goes into which field.
#[derive(Debug, Default)]
struct Keys {
    /// What it was made for.
    about: Option<(Columns, &'static [&'static str])>,
    keys: Vec<Key>,
}

/// Under which name a column is handed over.
#[derive(Clone, Copy, Debug)]
enum Key {
    /// Its own, which no field has.
    Own,
    /// That of a field, from which its own differs in capitals at the most.
    Field(&'static str),
    /// None: an earlier column has its name.
    PassedOver,
}

impl Keys {
    fn of(&mut self, columns: &Columns, fields: &'static [&'static str]) -> &[Key] {
        let is_made = self
            .about
            .as_ref()
            .is_some_and(|(of, into)| of.is(columns) && std::ptr::eq(*into, fields));
        if !is_made {
            self.keys = keys(columns, fields);
            self.about = Some((columns.clone(), fields));
        }
        &self.keys
    }
}

fn keys(columns: &Columns, fields: &'static [&'static str]) -> Vec<Key> {
    let has_column = |field: &str| columns.iter().any(|column| &*column.name == field);
    let mut wanting: Vec<_> = fields.iter().copied().filter(|field| !has_column(field)).collect();
    let mut key = |(index, column): (usize, &super::Column)| {
        if columns.is_repeat(index) {
            return Key::PassedOver;
        }
        if let Some(field) = fields.iter().find(|field| **field == &*column.name) {
            return Key::Field(field);
        }
        match wanting.iter().position(|field| field.eq_ignore_ascii_case(&column.name)) {
            Some(at) => Key::Field(wanting.swap_remove(at)),
            None => Key::Own,
        }
    };
    columns.iter().enumerate().map(&mut key).collect()
}

/// One row, which is taken apart while it is read.
struct Reader<'v, 'p> {
    columns: &'v Columns,
    /// Where the values come from, until all of them are in their places.
    fields: Option<&'p mut dyn Fields>,
    /// Their places.
    values: &'v mut [Value],
    keys: &'p mut Keys,
    /// What may be a map is the only value, and not the row.
    wants_value: bool,
}

type Read<T> = std::result::Result<T, Mismatch>;

impl<'v> Reader<'v, '_> {
    /// Has all values in their places.
    fn fill(&mut self) -> Read<()> {
        let Some(fields) = self.fields.take() else { return Ok(()) };
        for (index, value) in self.values.iter_mut().enumerate() {
            *value = fields.take(index).ok_or_else(Mismatch::unreadable)?;
        }
        Ok(())
    }

    /// The only value, if there is only one.
    fn only<V: Visitor<'v>>(mut self, visitor: &V) -> Read<Cell<'v>> {
        self.fill()?;
        match self.values {
            [value] => Ok(Cell(value)),
            values => Err(refuse(visitor, values)),
        }
    }

    fn by_name<V: Visitor<'v>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        let keys = self.keys.of(self.columns, fields);
        let left = self.values.iter_mut().zip(keys).enumerate();
        visitor.visit_map(ByName { columns: self.columns, left, fields: self.fields, next: None })
    }

    /// Whether its only value is what has the fields, since its only column is none of them.
    fn is_structure(&self, fields: &[&str]) -> bool {
        let is_field = |name: &str| fields.iter().any(|field| field.eq_ignore_ascii_case(name));
        let mut columns = self.columns.iter();
        self.values.iter().all(|value| is_json(value, '{'))
            && !columns.any(|column| is_field(&column.name))
    }

    fn by_position<V: Visitor<'v>>(self, visitor: V) -> Read<V::Value> {
        visitor
            .visit_seq(ByPosition { left: self.values.iter_mut().enumerate(), fields: self.fields })
    }
}

fn refuse<'v, V: Visitor<'v>>(visitor: &V, values: &[Value]) -> Mismatch {
    Mismatch::new(expected(visitor), format!("a row of {} columns", values.len()))
}

/// What is read from the only value.
macro_rules! of_the_only_value {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'v>>(self, $($argument: $type,)* visitor: V) -> Read<V::Value> {
            let cell = self.only(&visitor)?;
            cell.$method($($argument,)* visitor).map_err(|mismatch| mismatch.in_column(0))
        }
    )*};
}

impl<'v> Deserializer<'v> for Reader<'v, '_> {
    type Error = Mismatch;

    of_the_only_value! {
        deserialize_bool()
        deserialize_i8()
        deserialize_i16()
        deserialize_i32()
        deserialize_i64()
        deserialize_i128()
        deserialize_u8()
        deserialize_u16()
        deserialize_u32()
        deserialize_u64()
        deserialize_u128()
        deserialize_f32()
        deserialize_f64()
        deserialize_char()
        deserialize_str()
        deserialize_string()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_identifier()
        deserialize_seq()
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn deserialize_any<V: Visitor<'v>>(self, visitor: V) -> Read<V::Value> {
        if !self.wants_value {
            return self.by_name(&[], visitor);
        }
        let cell = self.only(&visitor)?;
        cell.deserialize_any(visitor).map_err(|mismatch| mismatch.in_column(0))
    }

    fn deserialize_map<V: Visitor<'v>>(self, visitor: V) -> Read<V::Value> {
        if !self.wants_value {
            return self.by_name(&[], visitor);
        }
        let cell = self.only(&visitor)?;
        cell.deserialize_map(visitor).map_err(|mismatch| mismatch.in_column(0))
    }

    fn deserialize_struct<V: Visitor<'v>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        if self.values.len() != 1 {
            return self.by_name(fields, visitor);
        }
        self.fill()?;
        if !self.is_structure(fields) {
            return self.by_name(fields, visitor);
        }
        let cell = self.only(&visitor)?;
        cell.deserialize_struct(name, fields, visitor).map_err(|mismatch| mismatch.in_column(0))
    }

    fn deserialize_tuple<V: Visitor<'v>>(self, len: usize, visitor: V) -> Read<V::Value> {
        if len == self.values.len() {
            return self.by_position(visitor);
        }
        let cell = self.only(&visitor)?;
        cell.deserialize_tuple(len, visitor).map_err(|mismatch| mismatch.in_column(0))
    }

    fn deserialize_tuple_struct<V: Visitor<'v>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'v>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Read<V::Value> {
        if !is_mark(name) {
            return visitor.visit_newtype_struct(self);
        }
        let cell = self.only(&visitor)?;
        cell.deserialize_newtype_struct(name, visitor).map_err(|mismatch| mismatch.in_column(0))
    }

    fn deserialize_option<V: Visitor<'v>>(mut self, visitor: V) -> Read<V::Value> {
        if self.values.len() == 1 {
            self.fill()?;
        }
        match self.values {
            [value] if is_nothing(value) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'v>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'v>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Read<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'v>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }
}

/// Hands over names and values, one after the other.
struct ByName<'v, 'p, I> {
    columns: &'v Columns,
    left: I,
    fields: Option<&'p mut dyn Fields>,
    next: Option<(usize, &'v mut Value)>,
}

impl<'v, 'p, I> MapAccess<'v> for ByName<'v, 'p, I>
where
    I: Iterator<Item = (usize, (&'v mut Value, &'p Key))>,
{
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'v>>(&mut self, seed: K) -> Read<Option<K::Value>> {
        for (index, (value, key)) in self.left.by_ref() {
            let name = match key {
                Key::PassedOver => continue,
                Key::Own => self.columns.get(index).map_or("", |column| &*column.name),
                Key::Field(name) => name,
            };
            self.next = Some((index, value));
            return seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'v>>(&mut self, seed: T) -> Read<T::Value> {
        let Some((index, value)) = self.next.take() else {
            return Err(Mismatch::new("a name before each value", "none"));
        };
        let read = match &mut self.fields {
            Some(fields) => match fields.take(index) {
                Some(fresh) => seed.deserialize(Fresh::new(fresh, value)),
                None => Err(Mismatch::unreadable()),
            },
            None => seed.deserialize(Cell(value)),
        };
        read.map_err(|mismatch| mismatch.in_column(index))
    }
}

/// Hands over values, one after the other.
struct ByPosition<'v, 'p> {
    left: std::iter::Enumerate<std::slice::IterMut<'v, Value>>,
    fields: Option<&'p mut dyn Fields>,
}

impl<'v> SeqAccess<'v> for ByPosition<'v, '_> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'v>>(&mut self, seed: T) -> Read<Option<T::Value>> {
        let Some((index, value)) = self.left.next() else { return Ok(None) };
        let read = match &mut self.fields {
            Some(fields) => match fields.take(index) {
                Some(fresh) => seed.deserialize(Fresh::new(fresh, value)),
                None => Err(Mismatch::unreadable()),
            },
            None => seed.deserialize(Cell(value)),
        };
        read.map(Some).map_err(|mismatch| mismatch.in_column(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}
