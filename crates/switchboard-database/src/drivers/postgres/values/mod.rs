//! Values as the server has them, and as ours.

mod decode;
mod encode;
mod numeric;
mod text;

use std::fmt;

pub(super) use decode::{Undecoded, decode};
use encode::has_nul;
pub(super) use encode::{Fit, Param, fit, put_field};
use switchboard_core::{Error, ErrorKind};
pub(super) use text::literal;
use tokio_postgres::types::{Kind, Type};

use crate::Value;

/// How the values of one type of the server are read and written.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Codec {
    pub(super) form: Form,
    /// The server's name of the type.
    pub(super) name: Box<str>,
    pub(super) oid: u32,
}

/// The binary form of the values of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bool,
    Int2,
    Int4,
    Int8,
    /// A number without a sign, of an object or a transaction.
    Oid,
    /// The same with 64 bits.
    Xid8,
    Float4,
    Float8,
    Numeric,
    /// The text itself.
    Text,
    /// A letter for its version, then the text itself.
    VersionedText,
    /// One byte, for the type `"char"`.
    Char,
    Bytes,
    Date,
    Time,
    TimeWithZone,
    DateTime,
    Timestamp,
    Interval,
    Uuid,
    Json,
    /// A byte for its version, then the text itself.
    Jsonb,
    /// An address, or a network if there are always bits told.
    Inet {
        is_network: bool,
    },
    Mac,
    Bits,
    /// A place in the log of the server.
    Lsn,
    Void,
    Array(Box<Codec>),
    /// A form that is not read here.
    Unknown,
}

impl Codec {
    pub(super) fn of(kind: &Type) -> Self {
        Self { form: form_of(kind), name: kind.name().into(), oid: kind.oid() }
    }

    /// The error of a value that does not fit where this is wanted, which `message` names.
    pub(super) fn misfit(&self, message: &'static str, value: &Value) -> Error {
        let error = if has_nul(value) {
            Error::new(ErrorKind::InvalidInput, "a text has a NUL, which PostgreSQL does not take")
                .with_hint("take it out, or keep bytes: in a column of the type `bytea`")
        } else {
            Error::new(ErrorKind::InvalidInput, message)
        };
        error.with_context("kind", value.kind()).with_context("wanted", &self.name).not_applied()
    }
}

fn form_of(kind: &Type) -> Form {
    match kind.kind() {
        Kind::Domain(base) => return form_of(base),
        Kind::Enum(_) => return Form::Text,
        Kind::Array(element) => return Form::Array(Box::new(Codec::of(element))),
        _ => {}
    }
    match *kind {
        Type::BOOL => Form::Bool,
        Type::INT2 => Form::Int2,
        Type::INT4 => Form::Int4,
        Type::INT8 => Form::Int8,
        Type::OID | Type::XID | Type::CID => Form::Oid,
        Type::XID8 => Form::Xid8,
        Type::FLOAT4 => Form::Float4,
        Type::FLOAT8 => Form::Float8,
        Type::NUMERIC => Form::Numeric,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::XML => {
            Form::Text
        }
        Type::CSTRING | Type::REFCURSOR => Form::Text,
        Type::JSONPATH => Form::VersionedText,
        Type::CHAR => Form::Char,
        Type::BYTEA => Form::Bytes,
        Type::DATE => Form::Date,
        Type::TIME => Form::Time,
        Type::TIMETZ => Form::TimeWithZone,
        Type::TIMESTAMP => Form::DateTime,
        Type::TIMESTAMPTZ => Form::Timestamp,
        Type::INTERVAL => Form::Interval,
        Type::UUID => Form::Uuid,
        Type::JSON => Form::Json,
        Type::JSONB => Form::Jsonb,
        Type::INET => Form::Inet { is_network: false },
        Type::CIDR => Form::Inet { is_network: true },
        Type::MACADDR | Type::MACADDR8 => Form::Mac,
        Type::BIT | Type::VARBIT => Form::Bits,
        Type::PG_LSN => Form::Lsn,
        Type::VOID => Form::Void,
        // Types of extensions have no number of their own, only a name.
        _ => match kind.name() {
            "citext" => Form::Text,
            "ltree" | "lquery" | "ltxtquery" => Form::VersionedText,
            _ => Form::Unknown,
        },
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// From the server's first day, 2000-01-01, to ours.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * DAY_MICROS;
const DAY_MICROS: i64 = 86_400_000_000;

/// The most dimensions an array has.
const DIMENSIONS_MAX: usize = 6;
