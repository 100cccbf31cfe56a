//! The token that lets a client in.
//!
//! Whether one is needed is `access`'s affair.

use std::fmt::Write as _;

use subtle::ConstantTimeEq as _;
use switchboard_core::{Error, ErrorKind, Result, Secret};

/// The token of the configuration, or one that nobody can guess.
pub(crate) fn given_or_random(given: Option<&Secret>) -> Result<Secret> {
    let Some(token) = given else { return random() };
    check(token).map_err(|why| {
        Error::new(ErrorKind::Config, why).with_context("setting", "console.token")
    })?;
    Ok(token.clone())
}

/// Why a token would not do, if it would not.
pub(crate) fn check(token: &Secret) -> Result<(), &'static str> {
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("no client could send such a token: use visible ASCII characters, no spaces");
    }
    if token.expose().len() < TOKEN_CHARS_MIN {
        return Err(TOO_SHORT);
    }
    Ok(())
}

/// Whether both are the same. How long that takes does not tell how much of them is.
pub(crate) fn is_same(said: &[u8], token: &Secret) -> bool {
    said.ct_eq(token.expose().as_bytes()).into()
}

fn random() -> Result<Secret> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the system has no randomness for a token")
            .with_source(error)
    })?;
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Ok(hex.into())
}

const TOKEN_BYTES: usize = 32;

/// The shortest token that is taken, in characters; what is shorter can be guessed.
const TOKEN_CHARS_MIN: usize = 12;
const TOO_SHORT: &str = "the token is too short: use at least 12 characters, better 32 at random";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_tokens_have_256_bits_and_differ() {
        let [one, two] = [(); 2].map(|()| given_or_random(None).unwrap());
        assert_eq!(one.expose().len(), 64);
        assert_ne!(one, two);
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Secret::from("open-sesame");
        assert!(is_same(b"open-sesame", &token));
        for wrong in ["", "open-sesam", "open-sesamE", "open-sesame-", "Xpen-sesame"] {
            assert!(!is_same(wrong.as_bytes(), &token), "{wrong}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_refused_and_not_shown() {
        for wrong in ["", "with space-canary", "canary\n", "canäry-canäry", "canary-shor"] {
            let error = given_or_random(Some(&Secret::from(wrong))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!format!("{error} {error:?}").contains("can"), "{error:?}");
        }
    }
}
