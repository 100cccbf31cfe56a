//! Rows as CSV, as RFC 4180 has it.
//!
//! Nothing is empty and an empty text is `""`, so that they can be told apart.

use super::{Columns, Row, Value};

impl Columns {
    /// Writes the names of the columns as a line of CSV.
    pub fn write_csv(&self, to: &mut Vec<u8>) {
        write_line(to, self, |to, column| write_text(to, &column.name));
    }
}

impl Row {
    /// Writes the values as a line of CSV, each as the text that it is everywhere. Nothing is empty, and an
    /// empty text is `""`.
    ///
    /// ```
    /// use switchboard_database::{Column, Columns, Row, Value};
    ///
    /// let column = |name: &str| Column { name: name.into(), type_name: None };
    /// let columns = Columns::new(["id", "name", "born"].map(column));
    /// let ada = Row::new(columns.clone(), vec![7.into(), "Ada, Countess".into(), Value::Null]);
    /// let mut csv = Vec::new();
    /// columns.write_csv(&mut csv);
    /// ada.write_csv(&mut csv);
    /// assert_eq!(csv, b"id,name,born\r\n7,\"Ada, Countess\",\r\n");
    /// ```
    pub fn write_csv(&self, to: &mut Vec<u8>) {
        write_line(to, self.values(), |to, value| match value {
            Value::Null => {}
            value => write_text(to, &value.to_text()),
        });
    }
}

fn write_line<T>(
    to: &mut Vec<u8>,
    fields: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Vec<u8>, T),
) {
    for (at, field) in fields.into_iter().enumerate() {
        if at > 0 {
            to.push(b',');
        }
        write(to, field);
    }
    to.extend(b"\r\n");
}

fn write_text(to: &mut Vec<u8>, text: &str) {
    let is_plain =
        !text.is_empty() && text != END_OF_COPY && !text.contains([',', '"', '\r', '\n']);
    if is_plain {
        return to.extend(text.as_bytes());
    }
    to.push(b'"');
    to.extend(text.replace('"', "\"\"").as_bytes());
    to.push(b'"');
}

/// What PostgreSQL takes for the end of all rows where it reads them and it stands alone in a line.
const END_OF_COPY: &str = "\\.";

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::*;
    use crate::{Column, Value};

    fn row(values: Vec<Value>) -> Row {
        let column = |at| Column { name: format!("c{at}").into(), type_name: None };
        Row::new(Columns::new((0..values.len()).map(column)), values)
    }

    fn written(values: Vec<Value>) -> String {
        let mut text = Vec::new();
        row(values).write_csv(&mut text);
        String::from_utf8(text).unwrap()
    }

    /// Reads one line as RFC 4180 has it; nothing where the field is empty and without quotes.
    fn read(line: &str) -> Vec<Option<String>> {
        let mut fields = vec![];
        let mut rest = line.strip_suffix("\r\n").unwrap();
        loop {
            let (field, after) = if let Some(quoted) = rest.strip_prefix('"') {
                let mut end = quoted.find('"').unwrap();
                while quoted[end + 1..].starts_with('"') {
                    end += 2 + quoted[end + 2..].find('"').unwrap();
                }
                (Some(quoted[..end].replace("\"\"", "\"")), &quoted[end + 1..])
            } else {
                let end = rest.find(',').unwrap_or(rest.len());
                ((end > 0).then(|| rest[..end].to_owned()), &rest[end..])
            };
            fields.push(field);
            let Some(more) = after.strip_prefix(',') else {
                assert_eq!(after, "");
                return fields;
            };
            rest = more;
        }
    }

    #[test]
    fn nothing_and_an_empty_text_are_told_apart() {
        assert_eq!(written(vec![Value::Null, "".into(), 7.into()]), ",\"\",7\r\n");
    }

    #[test]
    fn what_has_a_meaning_is_quoted() {
        let values = ["a,b", "a\"b", "a\nb", "a b"].map(Value::from).to_vec();
        assert_eq!(written(values), "\"a,b\",\"a\"\"b\",\"a\nb\",a b\r\n");
    }

    #[test]
    fn what_would_end_the_rows_for_a_server_that_reads_them_is_quoted() {
        assert_eq!(written(vec!["\\.".into()]), "\"\\.\"\r\n");
        assert_eq!(written(vec!["a\\.".into(), "\\".into()]), "a\\.,\\\r\n");
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again(
            texts in prop::collection::vec(prop::option::of("[a\",\r\n;é ]{0,6}"), 1..5)
        ) {
            let values = texts.iter().map(|text| text.as_deref().map_or(Value::Null, Value::from));
            prop_assert_eq!(read(&written(values.collect())), texts);
        }
    }
}
