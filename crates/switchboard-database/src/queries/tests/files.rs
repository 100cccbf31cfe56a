//! Files and folders.

use std::fs;

use tempfile::TempDir;

use super::*;

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

/// The mistakes in a folder, whose own path is left out.
fn mistakes_at(folder: &TempDir, path: &str) -> Vec<String> {
    let path = if path == "." { folder.path().into() } else { folder.path().join(path) };
    let told = mistakes_of(&Queries::load(path).unwrap_err());
    let own = folder.path().display().to_string();
    told.iter().map(|told| told.replace(&format!("{own}/"), "").replace(&own, ".")).collect()
}

#[test]
fn a_folder_is_read_with_the_folders_in_it() {
    let folder = folder(&[
        ("users/find.sql", b"-- name: find :opt\nselect 1"),
        ("a.SQL", b"-- name: first :opt\nselect 1"),
        ("notes.txt", b"select nothing"),
        (".sql", b"select nothing"),
    ]);
    let queries = Queries::load(folder.path()).unwrap();
    assert_eq!(queries.names().collect::<Vec<_>>(), ["find", "first"]);
}

#[test]
fn one_file_is_read_whatever_it_is_called() {
    let folder = folder(&[("users.txt", b"-- name: find :opt\nselect 1")]);
    assert_eq!(Queries::load(folder.path().join("users.txt")).unwrap().len(), 1);
}

#[test]
fn files_are_read_in_the_order_of_their_names() {
    let text = b"-- name: find :opt\nselect 1";
    let folder = folder(&[("b.sql", text), ("a.sql", text), ("a/c.sql", text)]);
    let told = mistakes_at(&folder, ".");
    let already = "find: there is a query of that name already";
    assert_eq!(
        told,
        [
            format!("a.sql:1:1: {already}; the first is at a/c.sql:1:1"),
            format!("b.sql:1:1: {already}; the first is at a/c.sql:1:1"),
        ],
    );
}

#[test]
fn what_is_not_there_is_told_by_its_path() {
    let folder = folder(&[("empty/readme.txt", b"")]);
    assert_eq!(mistakes_at(&folder, "none"), ["none: it is not there"]);
    assert_eq!(
        mistakes_at(&folder, "empty"),
        ["empty: there is no file in it that ends with `.sql`"]
    );
}

#[test]
fn a_file_that_is_not_text_is_told_with_the_place_and_the_others_are_read() {
    let folder = folder(&[
        ("a.sql", b"-- name: a :opt\nselect '\xc3\xa9\xff'"),
        ("b.sql", b"-- name: b :opts\nselect 1"),
    ]);
    let told = mistakes_at(&folder, ".");
    assert_eq!(told[0], "a.sql:2:10: this is not UTF-8");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn a_folder_that_is_too_deep_is_told() {
    let path = format!("{}a.sql", "x/".repeat(9));
    let folder = folder(&[(&path, b"-- name: a :opt\nselect 1")]);
    let told = mistakes_at(&folder, ".");
    assert_eq!(told, ["x/x/x/x/x/x/x/x/x: it is more than 8 folders deep"]);
}

#[test]
fn a_file_that_is_too_long_is_told() {
    let text = format!("-- name: a :opt\nselect 1{}", " ".repeat(4 << 20));
    let folder = folder(&[("a.sql", text.as_bytes())]);
    assert_eq!(mistakes_at(&folder, "."), ["a.sql: it is longer than 4194304 bytes"]);
}

#[test]
fn too_many_files_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..=1_000 {
        let text = format!("-- name: a{number} :opt\nselect 1");
        fs::write(folder.path().join(format!("{number}.sql")), text).unwrap();
    }
    assert_eq!(mistakes_at(&folder, "."), [".: there are more than 1000 files in it"]);
}

#[cfg(unix)]
#[test]
fn a_folder_in_itself_comes_to_an_end() {
    let folder = folder(&[("a.sql", b"-- name: a :opt\nselect 1")]);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
    let told = mistakes_at(&folder, ".");
    assert!(told.iter().any(|told| told.ends_with("it is more than 8 folders deep")), "{told:?}");
}
