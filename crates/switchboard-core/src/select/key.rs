//! The hash that a call's key becomes: the same in every process, on every machine, in every version.
//!
//! What is stored by it is looked for by it years later, so it is pinned by a test and never changes.

use crate::clock::mix;

/// The hash of `bytes`: 64-bit FNV-1a, then [`mix`], because FNV alone leaves keys that differ in
/// their last letter close together.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes
        .iter()
        .fold(FNV_BASIS, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(FNV_PRIME));
    mix(fnv)
}

const FNV_BASIS: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01B3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_others_have_stored_by() {
        // FNV-1a of "a" is known to be af63dc4c8601ec8c.
        assert_eq!(hash(b"a"), mix(0xAF63_DC4C_8601_EC8C));
        let pinned = [
            ("", 0xF52A_15E9_A9B5_E89B),
            ("a", 0x02C0_BDBF_4814_20F8),
            ("user-7", 0x9E12_4C98_A398_664E),
            ("ключ", 0x95F0_4555_FA3B_F374),
        ];
        for (key, expected) in pinned {
            assert_eq!(hash(key.as_bytes()), expected, "{key:?}");
        }
    }
}
