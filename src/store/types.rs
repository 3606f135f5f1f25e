//! How our types travel: JSON as its text, instants as `timestamptz`, amounts and ULIDs as text.

use crate::domain::fault::Fault;
use crate::domain::quantity::Quantity;
use crate::domain::time::Instant;
use bytes::{BufMut, BytesMut};
use postgres_types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use ulid::Ulid;

type Failure = Box<dyn Error + Sync + Send>;

/// JSON as text, in and out of `json` and `jsonb`: no number ever becomes a float.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(pub String);

/// What the first byte of a `jsonb` says on the wire.
const JSONB_VERSION: u8 = 1;

impl JsonText {
    /// Writes plain data.
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::to_string(value).expect("maps with text keys and records are JSON"))
    }

    /// Reads what [`JsonText::of`] wrote. Err: somebody else wrote the row.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_str(&self.0).map_err(|error| {
            Fault::give_up(super::sql::SYSTEM, format!("a row holds JSON that weir did not write: {error}"))
        })
    }
}

impl ToSql for JsonText {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        if *kind == Type::JSONB {
            out.put_u8(JSONB_VERSION);
        }
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    accepts!(JSON, JSONB);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for JsonText {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let text = match raw.split_first() {
            Some((&JSONB_VERSION, text)) if *kind == Type::JSONB => text,
            _ if *kind == Type::JSONB => return Err("a jsonb of an unknown version".into()),
            _ => raw,
        };
        Ok(Self(std::str::from_utf8(text)?.to_string()))
    }

    accepts!(JSON, JSONB);
}

/// An instant as `timestamptz` holds it: whole microseconds, what is finer is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Micros(pub Instant);

const MICRO_NS: i64 = 1_000;
/// 2000-01-01T00:00:00Z, where PostgreSQL counts from, in microseconds since 1970.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

impl ToSql for Micros {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        out.put_i64(self.0.nanos().div_euclid(MICRO_NS) - POSTGRES_EPOCH_US);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        let nanos = micros.checked_add(POSTGRES_EPOCH_US).and_then(|micros| micros.checked_mul(MICRO_NS));
        Ok(Self(Instant::from_nanos(nanos.ok_or("a timestamp outside the years 1678 to 2261")?)))
    }

    accepts!(TIMESTAMPTZ);
}

/// An amount as its plain decimal text: no digit is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub Quantity);

impl ToSql for Amount {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        out.put_slice(self.0.to_plain().as_bytes());
        Ok(IsNull::No)
    }

    accepts!(TEXT);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Amount {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(Self(Quantity::parse(std::str::from_utf8(raw)?).ok_or("a text that is no amount")?))
    }

    accepts!(TEXT);
}

/// A ULID as its 26 characters, which sort as it does under `COLLATE "C"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(pub Ulid);

impl ToSql for Id {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        out.put_slice(self.0.to_string().as_bytes());
        Ok(IsNull::No)
    }

    accepts!(TEXT);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Id {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(Self(Ulid::from_string(std::str::from_utf8(raw)?)?))
    }

    accepts!(TEXT);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_instant_reads_back_in_whole_microseconds(nanos in i64::MIN + 1_000..=i64::MAX) {
            let mut bytes = BytesMut::new();
            Micros(Instant::from_nanos(nanos)).to_sql(&Type::TIMESTAMPTZ, &mut bytes).unwrap();
            let Micros(back) = Micros::from_sql(&Type::TIMESTAMPTZ, &bytes).unwrap();
            prop_assert_eq!(back, Instant::from_nanos(nanos).floor_to_micros());
            prop_assert!((0..1_000).contains(&(nanos - back.nanos())));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = JsonText::from_sql(&Type::JSONB, &bytes);
            let _ = JsonText::from_sql(&Type::JSON, &bytes);
            let _ = Micros::from_sql(&Type::TIMESTAMPTZ, &bytes);
            let _ = Id::from_sql(&Type::TEXT, &bytes);
            let _ = Amount::from_sql(&Type::TEXT, &bytes);
        }
    }

    #[tokio::test]
    async fn no_digit_is_lost_on_the_way() {
        let database = crate::store::tests::attached(&crate::store::tests::settings());
        let client = database.client().await.unwrap();
        let sent =
            "[1234567890123456789012345678, 0.1234567890123456789012345678, -12345678901234567890.123456789, 1.50]";
        for kind in ["json", "jsonb"] {
            let echo = format!("SELECT $1::{kind} AS echo");
            let row = crate::store::sql::row(&client, &echo, &[&JsonText(sent.to_string())]).await.unwrap().unwrap();
            assert_eq!(crate::store::sql::column::<JsonText>(&row, "echo").unwrap().0, sent);
        }
    }
}
