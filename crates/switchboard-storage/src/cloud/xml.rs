//! What services say in XML, as a tree.
//!
//! White space is kept: a key may begin with it.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use switchboard_core::Result;

use crate::wire::{Answer, foreign};

/// An element, with its text and the elements in it.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    text: String,
    elements: Vec<Self>,
}

impl Answer {
    /// The answer as XML. What is none is not from the service, but from somebody in between.
    pub(crate) async fn xml(self) -> Result<Element> {
        Element::parse(&self.bytes().await?).ok_or_else(foreign)
    }
}

impl Element {
    /// The outermost element; `None` if this is not XML, or is HTML.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::from_reader(bytes);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => {
                    open.push(Self::named(start.local_name().as_ref())?);
                    if open.len() > DEPTH_MAX {
                        return None;
                    }
                }
                Event::Empty(start) => {
                    let element = Self::named(start.local_name().as_ref())?;
                    open.last_mut()?.elements.push(element);
                }
                Event::End(_) => {
                    let done = open.pop()?;
                    open.last_mut()?.elements.push(done);
                }
                Event::Text(text) => open.last_mut()?.text.push_str(&text.decode().ok()?),
                Event::CData(text) => open.last_mut()?.text.push_str(&text.decode().ok()?),
                Event::GeneralRef(entity) => {
                    let text = &mut open.last_mut()?.text;
                    match entity.resolve_char_ref().ok()? {
                        Some(character) => text.push(character),
                        None => text.push_str(resolve_predefined_entity(&entity.decode().ok()?)?),
                    }
                }
                Event::Eof => break,
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => {}
            }
        }
        let [document] = <[Self; 1]>::try_from(open).ok()?;
        let [root] = <[Self; 1]>::try_from(document.elements).ok()?;
        (!root.name.eq_ignore_ascii_case("html")).then_some(root)
    }

    fn named(name: &[u8]) -> Option<Self> {
        Some(Self { name: str::from_utf8(name).ok()?.to_owned(), ..Self::default() })
    }

    /// The elements of that name, in their order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.elements.iter().filter(move |element| element.name == name)
    }

    /// The first element of that name.
    pub(crate) fn find(&self, name: &str) -> Option<&Self> {
        self.elements.iter().find(|element| element.name == name)
    }

    /// The text of the first element of that name; empty is as if it were not there.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let text = &self.find(name)?.text;
        (!text.is_empty()).then_some(text)
    }
}

const DEPTH_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_it_was_meant() {
        let written = "<?xml version='1.0'?>\n<R xmlns='x'><Key> a&amp;b&#x1F5DD;<![CDATA[<]]> </Key><Key/></R>\n";
        let root = Element::parse(written.as_bytes()).unwrap();
        assert_eq!(root.name, "R");
        assert_eq!(root.text("Key"), Some(" a&b🗝< "));
        assert_eq!(root.all("Key").count(), 2);
        assert_eq!(root.text("Other"), None);
        // Some begin with the mark of the byte order.
        assert_eq!(
            Element::parse("\u{feff}<?xml version='1.0'?><R/>".as_bytes()).unwrap().name,
            "R"
        );
    }

    #[test]
    fn what_is_no_answer_of_a_service_is_nothing() {
        for written in [
            "",
            "busy",
            "<html><body>Sign in</body></html>",
            "<!DOCTYPE html><html lang=en><meta charset=utf-8><p>502</html>",
            "<a><b></a>",
            "<a/><b/>",
            "{\"error\": 1}",
            "<a>&nothing;</a>",
        ] {
            assert!(Element::parse(written.as_bytes()).is_none(), "{written}");
        }
        let deep = format!("{}{}", "<a>".repeat(99), "</a>".repeat(99));
        assert!(Element::parse(deep.as_bytes()).is_none());
    }
}
