//! Bytes as they may come, from a server that means well or not.

use proptest::prelude::*;

use super::super::values::{Codec, decode};
use super::super::wire::{Frames, Seen, Surplus};
use super::*;
use tokio_postgres::types::Type;

/// A message of the server.
fn message(letter: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[letter][..], &length.to_be_bytes(), body].concat()
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![Just(b'I'), Just(b'T'), Just(b'E')];
    prop_oneof![
        (prop_oneof![Just(b'D'), Just(b'C'), Just(b'N')], any::<Vec<u8>>())
            .prop_map(|(letter, body)| message(letter, &body)),
        status.prop_map(|status| message(b'Z', &[status])),
    ]
}

proptest! {
    #[test]
    fn the_last_state_is_seen_however_bytes_are_cut_for_postgres(
        messages in prop::collection::vec(any_message(), 0..30),
        cuts in prop::collection::vec(1..20_usize, 1..50),
    ) {
        let told = messages.iter().rev().find(|message| message[0] == b'Z').map(|m| m[5]);
        let expected = match told {
            Some(b'I') => State::Idle,
            Some(b'T') => State::InTransaction,
            Some(_) => State::Failed,
            None => State::Unknown,
        };
        let bytes = [message(b'K', &[0, 0, 0, 7, 1, 2, 3, 4]), messages.concat()].concat();
        let (seen, mut frames) = (Seen::default(), Frames::default());
        let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, left) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            frames.read(piece, |frame| seen.answered(frame));
            rest = left;
        }
        prop_assert_eq!((seen.state(), seen.process()), (expected, Some(7)));
    }

    #[test]
    fn only_answers_without_words_are_kept_from_the_library_however_bytes_are_cut_for_postgres(
        messages in prop::collection::vec(any_message(), 0..30),
        cuts in prop::collection::vec(1..20_usize, 1..50),
    ) {
        let mut last = 0;
        let mut expected = Vec::new();
        for message in &messages {
            if !(message[0] == b'Z' && last == b'Z') {
                expected.extend_from_slice(message);
            }
            last = if message[0] == b'N' { last } else { message[0] };
        }
        let mut bytes = messages.concat();
        let (mut surplus, mut frames, mut kept) = Default::default();
        let (mut rest, mut cuts) = (&mut bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let length = (*cuts.next().unwrap()).min(rest.len());
            let (piece, left) = rest.split_at_mut(length);
            let count = Surplus::sort_out(&mut surplus, piece, &mut frames, |_| ());
            Vec::extend_from_slice(&mut kept, &piece[..count]);
            rest = left;
        }
        prop_assert_eq!(kept, expected);
    }

    #[test]
    fn no_bytes_make_reading_a_value_panic_for_postgres(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let types = [
            Type::BOOL, Type::INT2, Type::INT4, Type::INT8, Type::OID, Type::XID8, Type::FLOAT4,
            Type::FLOAT8, Type::NUMERIC, Type::TEXT, Type::JSONPATH, Type::CHAR, Type::BYTEA,
            Type::DATE, Type::TIME, Type::TIMETZ, Type::TIMESTAMP, Type::TIMESTAMPTZ,
            Type::INTERVAL, Type::UUID, Type::JSON, Type::JSONB, Type::INET, Type::CIDR,
            Type::MACADDR, Type::VARBIT, Type::PG_LSN, Type::VOID, Type::INT4_ARRAY,
            Type::TEXT_ARRAY, Type::NUMERIC_ARRAY, Type::RECORD,
        ];
        for kind in &types {
            let _ = decode(&Codec::of(kind), Some(&bytes));
        }
        // An array whose head is in order.
        let head = [0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1, 0x7f];
        let _ = decode(&Codec::of(&Type::INT4_ARRAY), Some(&[&head[..], &bytes].concat()));
    }
}
