//! Of what kind content is of which nobody says it.

use crate::Key;

/// What the end of `key` says, else the bytes that content begins with; `None` if neither says anything.
///
/// A text is told without its encoding: nothing says which one it is.
pub(crate) fn content_type(key: &str, first: &[u8]) -> Option<&'static str> {
    let name = Key::parse(key).map_or(key, Key::file_name);
    let named = mime_guess::from_path(name).first_raw();
    named.or_else(|| infer::get(first).map(|kind| kind.mime_type()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_of_what_kind_content_is_and_the_bytes_where_it_does_not() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        for (key, first, kind) in [
            ("photos/cat.PNG", &b""[..], Some("image/png")),
            ("notes.txt", b"Hello", Some("text/plain")),
            ("notes.txt", png, Some("text/plain")),
            ("a.pdf/cat", png, Some("image/png")),
            ("cat", b"%PDF-1.7", Some("application/pdf")),
            ("cat", b"Hello", None),
            ("cat.unheard", b"", None),
            (".png", b"", None),
        ] {
            assert_eq!(content_type(key, first), kind, "{key} {first:?}");
        }
    }
}
